"""Nothing that somebody has in a folder is lost, whatever command writes there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import charloom as library
from charloom.sagemaker.local.job_runs import pack_model
from tests.cli.conftest import Charloom, charloom, one_line
from tests.faults.processes import Running, history, newest_step

__all__ = ["charloom"]

TINY = (
    "--hidden-size", 16, "--embedding-size", 8, "--batch-size", 8, "--bptt", 32, "--threads", 1, "--device", "cpu",
)  # fmt: skip
QUICK = (*TINY, "--steps", 2)

WRITERS = {
    "train": ("train", "TEXT", "-o", "OUT", *QUICK),
    "train --resume": ("train", "TEXT", "-o", "OUT", "--resume", *QUICK),
    "fine-tune": ("train", "TEXT", "-o", "OUT", "--init-from", "MODEL", "--steps", 2, "--device", "cpu"),
    "quickstart": ("quickstart", "TEXT", "-o", "OUT", "--steps", 2),
    "prepare": ("corpus", "prepare", "TEXT", "-o", "OUT"),
    "local job": ("sagemaker", "train", "TEXT", "-o", "OUT", "--instance", "local", "--name", "fresh", *QUICK),
    "attach": ("sagemaker", "attach", "job", "-o", "OUT"),
}
NO_OVERWRITE = ("train --resume", "quickstart")

PROJECTS = {
    "a project": {
        "README.md": "precious", "src/main.py": "print()", "metrics.jsonl": '{"step": 1}', "loss.svg": "<svg/>",
        "vocabulary.json": "{}", "generation_config.json": "{}", "model.safetensors": "weights", "model.onnx": "graph",
    },
    "another program's configuration": {"config.json": '{"name": "webapp"}', "src/main.py": "x", "README.md": "mine"},
    "a configuration with a version": {"config.json": '{"format_version": 1, "model": "gpt2"}', "notes.txt": "mine"},
    "a training folder of its own": {"training/notes.md": "mine", "training/run.json": "[]"},
    "ids of another program": {"ids.bin": "123", "corpus.json": '{"texts": 3}'},
    "one file": {"notes.txt": "mine"},
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that a folder holds: a file's bytes, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    return folder


@pytest.fixture
def finished_job(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of this machine called `job`, with the trained model as its result."""
    home = tmp_path / "home"
    monkeypatch.setenv("CHARLOOM_HOME", str(home))
    archive = home / "jobs" / "job" / "output" / "model.tar.gz"
    pack_model(trained, archive)
    now = datetime.now(UTC).isoformat()
    record = {
        "name": "job", "status": "Completed", "started": now, "ended": now, "artifact": str(archive), "channels": {},
        "hyperparameters": {},
    }  # fmt: skip
    (home / "jobs" / "job" / "record.json").write_text(json.dumps(record), "utf-8")


def command(name: str, text: Path, model: Path, out: Path, overwrite: bool) -> list[object]:
    places = {"TEXT": text, "MODEL": model, "OUT": out}
    words: list[object] = [places.get(str(word), word) for word in WRITERS[name]]
    return [*words, "--overwrite"] if overwrite else words


@pytest.mark.usefixtures("finished_job")
@pytest.mark.parametrize("overwrite", [False, True], ids=["", "--overwrite"])
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_of_somebody_elses_is_refused_and_stays(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path, writer: str, project: str, overwrite: bool
) -> None:
    if overwrite and writer in NO_OVERWRITE:
        pytest.skip("it has no --overwrite")
    folder = made(tmp_path / "theirs", PROJECTS[project])
    before = contents(folder)
    ran = charloom(*command(writer, small_text, trained, folder, overwrite))
    assert ran.status in (1, 2)
    assert "theirs" in ran.err.splitlines()[-1]
    assert "choose another folder" in ran.err.splitlines()[-1]
    assert contents(folder) == before
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


THEIRS = {"notes.txt": "mine", "src/main.py": "print()", "training/notes.md": "mine", "model.md": "mine"}
EDITED = {"README.md": "what I found out", "generation_config.json": '{"temperature": 0.3}'}


@pytest.mark.slow
@pytest.mark.usefixtures("finished_job")
@pytest.mark.parametrize("writer", ["train", "fine-tune", "attach", pytest.param("local job", marks=pytest.mark.slow)])
def test_a_model_is_replaced_and_what_people_put_beside_it_stays(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path, writer: str
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    made(folder, {**THEIRS, **EDITED})
    before = contents(folder)
    assert "--overwrite" in charloom(*command(writer, small_text, trained, folder, False)).err
    assert contents(folder) == before
    config = json.loads((folder / "config.json").read_bytes())
    config["training"]["mark"] = "old"
    (folder / "config.json").write_text(json.dumps(config), "utf-8")

    ran = charloom(*command(writer, small_text, trained, folder, True))
    assert ran.status == 0, ran.err
    after = contents(folder)
    assert {name: after.get(name) for name in [*THEIRS, *EDITED]} == {
        name: content.encode() for name, content in {**THEIRS, **EDITED}.items()
    }
    assert set(after) == set(before)
    assert "mark" not in json.loads((folder / "config.json").read_bytes())["training"]
    assert ran.err.count("was edited by somebody, and stays as it is") >= len(EDITED)
    assert charloom("inspect", folder).status == 0
    assert library.load(folder).generate("a", length=3).text


def test_what_an_older_model_had_and_the_new_one_has_not_goes(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path
) -> None:
    """But only as far as charloom recorded that it wrote it."""
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_bytes())
    del config["files"]["loss.svg"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    before = contents(folder)
    ran = charloom("train", small_text, "-o", folder, "--overwrite", *QUICK)
    assert ran.status == 1
    assert "loss.svg would be replaced" in one_line(ran)
    assert contents(folder) == before


@pytest.mark.parametrize("target", ["folder", "folder/m", "folder/sub/m"])
def test_an_output_inside_the_corpus_is_refused(
    charloom: Charloom, small_text: Path, tmp_path: Path, target: str
) -> None:
    folder = made(tmp_path / "folder", {"a.txt": small_text.read_text("utf-8"), "sub/b.txt": "abc\n"})
    before = contents(folder)
    for words in (("train", *QUICK), ("corpus", "prepare"), ("sagemaker", "train", "--instance", "local", *QUICK)):
        ran = charloom(*words, folder, "-o", tmp_path / target)
        assert ran.status == 2
        assert "is inside the corpus" in one_line(ran)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("pattern", "output", "inside"),
    [
        ("*.txt", "m", False),
        ("*", "m", False),
        ("**", "m", True),
        ("**/*.md", "m", True),
        ("**/*.txt", "m", False),
        ("m/*", "m", True),
        ("m/README.md", "m", True),
        ("*/training/*", "m", True),
        ("sub/**/*", "m", False),
        ("[mn]/*.json", "m", True),
    ],
)
def test_a_pattern_that_would_find_what_is_written(
    charloom: Charloom, small_text: Path, tmp_path: Path, pattern: str, output: str, inside: bool
) -> None:
    made(tmp_path, {"a.txt": small_text.read_text("utf-8"), "sub/b.txt": "abc\n", "m/.hidden": ""})
    ran = charloom("train", tmp_path / pattern, "-o", tmp_path / output, "--device", "toaster")
    assert ran.status == 2
    assert "is inside the corpus" in ran.err or "toaster" in ran.err
    assert ("is inside the corpus" in ran.err) == inside


@pytest.mark.usefixtures("finished_job")
@pytest.mark.parametrize("out", ["link", "link/m"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_to_nothing_is_said(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path, writer: str, out: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for overwrite in (False, True)[: 1 if writer in NO_OVERWRITE else 2]:
        ran = charloom(*command(writer, small_text, trained, tmp_path / out, overwrite))
        assert ran.status in (1, 2)
        assert f"{tmp_path / 'link'} is a link to nothing: remove it" in ran.err.splitlines()[-1]
        assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("out", ["link", "link/file"])
@pytest.mark.parametrize(
    "words", [("export", "--html"), ("export", "--onnx"), ("sagemaker", "package", "-o"), ("package", "--source")]
)
def test_a_link_to_nothing_where_a_file_is_to_go(
    charloom: Charloom, trained: Path, tmp_path: Path, words: tuple[str, ...], out: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    *start, option = words
    command = ("sagemaker", "package") if option == "--source" else (*start, trained)
    for more in ((), ("--overwrite",)):
        ran = charloom(*command, option, tmp_path / out, *more)
        assert ran.status in (1, 2)
        assert f"{tmp_path / 'link'} is a link to nothing: remove it" in one_line(ran)
        assert (tmp_path / "link").is_symlink()
        assert not (tmp_path / "absent").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_whose_folder_is_moved_ends_and_can_be_resumed(
    charloom: Charloom, small_text: Path, tmp_path: Path, replaced: bool
) -> None:
    out, moved = tmp_path / "m", tmp_path / "moved"
    common = ("--steps", 1_000_000, "--evaluate-every", 50)
    with Running("train", small_text, "-o", out, *TINY, *common) as running:
        running.until(lambda: newest_step(out) >= 50)
        out.rename(moved)
        if replaced:
            made(out, {"training/notes.md": "mine", "notes.txt": "mine"})
        before = contents(out)
        status, _, err = running.finish()
    assert status == 1
    assert f"{out} was moved while it was written to" in err.splitlines()[-1]
    assert sys.platform != "linux" or f"to {moved}: " in err.splitlines()[-1]
    assert contents(out) == before
    assert out.exists() == replaced
    if replaced:  # once is enough
        return
    kept = newest_step(moved)
    with Running("train", small_text, "-o", moved, "--resume") as running:
        running.until(lambda: newest_step(moved) > kept)
        running.process.send_signal(signal.SIGINT)
        assert running.finish()[0] == 130
    assert charloom("inspect", moved).status == 0


def test_files_that_are_there_are_replaced_only_when_asked(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    for words in (
        ("export", trained, "--html"),
        ("export", trained, "--onnx"),
        ("sagemaker", "package", trained, "-o"),
    ):
        file = tmp_path / "file"
        file.write_text("mine", "utf-8")
        ran = charloom(*words, file)
        assert ran.status == 2
        assert "--overwrite" in one_line(ran)
        assert file.read_text("utf-8") == "mine"
        assert charloom(*words, file, "--overwrite").status == 0
        assert file.stat().st_size > 10_000
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_command_that_is_printed_works(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With names that begin with a hyphen, too."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_text, tmp_path / "-text.txt")
    ran = charloom("train", "./-text.txt", "-o", "./-o2", *QUICK)
    assert ran.status == 0, ran.err
    assert "charloom generate ./-o2" in ran.err
    with Running("train", "./-text.txt", "-o", "./-o3", *TINY, "--steps", 1_000_000, cwd=tmp_path) as running:
        running.until(lambda: newest_step(tmp_path / "-o3") >= 0)
        running.process.send_signal(signal.SIGINT)
        status, _, err = running.finish()
    assert status == 130, err
    assert "charloom train ./-text.txt -o ./-o3 --resume" in err


NAMES = [
    "a b", "-o2", "--overwrite", "tab\there", "two\nlines", "\x1b[31mred", "it's $HOME", "\\x41", ":smile:",
    "\u202egpj.m", "吾輩　猫", os.fsdecode(b"\xff"), os.fsdecode(b"-\xff'"),
]  # fmt: skip


def words_of(said: str, cwd: Path) -> list[list[str]]:
    """The words of each command that was printed, as bash reads them."""
    lines = [line for line in said.split("\n") if line.startswith("    charloom ")]
    code = "\n".join(["charloom() { printf '%s\\0' \"$@\"; printf '\\n\\0'; }", *lines])
    ran = subprocess.run(["bash", "-c", code], cwd=cwd, capture_output=True, check=True)
    found: list[list[str]] = [[]]
    for word in os.fsdecode(ran.stdout).split("\0")[:-1]:
        if word == "\n":
            found.append([])
        else:
            found[-1].append(word)
    return found[:-1]


@pytest.mark.slow
@pytest.mark.usefixtures("finished_job")
@pytest.mark.skipif(os.name != "posix", reason="names are bytes, and bash is there, on POSIX systems")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_can_be_typed(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever the folder is called: with spaces, controls, hyphens, bytes that are not UTF-8."""
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).mkdir()
    except OSError:
        pytest.skip("this disk has no such names")
    Path(name).rmdir()
    here = f"./{name}" if name.startswith("-") else name

    def said(*arguments: object) -> list[list[str]]:
        ran = charloom(*arguments)
        assert ran.status in (0, 1), ran.err
        return words_of(ran.err + ran.out, tmp_path)

    assert said("sagemaker", "package", trained, "--no-check", "-o", here) == [["sagemaker", "deploy", here]]
    Path(name).unlink()
    assert said("corpus", "prepare", small_text, "-o", here) == [["train", here, "-o", "runs/mine"]]
    shutil.rmtree(name)
    assert said("sagemaker", "attach", "job", "-o", here) == [["generate", here, "--prompt", "The "]]
    made(Path(name), {"training/run.json": json.dumps({"corpus": {"sources": ["-t.txt"]}, "settings": {}})})
    Path(name, "config.json").unlink()
    assert said("inspect", here) == [["train", "./-t.txt", "-o", here, "--resume"]]
    shutil.rmtree(name)
    (generate,) = said("train", small_text, "-o", here, *QUICK)
    assert generate == ["generate", here, "--prompt", "The "]
    assert charloom(*generate, "--length", 3).status == 0


@pytest.mark.slow
def test_one_folder_has_one_writer(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    """Whoever comes second is refused with a sentence, and the first ends as if alone."""
    out = tmp_path / "m"
    with Running("train", small_text, "-o", out, *TINY, "--steps", 1_000_000) as running:
        running.until(lambda: newest_step(out) >= 0)
        for words in (
            ("train", small_text, "-o", out, *QUICK),
            ("train", small_text, "-o", out, "--overwrite", *QUICK),
            ("train", small_text, "-o", out, "--resume"),
            ("sagemaker", "train", small_text, "--instance", "local", "-o", out, "--overwrite", *QUICK),
            ("corpus", "prepare", small_text, "-o", out, "--overwrite"),
        ):
            ran = charloom(*words)
            assert ran.status in (1, 2)
            (line,) = ran.err.splitlines()[-1:]
            assert "another charloom process is writing into" in line or "choose another folder" in line
        running.process.send_signal(signal.SIGINT)
        assert running.finish()[0] == 130
    assert charloom("inspect", out).status == 0
    assert {record["step"] for record in history(out) if "validation_loss" in record}


def test_leftovers_of_the_dead_are_swept_and_the_livings_stay(
    charloom: Charloom, small_text: Path, tmp_path: Path
) -> None:
    with Running("-c", "import time; print(flush=True); time.sleep(600)", module=None) as neighbour:
        alive = neighbour.process.pid
        with Running("-c", "pass", module=None) as other:
            other.finish()
            dead = other.process.pid
        for words, names in (
            (("train", small_text, "-o", tmp_path / "m", "--overwrite", *QUICK), ("model.onnx", "config.json")),
            (("corpus", "prepare", small_text, "-o", tmp_path / "p", "--overwrite"), ("ids.bin", "text")),
        ):
            folder = Path(str(words[words.index("-o") + 1]))
            folder.mkdir()
            for name in names:
                for pid in (alive, dead):
                    (folder / f".{name}.{pid}.part").write_text("half", "utf-8")
            ran = charloom(*words)
            assert ran.status == 0, ran.err
            left = {path.name for path in folder.glob(".*")}
            assert left == {f".{name}.{alive}.part" for name in names}
            assert (folder / f".{names[0]}.{alive}.part").read_text("utf-8") == "half"


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems")
def test_a_disk_without_locks_is_said_and_used(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    ran = charloom("train", small_text, "-o", tmp_path / "m", *QUICK)
    assert ran.status == 0
    assert "cannot be locked" in ran.err
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "p").status == 0


def test_files_of_others_in_the_folder_of_checkpoints_are_not_removed(
    charloom: Charloom, trained: Path, small_text: Path, tmp_path: Path
) -> None:
    files = {"metrics.jsonl": "mine", "run.json": '{"my": "notes"}', "best/README.md": "mine", "mlflow.json": "{}"}
    for name, content in files.items():
        model = Path(shutil.copytree(trained, tmp_path / Path(name).stem))
        made(model, {f"training/{name}": content, "training/checkpoint-mine.safetensors": "mine"})
        before = contents(model)
        ran = charloom("train", small_text, "-o", model, "--overwrite", *QUICK)
        assert ran.status == 1
        assert f"training/{name.split('/')[0]} would be replaced" in one_line(ran)
        assert contents(model) == before


def test_a_folder_called_best_beside_an_unfinished_run_is_somebodys(
    charloom: Charloom, small_text: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"steps": 20, "hidden_size": 8, "batch_size": 8, "bptt": 32, "threads": 1}
    library.train(small_text, tmp_path / "m", should_stop=lambda: True, **options)
    made(tmp_path / "m", {"training/best/README.md": "mine"})
    for option in ("--resume", "--overwrite"):
        assert "training/best would be replaced" in one_line(
            charloom("train", small_text, "-o", tmp_path / "m", option)
        )
    assert (tmp_path / "m/training/best/README.md").read_text("utf-8") == "mine"


def test_quickstart_replaces_no_model_of_a_text_with_a_name_like_its_own(
    charloom: Charloom, small_text: Path, tmp_path: Path
) -> None:
    text = shutil.copy(small_text, tmp_path / "python-docs-my-own.txt")
    small = ("--steps", 2, "--hidden-size", 8, "--recipe", "tiny")
    assert charloom("train", text, "-o", tmp_path / "m", *small).status == 0
    before = (tmp_path / "m" / "config.json").read_bytes()
    ran = charloom("quickstart", "python-docs", "-o", tmp_path / "m", "--steps", 2)
    assert ran.status == 1
    assert "choose another folder with --output" in one_line(ran)
    assert (tmp_path / "m" / "config.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--evaluate-every", 1, "--seed", 7)])
def test_quickstart_replaces_no_model_that_train_made_of_its_text(
    charloom: Charloom, tmp_path: Path, options: tuple[object, ...]
) -> None:
    words = ("train", "built-in:python-docs", "-o", tmp_path / "m", "--recipe", "tiny", "--steps", 2, *options)
    assert charloom(*words).status == 0
    before = (tmp_path / "m" / "config.json").read_bytes()
    ran = charloom("quickstart", "python-docs", "-o", tmp_path / "m", "--steps", 2)
    assert ran.status == 1
    assert "choose another folder with --output" in one_line(ran)
    assert (tmp_path / "m" / "config.json").read_bytes() == before


@pytest.mark.parametrize("command", [("export", "--onnx"), ("sagemaker", "package", "-o")])
def test_no_file_of_a_model_and_no_pipe_is_replaced(
    charloom: Charloom, trained: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    *words, option = command
    for folder in ("own", "other"):
        shutil.copytree(trained, tmp_path / folder)
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "own/model.onnx", tmp_path / "other/model.onnx", tmp_path / "pipe"):
        ran = charloom(*words, tmp_path / "own", option, target, "--overwrite")
        assert ran.status == 2, target
        assert "name" in one_line(ran)
    for folder in ("own", "other"):
        assert (tmp_path / folder / "model.onnx").read_bytes() == (trained / "model.onnx").read_bytes()
    assert (tmp_path / "pipe").is_fifo()
