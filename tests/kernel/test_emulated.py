"""The AVX-512 VNNI micro-kernel where no processor has it: its instructions in plain C."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from charloom.kernel.build import FLAGS, SOURCES
from charloom.kernel.native import Library
from charloom.kernel.network import Network
from charloom.kernel.reference import ReferenceNetwork
from charloom.settings import Cell
from tests.kernel.networks import CELLS, make_ids, make_shape, make_state, make_weights, same_bits

HEADER = Path(__file__).with_name("avx512_emulated.h")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Library:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("not an x86-64 processor")
    folder = tmp_path_factory.mktemp("emulated")
    source, changes = SOURCES[0].read_text("utf-8"), 0
    for pattern, by in (
        (r'#define VNNI __attribute__\(\(target\("[^"]*"\)\)\)', f'#define VNNI\n#include "{HEADER}"'),
        (r"static int has_vnni\(void\) \{.*?\}", "static int has_vnni(void) { return 1; }"),
    ):
        source, count = re.subn(pattern, lambda _, by=by: by, source)  # type: ignore[misc]
        changes += count
    assert changes == 2
    (folder / "kernel.c").write_text(source, "utf-8")
    (folder / "kernel.h").write_bytes(SOURCES[1].read_bytes())
    command = ["cc", *FLAGS, "-w", "-fPIC", "-shared", str(folder / "kernel.c"), "-o", str(folder / "kernel.so")]
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
