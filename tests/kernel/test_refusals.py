"""Sizes, ids and settings that do not fit are refused before anything is read or written by them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from charloom.errors import CharloomError, ModelDirectoryError, UsageError
from charloom.kernel.build import compile_library
from charloom.kernel.native import Library, address, aligned, kernel
from charloom.kernel.network import Network
from charloom.kernel.weights import lay_tensors, tensor_shapes
from charloom.settings import SamplingSettings
from tests.kernel.networks import make_ids, make_shape, make_state, make_weights

SHAPE = make_shape("lstm", 2, 24, 30, 6)


@pytest.mark.parametrize(
    "described",
    [
        (3, 1, 8, 0, 5, 0),
        (-1, 1, 8, 0, 5, 0),
        (0, 0, 8, 0, 5, 0),
        (0, 33, 8, 0, 5, 0),
        (0, 1, 0, 0, 5, 0),
        (0, 1, 2**31 - 1, 0, 5, 0),
        (0, 1, 16_385, 0, 5, 0),
        (0, 1, 8, -1, 5, 0),
        (0, 1, 8, 16_385, 5, 0),
        (0, 1, 8, 0, 1, 0),
        (0, 1, 8, 0, 1_200_001, 0),
        (0, 1, 8, 0, 5, 2),
    ],
)
def test_shapes(described: tuple[int, ...]) -> None:
    bytes_needed = kernel()._loaded.charloom_model_bytes
    assert bytes_needed(struct.pack("=6i", *described)) == -1
    assert bytes_needed(struct.pack("=6i", 2, 32, 16_384, 16_384, 1_200_000, 1)) > 0  # the largest overflows nothing


def test_truncated_tensors() -> None:
    tensors = lay_tensors(SHAPE, make_weights(SHAPE), "int8", kernel().quantize)
    kernel().prepare(SHAPE, tensors, "int8", kernel().choose())
    for index, tensor in enumerate(tensors):
        for damaged in (None, None if tensor is None else tensor[:-1], None if tensor is None else tensor[..., :-1]):
            with pytest.raises(CharloomError, match="not as large"):
                kernel().prepare(SHAPE, [*tensors[:index], damaged, *tensors[index + 1 :]], "int8", kernel().choose())
    for wrong in (tensors[:-1], [*tensors, tensors[-1]], []):
        with pytest.raises(CharloomError, match="not as large"):
            kernel().prepare(SHAPE, wrong, "int8", kernel().choose())


@pytest.mark.parametrize("name", tensor_shapes(SHAPE))
def test_weights_of_another_network(name: str) -> None:
    weights = dict(make_weights(SHAPE))
    damaged = weights[name].copy()
    damaged[0] = np.nan
    for wrong in (damaged, weights[name][:-1], weights[name].astype(np.float64)):
        with pytest.raises(ModelDirectoryError, match=re.escape(name)):
            Network(SHAPE, {**weights, name: wrong})  # type: ignore[dict-item]
    with pytest.raises(ModelDirectoryError, match=re.escape(name)):
        Network(SHAPE, {other: weights[other] for other in weights if other != name})


@pytest.mark.parametrize("wrong", [-1, 30, 2**31, 2**40, -(2**63)])
def test_ids(wrong: int) -> None:
    network, state = Network(SHAPE, make_weights(SHAPE)), make_state(SHAPE, 3)
    ids = make_ids(SHAPE, 4, 3)
    ids[3, 2] = wrong
    with pytest.raises(CharloomError, match="no symbol"):
        network.run(ids, state)
    with pytest.raises(CharloomError, match="no symbol"):
        network.write(ids[3], state, np.zeros((2, 3)), [SamplingSettings()] * 3)


def test_states_rows_and_settings() -> None:
    network, ids = Network(SHAPE, make_weights(SHAPE)), make_ids(SHAPE, 4, 3)
    for wrong in (make_state(SHAPE, 2), make_state(SHAPE, 3)[:-1]):
        with pytest.raises(UsageError, match="a state of"):
            network.run(ids, wrong)
    state, uniforms, sampling = make_state(SHAPE, 3), np.zeros((2, 3)), [SamplingSettings()] * 3
    with pytest.raises(UsageError, match="2 settings"):
        network.write(ids[0], state, uniforms, sampling[:2])
    with pytest.raises(UsageError, match="allowed ids for 3 rows and 30 symbols"):
        network.write(ids[0], state, uniforms, sampling, allowed=np.ones((3, 29), dtype=bool))
    with pytest.raises(UsageError, match="targets for"):
        network.nats(ids, ids[:-1], state)
    with pytest.raises(CharloomError, match="out of their bounds"):
        network.write(ids[0], state, uniforms, sampling, unknown_id=30)
    with pytest.raises(CharloomError, match="out of their bounds"):
        network.run(ids, state, first=-1)


def test_blocks_of_memory() -> None:
    network = Network(SHAPE, make_weights(SHAPE))
    loaded, model = kernel()._loaded, network._model
    work = kernel().workspace(model)
    ids, state, logits = np.zeros(1, dtype=np.int64), np.zeros((4, 1, 24), dtype=np.float32), np.zeros(30, dtype="f4")
    rest = (address(ids), 1, 1, 0, 1, address(state), address(logits), 0, None)

    def run(model_at: int, model_bytes: int, work_at: int, work_bytes: int) -> int:
        result: int = loaded.charloom_run(model_at, model_bytes, work_at, work_bytes, *rest)
        return result

    assert run(address(model), model.nbytes, address(work), work.nbytes) == 0
    assert run(address(model), model.nbytes, address(work), work.nbytes - 64) == -2
    assert run(address(model), model.nbytes, address(work) + 4, work.nbytes) == -2
    assert run(address(model), model.nbytes, 0, work.nbytes) == -2
    assert run(address(model), model.nbytes - 64, address(work), work.nbytes) == -6
    assert run(0, model.nbytes, address(work), work.nbytes) == -6
    zeros = aligned(1 << 14)
    zeros[:] = 0
    assert run(address(zeros), zeros.nbytes, address(work), work.nbytes) == -6
    assert loaded.charloom_work_bytes(address(zeros), zeros.nbytes) == -6


def test_micro_kernels_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kernel().micro_kernels()
    assert list(found)[-1] == "portable"
    assert kernel().choose() == next(iter(found.values()))
    assert kernel().choose("portable") == found["portable"]
    monkeypatch.setenv("CHARLOOM_KERNEL", "portable")
    assert kernel().choose() == found["portable"]
    monkeypatch.setenv("CHARLOOM_KERNEL", "abacus")
    with pytest.raises(UsageError, match=r"abacus: this processor runs .*portable"):
        kernel().choose()


def test_libraries(tmp_path: Path) -> None:
    with pytest.raises(CharloomError, match="cannot be loaded"):
        Library(tmp_path / "none.so")
    with pytest.raises(CharloomError, match="cannot be compiled"):
        compile_library(["--no-such-option"])
    assert compile_library() == compile_library()
