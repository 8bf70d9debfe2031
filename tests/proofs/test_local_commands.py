"""A job of this machine, by the commands of jobs on Amazon's."""

from __future__ import annotations

from pathlib import Path

import pytest

from charloom.sagemaker.local.records import HOME

from ..cli.conftest import Charloom, charloom  # noqa: F401

SMALL = ["--steps", "4", "--hidden-size", "8", "--threads", "1", "--device", "cpu"]


@pytest.mark.slow
def test_a_job_of_this_machine_answers_the_same_commands(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # Amazon is not asked
    command = ["sagemaker", "train", small_text, *SMALL, "--instance", "local", "--name", "here"]
    ran = charloom(*command, "-o", tmp_path / "model", "--json")
    assert ran.status == 0, ran.err
    assert ran.json == {**ran.json, "job": "here", "status": "Completed", "price": 0.0}
    assert charloom("generate", tmp_path / "model", "--length", "5", "--json").json["characters"] == 5
    assert "Completed" in charloom("sagemaker", "status", "here").out
    assert "validation" in charloom("sagemaker", "logs", "here").out
    assert charloom("sagemaker", "stop", "here", "--json").json["stopped"] is False
    assert charloom("sagemaker", "attach", "here", "-o", tmp_path / "again", "--json").json["job"] == "here"
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (tmp_path / "model" / "model.onnx").read_bytes()
