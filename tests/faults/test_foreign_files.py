"""Model directories with links, pipes and values that a stranger put there: nothing leaks, hangs or is unexpected."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charloom.bundle import open_model_directory
from tests.bundle.test_model_directory import edit
from tests.cli.conftest import Charloom, charloom, one_line
from tests.serving.conftest import serving

__all__ = ["charloom"]

SECRET = "the key is 12345"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET, "utf-8")
    return path


def facts(model: Path) -> dict[str, Any]:
    with serving({"small": model}) as client:
        answer = client.get("/api/models/small")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_link_to_a_file_of_this_machine_is_not_shown_or_packed(
    charloom: Charloom, model: Path, secret: Path, tmp_path: Path
) -> None:
    (model / "README.md").unlink()
    (model / "README.md").symlink_to(secret)
    assert facts(model)["card"] is None
    ran = charloom("inspect", model)
    assert ran.status == 1
    assert "NOT WHOLE: README.md is altered" in ran.out
    assert SECRET not in ran.out
    ran = charloom("sagemaker", "package", model, "-o", tmp_path / "m.tar.gz")
    assert ran.status == 1
    assert "README.md is altered" in one_line(ran)


def test_a_card_that_its_owner_edited_is_shown(charloom: Charloom, model: Path) -> None:
    (model / "README.md").write_text("# mine", "utf-8")
    assert facts(model)["card"] == "# mine"
    assert charloom("inspect", model).status == 0


@pytest.mark.parametrize("name", ["README.md", "metrics.jsonl"])
def test_a_pipe_is_not_waited_for(charloom: Charloom, model: Path, name: str) -> None:
    (model / name).unlink()
    os.mkfifo(model / name)
    found = facts(model)
    assert found["card"] is None if name == "README.md" else found["history"] == []
    ran = charloom("inspect", model)
    assert ran.status == 1
    assert f"{name} is missing" in ran.out


def test_links_to_the_recorded_content_are_followed(charloom: Charloom, model: Path, tmp_path: Path) -> None:
    """As in the cache of a model hub: each file is a link into a folder of contents, and the folder may be one."""
    before = facts(model)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for file in list(model.iterdir()):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(blob)
    (tmp_path / "latest").symlink_to(model)
    assert facts(tmp_path / "latest") == before
    assert before["card"]
    assert before["history"]
    assert charloom("inspect", tmp_path / "latest").status == 0
    assert charloom("generate", tmp_path / "latest", "--length", 3).status == 0


@pytest.mark.parametrize("content", [SECRET, '{"length": 3}'])
def test_settings_that_are_a_link_to_another_file_are_refused(
    charloom: Charloom, model: Path, secret: Path, content: str
) -> None:
    secret.write_text(content, "utf-8")
    (model / "generation_config.json").unlink()
    (model / "generation_config.json").symlink_to(secret)
    ran = charloom("generate", model)
    assert ran.status == 1
    assert "generation_config.json: it is not a file, or a link to another file" in one_line(ran)
    assert SECRET not in ran.err


def test_a_history_of_any_size_takes_little_memory(model: Path) -> None:
    lines = [json.dumps({"step": step, "validation_loss": 1.5, "sample": "x" * 400}) for step in range(100_000)]
    (model / "metrics.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    del lines
    directory = open_model_directory(model)
    tracemalloc.start()
    try:
        found = directory.read_evaluations()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [record.step for record in found] == list(range(100_000 - len(found), 100_000))
    assert len(found) > 5_000
    assert peak < 64 << 20
    assert len(facts(model)["history"]) == 5_000


VALUES: dict[str, Callable[[dict[str, Any]], object]] = {
    "half a pair in sources": lambda config: config["corpus"].update(sources=["a\ud800.txt"]),
    "half a pair in the version": lambda config: config.update(library_version="1\udfff"),
    "half a pair in the encoding": lambda config: config["corpus"].update(encoding="\udc80"),
    "half a pair in a free value": lambda config: config["training"].update(note=["\ud800"]),
    "half a pair in a free key": lambda config: config["training"].update({"\ud800": 1}),
    "nested 800 deep": lambda config: config["training"].update(note=nested(800)),
}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("change", VALUES.values(), ids=VALUES.keys())
def test_values_that_cannot_be_written_again_are_refused_at_once(
    charloom: Charloom, model: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(model, change)
    lines = [["generate", model], ["inspect", model], ["inspect", model, "--json"]]
    lines += [["export", model, f"--{kind}", tmp_path / "file"] for kind in ("html", "onnx")]
    for line in lines:
        ran = charloom(*line)
        assert (ran.status, ran.out) == (1, "")
        assert "config.json is damaged: a " in one_line(ran)


@pytest.mark.parametrize("value", [nested(150), 1e308, "\x00\x1b[31m\u2028", [None] * 1000, 10**300, True])
def test_whatever_else_is_in_free_values_is_harmless(
    charloom: Charloom, model: Path, tmp_path: Path, value: Any
) -> None:
    edit(model, lambda config: config["training"].update(note=value))
    for line in (["inspect", model], ["inspect", model, "--json"], ["export", model, "--html", tmp_path / "page"]):
        assert charloom(*line).status == 0
    assert facts(model)["config"]["training"]["note"] == value


@pytest.mark.parametrize("protocol", ["\ud800", ["cold-60"], 3, None, "mine"])
def test_a_history_with_an_unknown_protocol_is_shown_without_it(
    charloom: Charloom, model: Path, protocol: object
) -> None:
    record = {"step": 1, "validation_loss": 2.0, "protocol": protocol}
    (model / "metrics.jsonl").write_text(json.dumps(record), "utf-8")
    assert [one["protocol"] for one in facts(model)["history"]] == [None]
    assert charloom("inspect", model, "--json").json["history"][0]["protocol"] is None
