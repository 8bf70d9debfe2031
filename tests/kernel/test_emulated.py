"""The AVX-512 micro-kernels where no processor has it: their instructions in plain C."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from charloom.kernel.build import FLAGS, SOURCES
from charloom.kernel.layers import LayerKernel, open_layers
from charloom.kernel.native import Library, kernel
from charloom.kernel.network import Network
from charloom.kernel.reference import ReferenceNetwork
from charloom.settings import Cell
from tests.kernel.layers import Floats, Layer
from tests.kernel.networks import CELLS, make_ids, make_shape, make_state, make_weights, same_bits

HEADER = Path(__file__).with_name("avx512_emulated.h")
REPLACED = {
    "kernel.c": (
        (r'#define VNNI __attribute__\(\(target\("[^"]*"\)\)\)', f'#define VNNI\n#include "{HEADER}"'),
        (r"static int has_vnni\(void\) \{.*?\}", "static int has_vnni(void) { return 1; }"),
    ),
    "layers.c": (
        (r"#include <immintrin.h>", f'#include "{HEADER}"'),
        (r'__attribute__\(\(target\("avx512[^"]*"\)\)\)', ""),
        (r"\(floats\)_mm512_fmadd_ps\(.*", "((a) * (b) + (c))"),
        (r"\(floats\)_mm512_dpbf16_ps\(.*", "(floats)emulated_dpbf16((__m512)(c), (__m512)(a), (__m512)(b))"),
        (r"\(floats\)_mm512_cvtne2ps_pbh\(.*", "(floats)emulated_cvtne2((__m512)(upper), (__m512)(lower))"),
        (r"\(ints\)_mm512_cvtepu16_epi32\(.*", "(ints)emulated_cvtne_wide((__m512)(values))"),
        (r"static int has_bfloat16\(void\) \{[^}]*\}", "static int has_bfloat16(void) { return 1; }"),
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
            assert count >= 1
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


@pytest.fixture(params=["emulated", "here"])
def bfloat16(request: pytest.FixtureRequest) -> Library:
    """A kernel that computes in bfloat16: the emulated one, and this processor's."""
    if request.param == "emulated":
        return cast(Library, request.getfixturevalue("emulated"))
    if open_layers("lstm", 8, bfloat16=True) is None:
        pytest.skip("this processor does not compute in bfloat16")
    return kernel()


def rounded(values: Floats) -> Floats:
    return cast(Floats, torch.from_numpy(values).bfloat16().float().numpy())


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_rounds_what_the_recurrent_products_read_and_nothing_else(bfloat16: Library, cell: Cell) -> None:
    for rows, hidden in ((1, 1), (2, 5), (8, 48), (15, 130), (3, 517)):
        layer = Layer.random(cell, 1, rows, hidden)
        layer = replace(layer, weights=rounded(layer.weights), first=rounded(layer.first))
        expected = layer.run(LayerKernel(cell, hidden, micro="portable"))
        products = expected[-1] if cell == "gru" else expected[1]  # the gradients that are multiplied by the weights
        expected[2] += (rounded(products[:, 0]) - products[:, 0]) @ layer.weights
        found = layer.run(LayerKernel(cell, hidden, bfloat16=True, micro="avx512vnni", library=bfloat16))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * np.abs(other).max())
        exact = replace(layer, weights=layer.weights * np.float32(1.0001))  # rounds to the same
        for one, other in zip(
            exact.run(LayerKernel(cell, hidden, bfloat16=True, micro="avx512vnni", library=bfloat16)),
            found,
            strict=True,
        ):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_in_bfloat16_follow_one_another(bfloat16: Library, cell: Cell) -> None:
    own = LayerKernel(cell, 70, bfloat16=True, micro="avx512vnni", library=bfloat16)
    layer = Layer.random(cell, 4, 9, 70)
    whole = layer.run(own, threads=2)
    first, cells = layer.first, layer.first_cells
    for step in range(4):
        one = slice(step, step + 1)
        part = replace(layer, below=layer.below[one], of_hidden=layer.of_hidden[one], first=first, first_cells=cells)
        states, _, _, *rest = part.run(own)
        first, cells = states[:, 1].copy(), rest[0][:, 1].copy() if cell == "lstm" else None
        assert np.array_equal(first, whole[0][:, step + 1])
    exact = layer.run(LayerKernel(cell, 70, micro="portable"))
    for rough, other in zip(whole, exact, strict=True):
        assert 0 < np.abs(rough - other).max() < 0.02 * np.abs(other).max()


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, 3e38, 1e-41, -0.0])
def test_bfloat16_of_strange_weights(bfloat16: Library, strange: float) -> None:
    layer = Layer.random("rnn", 1, 2, 40)
    layer.weights[3, 7] = strange
    states, _, of_first = layer.run(LayerKernel("rnn", 40, bfloat16=True, micro="avx512vnni", library=bfloat16))
    expected = np.tanh(layer.below[0] + rounded(layer.first) @ rounded(layer.weights).T)
    np.testing.assert_allclose(states[:, 1], expected, rtol=0, atol=1e-5)
    assert np.isfinite(of_first).all() == np.isfinite(strange)
