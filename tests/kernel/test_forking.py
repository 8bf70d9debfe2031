"""A process that is forked after a network was used with several threads."""

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_fork_has_threads_of_its_own() -> None:
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", CODE], cwd=root, timeout=120, check=False)
    assert ran.returncode == 0
