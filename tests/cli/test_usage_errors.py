"""What a newcomer mistypes: one line that says what is wrong and what to type instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charloom.settings import run_settings
from charloom.training.recipes import load_recipe
from tests.cli.conftest import Charloom, one_line


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("generat m", "there is no command 'generat'; did you mean generate?"),
        ("klingon", "there is no command 'klingon'; charloom --help shows those there are"),
        ("help", "did you mean charloom --help?"),
        ("--verson", "there is no option --verson before a command; did you mean charloom --version?"),
        ("corpus lst", "there is no command 'lst'; did you mean list?"),
        ("corpus klingon", "charloom corpus --help shows those there are"),
        ("--json generate m", "there is no option --json before a command; options follow it"),
        ("generate", "generate needs MODEL; charloom generate --help shows how"),
        ("generate m hello", "generate cannot use 'hello': a prompt follows --prompt"),
        ("inspect m n", "inspect cannot use 'n': charloom inspect --help shows what it takes"),
        ("generate m --lenght=5", "there is no option --lenght here; did you mean --length?"),
        ("generate m --prompt", "--prompt needs a value after it"),
        ("generate m --length abc", "--length abc: give a whole number"),
        ("generate m --threads 1.5", "--threads 1.5: give a whole number"),
        ("generate m --samples 2.4", "--samples 2.4: give a whole number"),
        ("score m a.txt --top x", "--top x: give a whole number"),
        ("generate m --top-p 2", "--top-p 2: give 1 or less"),
        ("generate m --precision int4", "--precision int4: choose auto, float32 or int8"),
        ("train a.txt", "train needs --output PATH; charloom train --help shows how"),
        ("train a.txt --out x", "there is no option --out here; did you mean --output?"),
        ("train a.txt -out x", "there is no option -out here; did you mean --output?"),
        ("train a.txt -output x", "there is no option -output here; did you mean --output?"),
        ("train a.txt -out=x", "there is no option -out here; did you mean --output?"),
        ("train a.txt -overwrite", "there is no option -overwrite here; did you mean --overwrite?"),
        ("train a.txt -- -o m", "train: -o is after --, where every word is a name: put options before --"),
        ("sagemaker invoke -- -x --prompt T", "invoke: --prompt is after --, where every word is a name"),
        ("sagemaker invoke -- --prompt T", "invoke: --prompt is after --, where every word is a name"),
        ("generate m -prompt x", "there is no option -prompt here; did you mean --prompt?"),
        ("train a.txt -o x -o y", "-o is given twice: leave one out"),
        ("train a.txt -o x --hiddensize 20", "there is no option --hiddensize here; did you mean --hidden-size?"),
        ("train a.txt -o x --hidden_siz=20", "there is no option --hidden_siz here; did you mean --hidden-size?"),
        ("train a.txt -o x --klingon", "there is no option --klingon here; --help shows those there are"),
        ("train a.txt -o x --cell ltsm", "--cell ltsm: choose rnn, lstm or gru"),
        ("train a.txt -o x --clean nfc,nfkc", "--clean nfkc: choose gutenberg, nfc, lowercase, "),
        ("train a.txt -o x --budget -5m", "--budget needs a value after it"),
        ("score m a.txt --line", "there is no option --line here; did you mean --lines?"),
        ("evaluate m a.txt --protocol x", "--protocol x: choose stateful, windows-256 or cold-60"),
    ],
)
def test_what_is_mistyped(charloom: Charloom, typed: str, says: str) -> None:
    ran = charloom(*typed.split())
    assert (ran.status, ran.out) == (2, "")
    assert says in one_line(ran)


@pytest.mark.parametrize("name", ["ut", "utput", "verwrite"])
def test_a_folder_whose_name_is_the_rest_of_an_option(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert charloom("corpus", "prepare", small_text, "-o", name).status == 0
    assert (tmp_path / name / "corpus.json").is_file()


@pytest.mark.parametrize("command", [["train", "", "-o", "x"], ["train", "a.txt", "-o", ""]])
def test_a_variable_that_is_not_set(charloom: Charloom, command: list[str]) -> None:
    """An empty name would be the current folder, which must be neither learned from nor written to."""
    ran = charloom(*command)
    assert ran.status == 2
    assert "a shell variable that is not set" in one_line(ran)


def test_a_misspelt_setting_in_a_recipe(charloom: Charloom, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("training: {batch-size: 3}")
    ran = charloom("train", "a.txt", "-o", tmp_path / "m", "--recipe", tmp_path / "mine.yaml")
    assert ran.status == 2
    assert "training.batch-size: there is no such setting; did you mean batch_size?" in one_line(ran)


def test_what_is_no_model(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    shutil.copytree(trained, tmp_path / "models" / "mine")
    for name, says in {
        "none": f"no such model directory: {tmp_path / 'none'} (charloom train TEXT -o ",
        "a.txt": "a.txt is a file, and a model is a folder",
        "models/mine/config.json": f"is a file: name its folder, {tmp_path / 'models' / 'mine'}",
        "models": f"holds no model: name one in it, as {tmp_path / 'models' / 'mine'}",
        "other": "config.json is another program's, not a charloom model's: it has no format_version",
    }.items():
        ran = charloom("generate", tmp_path / name)
        assert ran.status == 1
        assert says in one_line(ran)


def test_a_prepared_corpus_is_no_model(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "p").status == 0
    assert "it is a prepared corpus, to train on" in one_line(charloom("generate", tmp_path / "p"))


def test_a_model_is_no_text(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    """Its JSON and its card are text files, but not what a user means to learn from."""
    for command in (["train", trained, "-o", tmp_path / "m"], ["score", trained, trained]):
        ran = charloom(*command)
        assert ran.status == 1
        assert "is a model directory, and a text is needed here" in one_line(ran)


def test_a_file_where_the_model_is_to_go(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("precious")
    ran = charloom("train", small_text, "-o", tmp_path / "m")
    assert ran.status == 2
    assert "is a file: name a folder for the model" in one_line(ran)
    ran = charloom("corpus", "prepare", small_text, "-o", tmp_path / "m")
    assert ran.status == 2
    assert "is a file: name a folder for the prepared corpus" in one_line(ran)
    assert (tmp_path / "m").read_text() == "precious"


def test_the_home_folder_of_a_user_that_does_not_exist(charloom: Charloom, trained: Path, small_text: Path) -> None:
    model, missing = str(trained), "~no-user-of-this-name/m"
    for words in (
        ("train", small_text, "-o", missing),
        ("train", missing, "-o", "m"),
        ("train", small_text, "-o", "m", "--init-from", missing),
        ("generate", missing),
        ("evaluate", model, missing),
        ("inspect", missing),
        ("export", model, "--html", missing),
        ("corpus", "prepare", small_text, "-o", missing),
        ("corpus", "show", missing),
        ("serve", missing),
        ("sagemaker", "package", missing, "-o", "m.tar.gz"),
        ("sagemaker", "deploy", missing, "--instance", "local", "--name", "m"),
    ):
        ran = charloom(*words)
        assert (ran.status, "there is no user of that name" in one_line(ran)) == (2, True), words


def test_samples_at_temperature_0_are_all_the_same(charloom: Charloom, trained: Path) -> None:
    common = ("generate", trained, "--length", 5, "--temperature", 0)
    assert "all samples are the same" in charloom(*common, "--samples", 2).err
    assert "all samples" not in charloom(*common).err


@pytest.mark.slow
def test_an_interrupted_quickstart_is_made_anew(charloom: Charloom, tmp_path: Path) -> None:
    """Killed on the way it leaves a run without a model, and quickstart has no option to replace it."""
    folder = tmp_path / "q" / "training"
    folder.mkdir(parents=True)
    settings = run_settings(load_recipe("tiny"), {"steps": 4000, "seed": 2015}).model_dump()
    sources = {"sources": ["python-docs (Python 3.11.7)"]}
    run = {"recipe": "tiny", "corpus": sources, "steps": 4000, "settings": settings}
    (folder / "run.json").write_text(json.dumps(run))
    assert "charloom train python-docs -o" in charloom("inspect", tmp_path / "q").out
    assert charloom("quickstart", "python-docs", "-o", tmp_path / "q", "--steps", 2).status == 0
    folder.mkdir()
    others: list[dict[str, Any]] = [
        {"recipe": "large"},
        {"settings": {}},
        {"settings": {**settings, "training": {**settings["training"], "seed": 1}}},
    ]
    for other in others:
        (folder / "run.json").write_text(json.dumps({**run, **other}))
        ran = charloom("quickstart", "python-docs", "-o", tmp_path / "q", "--steps", 2)
        assert ran.status == 1
        assert "choose another folder with --output" in one_line(ran)


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes the streams")
@pytest.mark.parametrize(
    ("how", "status", "says"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("--prompt-file - <&-", 0, ""),
        pytest.param(
            ">/dev/full",
            1,
            "charloom: cannot write the output: the disk is full; free some space and try again\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full"),
        ),
    ],
)
def test_streams_that_are_closed_or_full(trained: Path, how: str, status: int, says: str) -> None:
    command = f"'{sys.executable}' -m charloom generate '{trained}' --length 5 --quiet {how}"
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stderr) == (status, says)


@pytest.mark.slow
def test_the_next_command_is_one_the_model_can_read(charloom: Charloom, tmp_path: Path) -> None:
    for name, line, says in (
        ("english", "The cat sat on the mat.\\n", "--prompt 'The '\n"),
        ("lower", "the cat sat on the mat.\\n", "--prompt 'the '\n"),
        ("greek", "το είναι και το γίγνεσθαι\\n", f"charloom generate {tmp_path / 'greek'}\n"),
    ):
        (tmp_path / f"{name}.txt").write_text(line.replace("\\n", "\n") * 50, "utf-8")
        ran = charloom("train", tmp_path / f"{name}.txt", "-o", tmp_path / name, "--steps", 2, "--hidden-size", 8)
        assert ran.status == 0
        assert ran.err.endswith(says)


def test_help_shows_no_empty_defaults(charloom: Charloom) -> None:
    for command in ("train", "generate", "score"):
        shown = charloom(command, "--help").out
        assert "[default: None]" not in shown
        assert "[default: False]" not in shown
        assert "[default: []]" not in shown
        assert "[default: " in shown
