"""Models in other processes: sent as a place, opened once a process; a file scored by several workers."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import charloom
from tests.test_documents import ROOT, blocks

EXAMPLE = ROOT / "examples" / "scoring_workers.py"
LINES = "The quick brown fox.\nline two\n\nünd vier\n"


def test_a_pickled_model_is_its_place_opened_once(trained: Path) -> None:
    model = charloom.load(trained, precision="float32")
    sent = pickle.dumps(model)
    assert len(sent) < 1000
    first, second = pickle.loads(sent), pickle.loads(sent)  # noqa: S301  (made here)
    assert first is second
    assert first.precision == "float32"
    assert first.score(LINES).nats == model.score(LINES).nats


def test_a_model_named_by_a_relative_path_is_found_from_anywhere(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    sent = pickle.dumps(charloom.load(trained.name))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(sent).path == trained  # noqa: S301


def test_an_adapted_model_is_sent_with_its_weights(trained: Path) -> None:
    from safetensors.numpy import load_file

    weights = {
        name: np.asarray(0.5 * each, np.float32) for name, each in load_file(trained / "model.safetensors").items()
    }
    adapted = charloom.load(trained).with_weights(weights)
    again = pickle.loads(pickle.dumps(adapted))  # noqa: S301
    assert again.score(LINES).nats == adapted.score(LINES).nats != charloom.load(trained).score(LINES).nats


def test_another_model_in_its_place_is_refused(trained: Path, small_text: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    sent = pickle.dumps(charloom.load(folder))
    charloom.train(small_text, folder, overwrite=True, hidden_size=16, steps=1, threads=1, device="cpu")
    with pytest.raises(charloom.ModelDirectoryError, match="another model than the one that was sent"):
        pickle.loads(sent)  # noqa: S301


def workers_of(pid: int) -> list[int]:
    """The processes of a pool, where Linux lists them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            found.append(int(child))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes as Linux lists them")
@pytest.mark.slow
def test_lines_keep_their_order_and_numbers_though_a_worker_is_killed(trained: Path, tmp_path: Path) -> None:
    lines = [f"{number} {LINES.splitlines()[number % 4]}" for number in range(30_000)]
    (tmp_path / "log.txt").write_text("\n".join(lines) + "\n", "utf-8")
    output = tmp_path / "scores.jsonl"
    command = [sys.executable, str(EXAMPLE), str(trained), str(tmp_path / "log.txt"), str(output), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        unfinished = tmp_path / "scores.jsonl.part"
        while process.poll() is None and not (unfinished.exists() and unfinished.stat().st_size):
            time.sleep(0.01)
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        assert process.wait(600) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    expected = charloom.load(trained).score_lines(lines)
    assert [row["line"] for row in rows] == list(range(1, len(lines) + 1))
    assert [row["nats"] for row in rows] == pytest.approx([score.nats for score in expected])


def test_a_small_file_by_two_workers(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LINES + "no line end", "utf-8")
    command = [sys.executable, str(EXAMPLE), str(trained), str(tmp_path / "log.txt"), str(tmp_path / "scores.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 3, 4, 5]
    expected = charloom.load(trained).score_lines([*LINES.splitlines(), "no line end"])
    assert [row["nats"] for row in rows] == pytest.approx([score.nats for score in expected])


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_an_engine_that_is_missing_is_named_with_what_to_install(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LINES, "utf-8")
    command = [sys.executable, str(EXAMPLE), str(trained), "log.txt", "scores.jsonl", "--engine", "ray"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1
    assert (done.stderr.count("\n"), "pip install 'ray[data]'" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


@pytest.mark.slow
def test_lines_are_those_of_charloom_score_and_scores_are_whole_or_not_there(trained: Path, tmp_path: Path) -> None:
    lines, scores = tmp_path / "log.txt", tmp_path / "scores.jsonl"

    def run(file: Path, output: Path) -> tuple[int, str]:
        command = [sys.executable, str(EXAMPLE), str(trained), str(file), str(output), "--workers", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stderr

    lines.write_bytes(b"\xef\xbb\xbfThe fox.\r\n\r\none\rtwo\nline \x0b two\r\n")
    assert run(lines, scores) == (0, "")
    whole = scores.read_text()
    expected = charloom.load(trained).score_files(lines, lines=True)
    assert [json.loads(row)["nats"] for row in whole.splitlines()] == pytest.approx([one.nats for one in expected])
    before = lines.read_bytes()
    assert run(lines, lines)[0] == 2
    assert lines.read_bytes() == before
    (tmp_path / "bad.txt").write_bytes(b"one\n\xff\xfe\n")
    for file in (tmp_path / "bad.txt", tmp_path / "none.txt"):
        status, said = run(file, scores)
        assert status == 1
        assert "Traceback" not in said
        assert ("line 2 of " in said) == (file.name == "bad.txt")
        assert scores.read_text() == whole
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt", "scores.jsonl", "bad.txt"}


def test_the_page_on_workers_runs_as_written(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "log")
    (tmp_path / "today.log").write_text(LINES, "utf-8")
    page = ROOT / "docs" / "how-to" / "score-on-several-workers.md"
    (code,), (command,) = blocks(page, "python"), blocks(page, "sh")
    program, example, *words = shlex.split(command)
    assert (program, ROOT / example) == ("python", EXAMPLE)
    for arguments in (["-c", code], [str(EXAMPLE), *words]):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 4
