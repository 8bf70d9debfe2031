"""A model directory that is replaced while others read it."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

import charloom
from charloom.bundle import open_model_directory, reading
from charloom.errors import ModelDirectoryError
from tests.faults.processes import PATIENCE, finish, start_code

LOADS = 8

# Writes model A and model B over each other until its input ends.
WRITER = """
import sys, threading
from pathlib import Path
from charloom.bundle import open_model_directory, write_model_directory
from charloom.text.vocabulary import vocabulary_from_json

target, *sources = (Path(name) for name in sys.argv[1:])
models = []
for source in sources:
    directory = open_model_directory(source)
    names = ("model.safetensors", "model.onnx", "model.int8.onnx")
    models.append((directory, {name: (source / name).read_bytes() for name in names}))
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
stop, written = threading.Event(), 0
while not stop.is_set():
    directory, files = models[written % 2]
    make = lambda checksums: directory.config.model_copy(update={"files": checksums})
    write_model_directory(target, make, directory.vocabulary, directory.sampling, files)
    written += 1
print(written)
"""

# Loads until it has got several texts, and prints each and how often, whichever graph wrote it.
READER = """
import collections, json, sys, time
import charloom

path, loads = sys.argv[1], int(sys.argv[2])
texts = collections.Counter()
while len(texts) < 2 or texts.total() < loads:
    model = charloom.load(path)
    time.sleep(0.002)  # the other graph is read later than the first
    evaluated = model.evaluate(sys.argv[3], split="all").bits_per_char
    texts[json.dumps([model.generate("The", length=30, temperature=0).text, evaluated])] += 1
print(json.dumps(texts))
"""


@pytest.fixture(scope="module")
def other(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model, with another vocabulary and another size."""
    folder = tmp_path_factory.mktemp("other") / "model"
    charloom.train(
        small_text,
        folder,
        cell="gru",
        hidden_size=24,
        embedding_size=8,
        batch_size=8,
        bptt=32,
        steps=10,
        threads=1,
        device="cpu",
        clean=["lowercase"],
    )
    return folder


def answer(path: Path, text: Path) -> str:
    model = charloom.load(path)
    evaluated = model.evaluate(text, split="all").bits_per_char
    return json.dumps([model.generate("The", length=30, temperature=0).text, evaluated])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="on Windows a file that is being read cannot be replaced")
def test_two_read_while_a_third_replaces(trained: Path, other: Path, tmp_path: Path) -> None:
    """Every load gives one of the two models whole: its writing and its measuring belong together."""
    (tmp_path / "text.txt").write_text("the price of fish, The price of bread\n", "utf-8")
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    writer = start_code(WRITER, target, trained, other)
    readers = [start_code(READER, target, LOADS, tmp_path / "text.txt") for _ in range(2)]
    seen: set[str] = set()
    for reader in readers:
        status, out, err = finish(reader)
        assert status == 0, err
        seen |= set(json.loads(out))
    written, err = writer.communicate("", timeout=PATIENCE)
    assert writer.returncode == 0, err
    assert int(written) >= 2
    assert seen == {answer(trained, tmp_path / "text.txt"), answer(other, tmp_path / "text.txt")}


@pytest.mark.skipif(os.name != "posix", reason="Windows does not let a file that is held open be replaced")
def test_what_is_read_later_is_of_the_model_that_was_opened(trained: Path, other: Path, tmp_path: Path) -> None:
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    opened = open_model_directory(target)
    for file in other.iterdir():
        shutil.copy2(file, tmp_path / "new")
        (tmp_path / "new").replace(target / file.name)
    assert opened.read_graph("model.onnx") == opened.read_graph("model.onnx") == (trained / "model.onnx").read_bytes()
    assert opened.read_graph("model.int8.onnx") == (trained / "model.int8.onnx").read_bytes()
    assert opened.read_weights() == (trained / "model.safetensors").read_bytes()
    assert open_model_directory(target).read_graph("model.onnx") == (other / "model.onnx").read_bytes()


def test_a_reader_waits_for_the_configuration_that_is_about_to_come(trained: Path, tmp_path: Path) -> None:
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    waiting = (target / "config.json").replace(target / ".config.json.123.part")
    threading.Timer(0.3, lambda: waiting.replace(target / "config.json")).start()
    assert charloom.load(target).config == charloom.load(trained).config


def test_a_reader_does_not_wait_for_ever(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that was killed left its configuration beside."""
    monkeypatch.setattr(reading, "PATIENCE", 0.1)
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    (target / "config.json").rename(target / ".config.json.123.part")
    with pytest.raises(ModelDirectoryError, match=r"holds no model: there is no config\.json"):
        charloom.load(target)


def test_a_directory_replaced_again_and_again_is_given_up(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.1)
    target = Path(shutil.copytree(trained, tmp_path / "model"))

    def replaced_meanwhile() -> None:
        shutil.copy2(target / "config.json", tmp_path / "new")
        (tmp_path / "new").replace(target / "config.json")

    with pytest.raises(ModelDirectoryError, match="replaced again and again"):
        reading.unless_replaced(target, replaced_meanwhile)


def test_damage_is_not_waited_for(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing moves, the first look decides."""
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    (target / "vocabulary.json").write_bytes(b"{}")
    with pytest.raises(ModelDirectoryError, match="checksum"):
        charloom.load(target)
    (target / "config.json").unlink()
    with pytest.raises(ModelDirectoryError, match="holds no model"):
        charloom.load(target)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors", "generation_config.json"])
def test_a_named_pipe_does_not_hold_a_reader_up(trained: Path, tmp_path: Path, name: str) -> None:
    target = Path(shutil.copytree(trained, tmp_path / "model"))
    (target / name).unlink()
    os.mkfifo(target / name)
    with pytest.raises(ModelDirectoryError, match="it is not a file"):
        charloom.load(target, precision="float32")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be counted here")
def test_files_are_let_go_with_the_model(trained: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    model = charloom.load(trained)
    holding = open_files()
    del model
    before = open_files()
    assert before < holding
    for _ in range(20):
        charloom.load(trained)
    assert open_files() == before
