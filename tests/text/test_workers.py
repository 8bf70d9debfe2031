"""`corpus prepare --workers`: the same bytes as with one process, resumed file by file, in words where it cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.settings import ReadingSettings
from charloom.text import parts
from charloom.text.preparing import prepare_corpus
from tests.cli.conftest import Charloom, charloom, one_line

__all__ = ["charloom"]

WRITTEN = ("corpus.json", "ids.bin", "vocabulary.json")
CLEANINGS: tuple[Sequence[str], ...] = (
    [],
    ["nfc", "lowercase"],
    ["drop-empty-lines"],
    ["drop-speaker-lines"],
    ["drop-empty-lines", "drop-speaker-lines", "nfc"],
    ["lowercase", "drop-speaker-lines", "drop-empty-lines", "join-lines"],
    ["article"],
    ["join-lines", "lowercase"],
    ["mask-numbers", "join-lines"],
)


class _InThisProcess:
    """The pool's interface without processes, so that many texts can be tried."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **_: object) -> None:
        pass


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(parts, "ProcessPoolExecutor", _InThisProcess)
        patched.setattr(parts, "_LEAST", 8)  # bytes: nearly every file is a part of its own
        yield


documents = st.lists(st.text(alphabet="aΣ:\n\n \u0301é\r", max_size=12), min_size=1, max_size=6)


@given(documents, st.sampled_from(CLEANINGS), st.sampled_from(["characters", "bytes"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_any_files_give_the_same_bytes(
    without_processes: None,
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    cleaning: list[Any],
    vocabulary: Any,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_bytes(text.encode())
    chosen = ReadingSettings(clean=cleaning, vocabulary=vocabulary)
    found: list[object] = []
    for name, workers in (("one", None), ("several", 2)):
        try:
            prepare_corpus([str(folder / "*.txt")], folder / name, chosen, workers=workers)
            found.append([(folder / name / each).read_bytes() for each in WRITTEN])
        except Exception as error:
            found.append(str(error))
    assert found[0] == found[1]


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty files of prose, in several folders, one of them packed."""
    import gzip
    from pydoc_data.topics import topics

    folder = tmp_path / "texts"
    for number, name in enumerate(sorted(topics)[:30]):
        file = folder / str(number % 3) / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(topics[name] * 20 + "Ünd: Öl", "utf-8")
    with gzip.open(folder / "packed.txt.gz", "wb") as packed:
        packed.write(b"packed: yes\n" * 1000)
    return folder


@pytest.mark.parametrize("options", [(), ("--clean", "article", "--min-count", 5)])
def test_two_workers_write_the_same_bytes(
    charloom: Charloom, texts: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    one = charloom("corpus", "prepare", texts, "-o", tmp_path / "one", "--json", *options)
    two = charloom("corpus", "prepare", texts, "-o", tmp_path / "two", "--json", *options, "--workers", 2)
    assert two.status == 0, two.err
    assert [(tmp_path / "one" / name).read_bytes() for name in WRITTEN] == [
        (tmp_path / "two" / name).read_bytes() for name in WRITTEN
    ]
    said = ("characters", "unknown", "sha256", "sources", "cleaning", "vocab_size", "bytes")
    assert [two.json[name] for name in said] == [one.json[name] for name in said]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(WRITTEN)


@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_a_killed_run_continues_with_what_is_finished(charloom: Charloom, texts: Path, tmp_path: Path) -> None:
    folder, large = tmp_path / "p", tmp_path / "large"
    large.mkdir()
    for number in range(12):
        (large / f"{number:02}.txt").write_text(f"{number} the same line again and again\n" * 150_000)
    command = [sys.executable, "-m", "charloom", "corpus", "prepare", str(large), "-o", str(folder), "--workers", "2"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(folder.glob(".parts/*.json")):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in folder.glob(".parts/*.json")}
    assert finished
    assert not (folder / "corpus.json").exists()
    stamps: dict[Path, int] = {}
    whole = parts.remove_parts

    def keep_stamps(folder: Path) -> None:
        stamps.update({path: path.stat().st_mtime_ns for path in folder.glob(".parts/*.json")})
        whole(folder)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("charloom.text.preparing.remove_parts", keep_stamps)
        assert charloom("corpus", "prepare", large, "-o", folder, "--workers", 2).status == 0
    assert finished.items() <= stamps.items(), "a finished file was made again"
    assert charloom("corpus", "prepare", large, "-o", tmp_path / "one").status == 0
    assert (folder / "ids.bin").read_bytes() == (tmp_path / "one" / "ids.bin").read_bytes()
    assert not (folder / ".parts").exists()


def test_a_file_that_changed_meanwhile_is_read_again(charloom: Charloom, texts: Path, tmp_path: Path) -> None:
    broken = texts / "2" / "zz.txt"
    broken.write_bytes(b"\xff\xfe latin\n")
    ran = charloom("corpus", "prepare", texts, "-o", tmp_path / "p", "--workers", 2)
    assert ran.status == 1
    assert "zz.txt is not UTF-8" in one_line(ran)
    broken.write_text("mended\n")
    assert charloom("corpus", "prepare", texts, "-o", tmp_path / "p", "--workers", 2).status == 0
    assert charloom("corpus", "prepare", texts, "-o", tmp_path / "one").status == 0
    assert (tmp_path / "p" / "corpus.json").read_bytes() == (tmp_path / "one" / "corpus.json").read_bytes()


def test_refusals(charloom: Charloom, texts: Path, tmp_path: Path) -> None:
    to = ("-o", tmp_path / "p", "--workers", 2)
    ran = charloom("corpus", "prepare", texts, *to, "--clean", "join-lines,drop-empty-lines")
    assert ran.status == 2
    assert "name join-lines last" in one_line(ran)
    ran = charloom("corpus", "prepare", "python-docs", *to)
    assert ran.status == 2
    assert "--workers is for files of this machine, not python-docs" in one_line(ran)
    (tmp_path / "empty.txt").touch()
    ran = charloom("corpus", "prepare", tmp_path / "empty.txt", *to)
    assert ran.status == 1
    assert "is empty" in one_line(ran)
    assert charloom("corpus", "prepare", texts, "-o", tmp_path / "p", "--workers", 0).status == 2


def test_the_same_file_twice(charloom: Charloom, texts: Path, tmp_path: Path) -> None:
    file = texts / "packed.txt.gz"
    for name, more in (("one", ()), ("two", ("--workers", 2))):
        assert charloom("corpus", "prepare", file, file, "-o", tmp_path / name, *more).status == 0
    assert json.loads((tmp_path / "one" / "corpus.json").read_text()) == json.loads(
        (tmp_path / "two" / "corpus.json").read_text()
    )


@pytest.mark.parametrize("options", [(), ("--clean", "gutenberg"), ("--vocabulary", "bytes")])
def test_the_same_is_said(charloom: Charloom, texts: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    (texts / "1" / "an image.png").write_bytes(b"\x89PNG\0")
    for name in ("a book.txt", "another book.txt"):
        (texts / "2" / name).write_text("Title: A\n\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\nA dark night.\n")
    one = charloom("corpus", "prepare", texts, "-o", tmp_path / "one", "--json", *options)
    two = charloom("corpus", "prepare", texts, "-o", tmp_path / "two", "--json", *options, "--workers", 2)
    assert one.err == two.err
    assert ("Project Gutenberg are in a book.txt" in " ".join(two.err.split())) == ("gutenberg" not in options)
    assert "passed over 1 binary file" in two.err
    assert (tmp_path / "one" / "ids.bin").read_bytes() == (tmp_path / "two" / "ids.bin").read_bytes()


def test_a_part_that_another_program_cut_is_made_again(
    charloom: Charloom, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = parts.number_part

    def cut_and_number(part: parts.Part, *arguments: Any) -> int:
        with part.text.open("r+b") as text:
            text.truncate(part.text.stat().st_size // 2)
        return number(part, *arguments)

    monkeypatch.setattr(parts, "ProcessPoolExecutor", _InThisProcess)
    monkeypatch.setattr(parts, "number_part", cut_and_number)
    ran = charloom("corpus", "prepare", texts, "-o", tmp_path / "p", "--workers", 2)
    assert ran.status == 1
    assert "was changed by another program: run the same command again" in one_line(ran)
    assert not (tmp_path / "p" / "corpus.json").exists()
    monkeypatch.setattr(parts, "number_part", number)
    assert charloom("corpus", "prepare", texts, "-o", tmp_path / "p", "--workers", 2).status == 0
    assert charloom("corpus", "prepare", texts, "-o", tmp_path / "one").status == 0
    assert (tmp_path / "p" / "ids.bin").read_bytes() == (tmp_path / "one" / "ids.bin").read_bytes()
