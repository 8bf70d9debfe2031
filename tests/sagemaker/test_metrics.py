"""The graphs in CloudWatch are drawn from what a training really writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from charloom.bundle import evaluations, read_history
from charloom.cli.main import main
from charloom.report import LOG_METRICS
from charloom.sagemaker.container.training import run


def read(log: str) -> dict[str, list[float]]:
    """As CloudWatch does: the group of each match in each line."""
    return {
        name: [float(found) for line in log.splitlines() for found in re.findall(regex, line)]
        for name, regex in LOG_METRICS.items()
    }


def test_a_job_and_the_command_write_what_is_read(
    small_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--hidden-size", "8", "--steps", "8", "--evaluate-every", "4", "--device", "cpu", "--threads", "1"]
    with pytest.raises(SystemExit):
        main(["train", str(small_text), "-o", str(tmp_path / "command"), *small])
    logs = {"command": "".join(capsys.readouterr())}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_bytes(small_text.read_bytes())
    environ = {"SM_CHANNEL_TRAINING": str(tmp_path / "data"), "SM_MODEL_DIR": str(tmp_path / "job")}
    run({**environ, "SM_OUTPUT_DATA_DIR": str(tmp_path / "o"), "SAGEMAKER_BASE_DIR": str(tmp_path / "ml")}, small)
    logs["job"] = "".join(capsys.readouterr())
    for folder, log in logs.items():
        found = read(log)
        history = evaluations(read_history(tmp_path / folder / "metrics.jsonl"))
        assert len(history) >= 3, log
        assert found["validation:loss"] == rounded([one.validation_loss for one in history], 4)
        assert found["validation:bits_per_char"] == rounded([one.bits_per_char for one in history], 3)
        assert found["epoch"] == rounded([one.epoch for one in history], 2)
        assert len(found["train:loss"]) >= len(history)


def test_the_lines_of_a_long_run_are_read() -> None:
    log = """\
step 12,345/1,000,000 · loss 1.234 · 1.78 bits/char · 123,456 chars/s · 1 h 02 min left
step 1,200 · epoch 12.50 · train 1.301 · validation 1.4477 nats = 2.089 bits/char · not best
1.4477 nats = 2.089 bits per character (stateful)
"""
    assert read(log) == {
        "train:loss": [1.234, 1.301],
        "validation:loss": [1.4477],
        "validation:bits_per_char": [2.089],
        "epoch": [12.5],
    }


def rounded(figures: list[float | None], places: int) -> list[float]:
    assert None not in figures
    return [round(figure, places) for figure in figures if figure is not None]
