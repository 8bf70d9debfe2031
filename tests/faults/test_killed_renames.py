"""A process that is killed while it renames files into place leaves what the next command needs to go on."""

from __future__ import annotations

import itertools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from charloom.bundle import ModelConfig, model_refusal, open_model_directory, write_model_directory
from charloom.bundle.config import FileName
from charloom.errors import CharloomError
from charloom.files import sha256_of_file
from charloom.folders import claim_folder
from charloom.settings import ReadingSettings
from charloom.text.prepared import PreparedCorpus
from charloom.text.preparing import prepare_corpus
from tests.cli.conftest import Charloom, charloom
from tests.faults.processes import finish, start_code
from tests.faults.test_folders import QUICK, contents

__all__ = ["charloom"]

DEAD = 2**31 - 1  # larger than any process's number


class Killed(BaseException):
    """Takes the place of SIGKILL: from then on no name is changed any more."""


def killed(folder: Path, commit: str, number: int, work: Callable[[], object], *, same_number: bool) -> bool:
    """Do `work` until its change of a name with that number, counted from the first of the commit; False at its end.

    Args:
        folder: where it writes.
        commit: the name of the file that comes last.
        number: which change does not happen, from 1.
        work: what to do.
        same_number: the next process has the number of this one, as in a container.
    """
    count = 0

    def dying(honest: Callable[..., object]) -> Callable[..., object]:
        def change(self: Path, *arguments: object, **options: object) -> object:
            nonlocal count
            count += bool(count) or commit in self.name
            if count >= number:
                raise Killed
            return honest(self, *arguments, **options)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for method in ("replace", "unlink"):
            patch.setattr(Path, method, dying(getattr(Path, method)))
        try:
            work()
        except Killed:
            pass
        else:
            return False
    if not same_number:
        for path in folder.glob(".*.part"):
            *name, _, suffix = path.name.split(".")
            path.rename(path.with_name(".".join([*name, str(DEAD), suffix])))
    return True


@pytest.mark.slow
@pytest.mark.parametrize("same_number", [True, False])
def test_a_model_that_replaces_another(trained: Path, tmp_path: Path, same_number: bool) -> None:
    """Wherever it is killed, once or twice, the next one is whole, with its own card, and nothing is left."""
    model, folder = open_model_directory(trained), tmp_path / "m"
    files: dict[FileName, bytes] = {name: (trained / name).read_bytes() for name in model.config.files}
    del files["loss.svg"]
    files["README.md"] = b"of the new one"

    def config_for(checksums: dict[FileName, str]) -> ModelConfig:
        return model.config.model_copy(update={"files": checksums})

    def check() -> None:
        assert model_refusal(folder, overwrite=True) is None

    def write() -> None:
        with claim_folder(folder, check):
            write_model_directory(folder, config_for, model.vocabulary, model.sampling, files)

    for number in itertools.count(1):
        for again in ((), (1,), (3,), (number,), (number + 1, number)):
            shutil.copytree(trained, folder)
            (folder / "notes.txt").write_text("mine", "utf-8")
            went_on = killed(folder, "config.json", number, write, same_number=same_number)
            for another in again:
                killed(folder, "config.json", another, write, same_number=same_number)
            write()
            found = open_model_directory(folder).config.files
            assert {name: sha256_of_file(folder / name) for name in found} == found
            assert found.keys() == files.keys()
            assert sorted(contents(folder)) == sorted(["config.json", "notes.txt", *found]), "nothing is left"
            assert (folder / "README.md").read_bytes() == b"of the new one"
            shutil.rmtree(folder)
        if not went_on:
            assert number > len(files)
            return


@pytest.mark.slow
@pytest.mark.parametrize("same_number", [True, False])
def test_a_prepared_corpus_that_replaces_another(small_text: Path, tmp_path: Path, same_number: bool) -> None:
    """Wherever it is killed, and whatever fails after that, `--overwrite` gives the whole corpus."""
    old, folder = tmp_path / "old", tmp_path / "p"
    text, empty = tmp_path / "other.txt", tmp_path / "empty.txt"
    text.write_text(small_text.read_text("utf-8").upper(), "utf-8")
    empty.write_text("", "utf-8")
    prepare_corpus([str(small_text)], old, ReadingSettings())

    def prepare() -> object:
        return prepare_corpus([str(text)], folder, ReadingSettings(), overwrite=True)

    for number in itertools.count(1):
        for again in ((), (1,), (number, 1, number + 1)):
            shutil.copytree(old, folder)
            went_on = killed(folder, "corpus.json", number, prepare, same_number=same_number)
            for another in again:
                with pytest.raises(CharloomError, match="empty"):
                    prepare_corpus([str(empty)], folder, ReadingSettings(), overwrite=True)
                killed(folder, "corpus.json", another, prepare, same_number=same_number)
            prepare()
            assert sorted(contents(folder)) == ["corpus.json", "ids.bin", "vocabulary.json"]
            found = PreparedCorpus(folder)
            assert {name: sha256_of_file(folder / name) for name in found.record.files} == found.record.files
            shutil.rmtree(folder)
        if not went_on:
            assert number > 4
            return


# Kills itself where it would give a file that name.
KILLED = """
import os, signal, sys
from pathlib import Path

from charloom.cli.main import main

def replace(self, target):
    if Path(target).name.startswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(self, target)

honest, Path.replace = Path.replace, replace
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_twice_while_it_publishes(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    train = ["train", str(small_text), "-o", str(folder)]
    for name, options in (("README.md", ["--overwrite", *map(str, QUICK)]), (".config.json", ["--resume"])):
        process = start_code(KILLED, name, *train, *options)
        assert finish(process)[0] == -signal.SIGKILL
        assert not (folder / "config.json").exists()
    ran = charloom(*train, "--resume")
    assert ran.status == 0, ran.err
    assert "edited" not in ran.err
    assert "from the beginning" not in ran.err
    found = open_model_directory(folder).config.files
    assert {name: sha256_of_file(folder / name) for name in found} == found
    assert sorted(contents(folder)) == sorted(["config.json", *found])


def test_a_run_that_is_killed_while_it_removes_its_checkpoints_is_finished(
    charloom: Charloom, small_text: Path, trained: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    before = contents(folder)
    (folder / "training").mkdir()
    (folder / "training" / "checkpoint-000000000030.safetensors").write_bytes(b"of the run that is finished")
    ran = charloom("train", small_text, "-o", folder, "--resume")
    assert ran.status == 0
    assert "nothing to resume" in ran.err
    assert contents(folder) == before
