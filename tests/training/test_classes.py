"""A model a class: what is trained, what may be written where, and what is resumed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.bundle.classes import read_classes, replace_classes
from charloom.cli.main import main
from charloom.errors import CorpusError, ModelDirectoryError, TrainingError
from charloom.text.classes import find_classes

TINY = {"steps": 12, "hidden_size": 8, "batch_size": 4, "bptt": 20, "threads": 1}
OPTIONS = ["--steps", "12", "--hidden-size", "8", "--batch-size", "4", "--bptt", "20", "--threads", "1"]


def words(first: str, second: str) -> str:
    """Lines of two letters' kinds, each once."""
    return "".join(f"{a}{b}{c}\n" for a in first for b in second for c in first)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one of them in two files; and a hidden file, which is none."""
    path = tmp_path_factory.mktemp("classes")
    (path / "soft.txt").write_text(words("lmn", "aei") + words("lmn", "ou"))
    (path / "hard").mkdir()
    (path / "hard" / "one.txt").write_text(words("kpt", "aei"))
    (path / "hard" / "two.txt").write_text(words("kpt", "ou") + words("ktz", "ou"))
    (path / ".hidden").write_text("x")
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, charloom.ClassesResult]:
    output = tmp_path_factory.mktemp("out") / "models"
    return output, charloom.train_classes(folder, output, items=True, **TINY)  # type: ignore[arg-type]


def test_a_model_a_class(trained: tuple[Path, charloom.ClassesResult]) -> None:
    output, result = trained
    assert list(result.classes) == ["hard", "soft"]
    assert sorted(path.name for path in output.iterdir()) == ["classes.json", "hard", "soft"]
    models = {name: charloom.load(output / name) for name in ("hard", "soft")}
    assert models["hard"].config.model == models["soft"].config.model
    assert models["hard"].vocabulary.to_json() == models["soft"].vocabulary.to_json()
    assert all(model.config.corpus.items for model in models.values())
    assert models["hard"].score("kat\n").nats < models["soft"].score("kat\n").nats
    assert not result.interrupted
    assert result.held_out == 5 + 4
    assert result.accuracy is not None
    assert result.accuracy > 0.5


def test_its_sizes_are_priors(trained: tuple[Path, charloom.ClassesResult]) -> None:
    classifier = charloom.Classifier(trained[0], prior="sizes")
    hard, soft = 27 + 18 + 18, 27 + 18
    assert classifier.prior == pytest.approx({"hard": hard / (hard + soft), "soft": soft / (hard + soft)})
    assert charloom.Classifier(trained[0]).prior == {"hard": 0.5, "soft": 0.5}


def test_a_folder_that_is_taken_stays_as_it_is(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path
) -> None:
    output, _ = trained
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=r"already holds models of classes: choose another folder, or --overwrite"):
        charloom.train_classes(folder, output, **TINY)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="already holds a model"):
        charloom.train_classes(folder, output / "hard", **TINY)  # type: ignore[arg-type]
    with pytest.raises(TrainingError):
        charloom.train(folder / "soft.txt", output, **TINY)  # type: ignore[arg-type]
    with pytest.raises(charloom.UsageError, match="resume or --overwrite, not both"):
        charloom.train_classes(folder, output, overwrite=True, resume=True, **TINY)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    somebodys = tmp_path / "somebodys"
    somebodys.mkdir()
    (somebodys / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(TrainingError, match="other files"):
            charloom.train_classes(folder, somebodys, overwrite=overwrite, **TINY)  # type: ignore[arg-type]
    assert [path.name for path in somebodys.iterdir()] == ["letter.txt"]


def test_what_is_no_folder_of_classes(folder: Path, tmp_path: Path) -> None:
    output, one = tmp_path / "out", tmp_path / "one"
    one.mkdir()
    (one / "a.txt").write_text("abc\n" * 50)
    with pytest.raises(CorpusError, match="no such folder"):
        charloom.train_classes(tmp_path / "none", output)
    with pytest.raises(CorpusError, match="two classes"):
        charloom.train_classes(one, output)
    (one / "a.md").write_text("abd\n" * 50)
    with pytest.raises(CorpusError, match="both called a"):
        charloom.train_classes(one, output)
    (one / "a.md").rename(one / "b.txt").write_text("c")
    with pytest.raises(CorpusError, match=r"b\.txt: "):
        charloom.train_classes(one, output)
    (one / "b\nc.txt").write_text("c" * 50)
    with pytest.raises(CorpusError, match="cannot name a class"):
        charloom.train_classes(one, output)
    (one / "b\nc.txt").unlink()
    (one / "b.txt").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"b\.txt is empty"):
        charloom.train_classes(one, output)
    with pytest.raises(charloom.UsageError, match="inside the corpus"):
        charloom.train_classes(folder, folder / "out")
    with pytest.raises(charloom.UsageError, match="leave --validation out"):
        charloom.train_classes(folder, output, validation="x")
    assert not output.exists()


@pytest.mark.parametrize("leads_to", ["file", "folder", "nothing", "itself"])
def test_a_class_is_no_link_out_of_the_folder(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path, leads_to: str
) -> None:
    (tmp_path / "file").write_text("a secret of mine\n" * 50)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a secret of mine\n" * 50)
    linked = tmp_path / "linked"
    shutil.copytree(folder, linked)
    (linked / "inward.txt").symlink_to("soft.txt")
    assert list(find_classes(linked)) == ["hard", "inward", "soft"]
    (linked / "outward").symlink_to("outward" if leads_to == "itself" else tmp_path / leads_to)
    with pytest.raises(CorpusError, match=r"outward is a link out of .*linked: put the text itself there"):
        charloom.train_classes(linked, tmp_path / "out", **TINY)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="outward is a link out of"):
        charloom.Classifier(trained[0]).classify_files(linked, labels="file")
    assert not (tmp_path / "out").exists()


class StopAfter:
    """Asks to stop at the end of a run."""

    def __init__(self, asked: int) -> None:
        self.left = asked

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 14, 27])
def test_resumed_it_is_what_it_would_have_been(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path, steps: int
) -> None:
    output = tmp_path / "out"
    first = charloom.train_classes(folder, output, items=True, should_stop=StopAfter(steps), **TINY)  # type: ignore[arg-type]
    assert first.interrupted
    assert first.accuracy is None
    with pytest.raises(charloom.UsageError, match="not finished"):
        charloom.Classifier(output)
    with pytest.raises(charloom.UsageError, match="began without --hidden-size 9"):
        charloom.train_classes(folder, output, resume=True, hidden_size=9)
    result = charloom.train_classes(folder, output, resume=True)
    assert not result.interrupted
    for name in ("hard", "soft"):
        weights = [(place / name / "model.safetensors").read_bytes() for place in (output, trained[0])]
        assert weights[0] == weights[1]
    again = charloom.train_classes(folder, output, resume=True)
    assert again.accuracy == result.accuracy


def changed(folder: Path, models: Path, place: Path) -> tuple[Path, Path]:
    """Copies of the classes' texts, one of them another, and of the models of the old ones."""
    other, output = place / "other", place / "out"
    shutil.copytree(folder, other)
    shutil.copytree(models, output)
    (other / "soft.txt").write_text(words("lmn", "yvw"))
    return other, output


@pytest.mark.slow
def test_overwriting_keeps_the_old_models_until_all_new_ones_are_whole(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path
) -> None:
    other, output = changed(folder, trained[0], tmp_path)
    (output / "soft" / "notes.txt").write_text("mine")
    before = charloom.Classifier(output).classify("lal")
    options: dict[str, Any] = {"items": True, **TINY}
    assert charloom.train_classes(other, output, overwrite=True, should_stop=StopAfter(14), **options).interrupted
    assert charloom.Classifier(output).classify("lal") == before
    with pytest.raises(TrainingError, match="--resume to continue it"):
        charloom.train_classes(other, output, **options)

    result = charloom.train_classes(other, output, resume=True)
    assert sorted(path.name for path in output.iterdir()) == ["classes.json", "hard", "soft"]
    assert result.classes["soft"].model == str(output / "soft")
    assert (
        charloom.load(output / "soft").config.corpus.sha256 != charloom.load(trained[0] / "soft").config.corpus.sha256
    )
    assert (output / "soft" / "notes.txt").read_text() == "mine"
    assert charloom.Classifier(output).classify("lyl").best == "soft"


def with_third(models: Path, place: Path) -> Path:
    """A copy of the models with a third class, which is that of the second again."""
    shutil.copytree(models, place)
    shutil.copytree(models / "soft", place / "third")
    record = json.loads((place / "classes.json").read_text())
    soft = next(one for one in record["classes"] if one["name"] == "soft")
    record["classes"].append({**soft, "name": "third"})
    record["trained"].append("third")
    (place / "classes.json").write_text(json.dumps(record))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False])
def test_models_of_classes_that_are_no_more_go(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path, finished: bool
) -> None:
    output = with_third(trained[0], tmp_path / "out")
    record = json.loads((output / "classes.json").read_text())
    third = record["classes"][-1]
    for name in ("noted", "anothers", "linked"):
        record["classes"].append({**third, "name": name})
    record["trained"] += ["noted", "anothers", "linked"] if finished else []
    (output / "classes.json").write_text(json.dumps(record))
    for name in ("noted", "mine"):
        shutil.copytree(output / "third", output / name)
    (output / "noted" / "notes.txt").write_text("mine")
    shutil.copytree(output / "hard", output / "anothers")  # a model of another text has taken the class's place
    (output / "linked").symlink_to(output / "mine")
    mine = {path.name: path.read_bytes() for path in (output / "mine").iterdir()}

    options: dict[str, Any] = {"items": True, **TINY}
    stopped = charloom.train_classes(folder, output, overwrite=True, should_stop=StopAfter(14), **options)
    assert stopped.interrupted
    assert (output / "third" / "config.json").is_file(), "the old models stay until the new ones are whole"
    assert not charloom.train_classes(folder, output, resume=True).interrupted
    assert sorted(path.name for path in output.iterdir()) == [
        "anothers", "classes.json", "hard", "linked", "mine", "noted", "soft",
    ]  # fmt: skip
    assert [path.name for path in (output / "noted").iterdir()] == ["notes.txt"]
    assert charloom.load(output / "anothers").config == charloom.load(trained[0] / "hard").config
    assert {path.name: path.read_bytes() for path in (output / "mine").iterdir()} == mine
    assert read_classes(output).former == []


@pytest.mark.slow
def test_other_texts_are_not_resumed(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], tmp_path: Path
) -> None:
    other, output = changed(folder, trained[0], tmp_path)
    with pytest.raises(TrainingError, match="not the texts"):
        charloom.train_classes(other, output, resume=True)
    result = charloom.train_classes(other, output, overwrite=True, items=True, **TINY)  # type: ignore[arg-type]
    assert list(result.classes) == ["hard", "soft"]
    assert charloom.Classifier(output, prior="sizes").prior["soft"] == pytest.approx(27 / (27 + 63))


class Killed(BaseException):
    """The process was ended."""


class _Kill:
    """Ends the process, so to say, before the change to the disk of a given number, and lets it change nothing more."""

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left is None or not _changes_the_disk(event, arguments):
            return
        self.left -= 1
        if self.left < 0:
            raise Killed

    @contextmanager
    def before(self, change: int) -> Iterator[None]:
        self.left = change
        try:
            yield
        finally:
            self.left = None


def _changes_the_disk(event: str, arguments: tuple[object, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


@pytest.fixture(scope="module")
def kill() -> _Kill:
    return _Kill()


@pytest.fixture(scope="module")
def newer(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classes, learned otherwise."""
    output = tmp_path_factory.mktemp("newer") / "models"
    charloom.train_classes(folder, output, items=True, seed=2, **TINY)  # type: ignore[arg-type]
    return output


def nats(models: Path | dict[str, str | Path]) -> dict[str, float]:
    return charloom.Classifier(models).classify("kat").nats


@pytest.mark.slow
def test_a_set_that_replaces_another_is_killed_anywhere(
    folder: Path, trained: tuple[Path, charloom.ClassesResult], newer: Path, tmp_path: Path, kill: _Kill
) -> None:
    old = with_third(trained[0], tmp_path / "old")
    before, after = nats(old), nats(newer)
    assert before != after
    seen: list[dict[str, float]] = []
    for change in range(1000):
        output = tmp_path / str(change)
        shutil.copytree(old, output)
        shutil.copytree(newer, output / ".new")
        (output / "hard" / "README.md").write_text("my own words")
        try:
            with kill.before(change):
                replace_classes(output)
        except Killed:
            seen.append(nats(output))
            assert seen[-1] in (before, after)
            if change % 16 == 0:
                charloom.train_classes(folder, output, resume=True)
                check_replaced(output, after)
            continue
        check_replaced(output, after)
        break
    assert seen[0] == before
    assert seen[-1] == after
    assert seen == sorted(seen, key=lambda one: one == after), "once the new set is there, the old one is not again"


def check_replaced(output: Path, after: dict[str, float]) -> None:
    assert nats(output) == after
    assert nats({name: output / name for name in after}) == after
    assert not (output / ".new").exists()
    assert not (output / "third").exists()
    assert not read_classes(output).moving
    assert (output / "hard" / "README.md").read_text() == "my own words"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "another program's"),
        ('{"format_version": 99}', "upgrade"),
        ('{"format_version": 1}', "damaged"),
        ("up", "damaged"),
    ],
)
def test_a_record_that_is_not_trusted(
    trained: tuple[Path, charloom.ClassesResult], tmp_path: Path, content: str, says: str
) -> None:
    record = json.loads((trained[0] / "classes.json").read_text())
    record["classes"][0]["name"] = "../elsewhere"
    (tmp_path / "classes.json").write_text(json.dumps(record) if content == "up" else content)
    with pytest.raises(ModelDirectoryError, match=says):
        charloom.Classifier(tmp_path)


def test_the_commands(
    folder: Path,
    trained: tuple[Path, charloom.ClassesResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, expected = trained

    def call(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return stopped.value.code, *capsys.readouterr()

    finished = call("train", "--classes", folder, "-o", output, "--resume", "--json")
    assert finished[0] == 0, finished[2]
    assert json.loads(finished[1])["accuracy"] == expected.accuracy
    assert list(json.loads(finished[1])["classes"]) == ["hard", "soft"]
    shown = call("train", "--classes", folder, "-o", output, "--resume")
    assert "bits per character" in shown[1]
    assert f"charloom classify {output}" in shown[2]
    found = call("classify", output, folder, "--labels", "file", "--lines", "--prior", "sizes", "--json")
    assert found[0] == 0, found[2]
    report = json.loads(found[1].splitlines()[-1])
    assert report["texts"] == 108
    assert report["accuracy"] > 0.7
    for refused in (("x.txt",), ("--init-from", output / "hard")):
        again = call("train", *refused, "--classes", folder, "-o", tmp_path / "new", *OPTIONS)
        assert again[0] == 2
        assert again[2].rstrip().endswith("out")
    assert not (tmp_path / "new").exists()
