"""A process that is forked after a network or a layer in training was used with several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
from charloom.kernel.network import Network
from tests.kernel.networks import make_ids, make_shape, make_state, make_weights, same_bits

shape = make_shape("lstm", 2, 24, 30)
network = Network(shape, make_weights(shape), threads=2)
for rows in (1, 32):  # shared by layers, and by rows
    ids, state = make_ids(shape, 600, rows), make_state(shape, rows)
    logits, after = network.run(ids, state)
    child = os.fork()
    if not child:
        found, found_after = network.run(ids, state)
        os._exit(0 if same_bits((found, *found_after), (logits, *after)) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""

LAYERS = """
import os
from charloom.kernel.layers import LayerKernel
from tests.kernel.layers import Layer
from tests.kernel.networks import same_bits

layer, kernel = Layer.random("gru", 120, 16, 64), LayerKernel("gru", 64)
expected = layer.run(kernel, threads=2)
child = os.fork()
if not child:
    os._exit(0 if same_bits(layer.run(kernel, threads=2), expected) else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("code", [CODE, LAYERS], ids=["network", "layers"])
def test_a_fork_has_threads_of_its_own(code: str) -> None:
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120, check=False)
    assert ran.returncode == 0
