"""The AVX-512 micro-kernels where no processor has it: their instructions in plain C."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from charloom.kernel.build import FLAGS, SOURCES
from charloom.kernel.layers import LayerKernel
from charloom.kernel.native import Library
from charloom.kernel.network import Network
from charloom.kernel.reference import ReferenceNetwork
from charloom.settings import Cell
from tests.kernel.layers import Layer
from tests.kernel.networks import CELLS, make_ids, make_shape, make_state, make_weights, same_bits

HEADER = Path(__file__).with_name("avx512_emulated.h")
REPLACED = {
    "kernel.c": (
        (r'#define VNNI __attribute__\(\(target\("[^"]*"\)\)\)', f'#define VNNI\n#include "{HEADER}"'),
        (r"static int has_vnni\(void\) \{.*?\}", "static int has_vnni(void) { return 1; }"),
    ),
    "layers.c": (
        (r'__attribute__\(\(target\("avx512[^"]*"\)\)\)', ""),
        (r"\(floats\)_mm512_fmadd_ps\(.*", "((a) * (b) + (c))"),
    ),
}


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Library:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("not an x86-64 processor")
    folder = tmp_path_factory.mktemp("emulated")
    for source in SOURCES:
        content = source.read_text("utf-8")
        for pattern, by in REPLACED.get(source.name, ()):
            content, count = re.subn(pattern, lambda _, by=by: by, content)  # type: ignore[misc]
            assert count == 1
        (folder / source.name).write_text(content, "utf-8")
    sources = [str(folder / source.name) for source in SOURCES if source.suffix == ".c"]
    command = ["cc", *FLAGS, "-w", "-fPIC", "-shared", *sources, "-o", str(folder / "kernel.so")]
    subprocess.run(command, check=True)
    return Library(folder / "kernel.so")


@pytest.mark.parametrize("rows", [1, 2, 5, 8, 64, 65])
@pytest.mark.parametrize("cell", CELLS)
def test_avx512_vnni_gives_the_same_bits(emulated: Library, cell: Cell, rows: int) -> None:
    for hidden in (5, 33, 70):
        shape = make_shape(cell, 2, hidden, 37, 6)
        weights, ids, state = make_weights(shape), make_ids(shape, 7, rows), make_state(shape, rows)
        theirs, after = ReferenceNetwork(shape, weights).run(ids, state)
        ours, ours_after = Network(shape, weights, micro="avx512vnni", library=emulated).run(ids, state)
        assert same_bits((ours, *ours_after), (theirs, *after))
        floats, _ = Network(shape, weights, "float32", micro="avx512vnni", library=emulated).run(ids, state)
        exact, _ = ReferenceNetwork(shape, weights, "float32").run(ids, state)
        assert abs(floats - exact).max() < 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_layers_in_training(emulated: Library, cell: Cell) -> None:
    for rows, hidden in ((1, 5), (8, 48), (15, 130)):
        layer = Layer.random(cell, 3, rows, hidden)
        expected = layer.run(LayerKernel(cell, hidden, micro="portable"))
        found = layer.run(LayerKernel(cell, hidden, micro="avx512vnni", library=emulated))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * np.abs(other).max())
