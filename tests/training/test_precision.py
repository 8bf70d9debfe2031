"""Learning in bfloat16: the products are rounded, the weights and what is kept of a run are float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import charloom
from charloom.errors import UsageError
from charloom.events import Event, StepTaken
from charloom.training import device
from tests.training.test_run import OPTIONS, after

# A GRU: oneDNN, which runs PyTorch's LSTM, refuses where it would have to emulate.
BFLOAT16 = {**OPTIONS, "cell": "gru", "precision": "bfloat16"}


@pytest.fixture
def short(small_text: Path, tmp_path: Path) -> Path:
    path = tmp_path / "short.txt"
    path.write_text(small_text.read_text("utf-8")[:4_000], "utf-8")
    return path


@pytest.fixture
def computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has bfloat16, as far as charloom can tell."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


def train(text: Path, folder: Path, **options: Any) -> list[float]:
    events: list[Event] = []
    charloom.train(text, folder, notify=events.append, **options)
    return [event.loss for event in events if isinstance(event, StepTaken)]


@pytest.mark.usefixtures("computes")
def test_it_learns_what_float32_learns(short: Path, tmp_path: Path) -> None:
    rounded = train(short, tmp_path / "rounded", **BFLOAT16)
    exact = train(short, tmp_path / "exact", **{**BFLOAT16, "precision": "float32"})
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.02)
    weights = load_file(tmp_path / "rounded" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert charloom.load(tmp_path / "rounded").config.training["settings"]["precision"] == "bfloat16"


@pytest.mark.slow
@pytest.mark.usefixtures("computes")
def test_resumed_is_uninterrupted_bit_for_bit(short: Path, tmp_path: Path) -> None:
    train(short, tmp_path / "whole", **BFLOAT16)
    charloom.train(short, tmp_path / "stopped", should_stop=after(17), **BFLOAT16)
    charloom.train(short, tmp_path / "stopped", resume=True)
    whole, stopped = (tmp_path / name / "model.safetensors" for name in ("whole", "stopped"))
    assert stopped.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_where_it_is_missing_a_run_goes_on_in_float32(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
        charloom.train(short, tmp_path / "m", should_stop=after(17), **BFLOAT16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(UsageError, match="choose float32"):
        charloom.train(short, tmp_path / "m", resume=True)
    assert charloom.train(short, tmp_path / "m", resume=True, precision="float32").steps == OPTIONS["steps"]


@pytest.mark.parametrize("capabilities", [{}, {"avx2": True, "avx512_bf16": False, "amx_bf16": False}])
def test_where_it_would_be_emulated_it_is_refused(
    capabilities: dict[str, bool], short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    with pytest.raises(UsageError, match=r"bfloat16.*this processor does not compute in it; choose float32"):
        train(short, tmp_path / "m", **BFLOAT16)
    assert not (tmp_path / "m").exists()
    train(short, tmp_path / "m", **{**BFLOAT16, "precision": "auto", "steps": 1})


def test_a_processor_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("avx512_bf16", "amx_bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert device.computes_bfloat16(torch.device("cpu"))
