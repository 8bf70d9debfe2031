"""The pages that teach: every block runs as written, but for the time that training takes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cli.main import make_app
from tests.learning.pages import DOCS, Reader, blocks, commands

QUICK = ["explanation/loss.md", "explanation/why-no-pickles.md", "explanation/what-neurons-see.md"]
NETWORK = "explanation/the-network-in-pytorch.md"
WITH_TRAINING = [
    "how-to/choose-a-size-and-budget.md",
    "how-to/resume-and-fine-tune.md",
    "tutorials/your-first-model.md",
    "tutorials/a-name-generator.md",
]
EVERY = [
    *QUICK,
    *WITH_TRAINING,
    "tutorials/serve-it-and-play.md",
    "how-to/train-on-your-own-folder.md",
    "how-to/complete-text-in-an-editor.md",
    "how-to/run-on-several-machines.md",
]


@pytest.mark.parametrize("page", [page for page in EVERY if page not in QUICK])  # those have no commands
def test_the_options_of_a_page_exist(page: str) -> None:
    """Of the blocks that are skipped too, and without running any."""
    app = make_app(overview=False)
    parsed = [app.parse_args(words, exit_on_error=False, print_error=False) for words in commands(DOCS / page)]
    assert len(parsed) == len(list(commands(DOCS / page))) > 0


@pytest.mark.parametrize("page", EVERY)
def test_what_is_not_run_says_why(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    for block in blocks(DOCS / page):
        if block.kind == "sh skip":
            after = text.partition(block.content)[2]
            assert after.partition("\n\n")[2].startswith(("(This block", "They wait")), block.content


@pytest.mark.parametrize("page", QUICK)
def test_quick_pages_run(with_model: Reader, page: str) -> None:
    with_model.follow(DOCS / page)
    assert with_model.said


def test_the_losses_of_the_page_are_what_its_program_says(with_model: Reader) -> None:
    page = DOCS / "explanation" / "loss.md"
    with_model.follow(page)
    said = with_model.said[0][1]
    assert said.splitlines()[0] == "2.002 bits, perplexity 4.01"
    for line in said.splitlines()[1:]:
        nats, bits = re.findall(r"[\d.]+", line)
        row = next(
            row for row in page.read_text("utf-8").splitlines() if f"| {float(nats):.3f} |".replace(".000", "") in row
        )
        assert float(row.split("|")[3]) == pytest.approx(float(bits), abs=0.01)


def test_twenty_lines_of_pytorch_read_a_model(with_model: Reader) -> None:
    with_model.follow(DOCS / NETWORK)
    ((_, said),) = with_model.said
    losses = [float(nats) for nats in re.findall(r"([\d.]+) nats", said)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(said.split("nats\n")[-1].rstrip("\n").replace("\n", "")) > 40
    (block,) = blocks(DOCS / NETWORK)
    network = block.content[block.content.index("class Network") : block.content.index("# What a text costs")]
    assert len(network.rstrip().splitlines()) <= 20


def test_loading_the_pickle_of_the_page_runs_what_is_in_it(reader: Reader) -> None:
    page = DOCS / "explanation" / "why-no-pickles.md"
    reader.follow(page)
    (shown,) = [block.content for block in blocks(page) if block.kind == "text"]
    assert reader.said[-1][1] == shown
    assert (reader.folder / "i-was-here.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_TRAINING)
def test_pages_with_training_run(reader: Reader, page: str) -> None:
    reader.follow(DOCS / page)
    assert reader.said


@pytest.mark.slow
def test_the_server_of_the_tutorial_is_asked(with_model: Reader) -> None:
    with_model.follow(DOCS / "tutorials" / "serve-it-and-play.md")
    by_curl = json.loads(with_model.output_of('"max_tokens": 60'))["choices"][0]["text"]
    by_python = with_model.output_of("import openai")
    by_command = with_model.output_of("charloom generate runs/yours")
    assert by_python.startswith(by_curl)
    assert by_command.startswith(f"The {by_curl}")
    assert "temperature" in json.loads(with_model.output_of('"temperature": -1'))["error"]["message"]


def test_the_law_of_the_page_predicts_what_it_says() -> None:
    page = DOCS / "how-to" / "choose-a-size-and-budget.md"
    (code,) = [block.content for block in blocks(page) if block.kind == "python"]
    shown = [block.content for block in blocks(page) if block.kind == "text"][-1]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    assert [line.rstrip() for line in said.getvalue().splitlines()] == shown.splitlines()


@pytest.mark.slow
def test_a_folder_is_read_as_the_page_says(reader: Reader) -> None:
    reader.follow(DOCS / "how-to" / "train-on-your-own-folder.md")
    piped, shown = reader.output_of("cat notes"), reader.output_of("'notes/**/*.txt'")
    counts = [re.findall(r"[\d,]+ characters", said)[0] for said in (piped, shown)]
    assert counts[0] == counts[1]


def test_complete_py_completes(with_model: Reader) -> None:
    with_model.follow(DOCS / "how-to" / "complete-text-in-an-editor.md")
    said = with_model.output_of("complete.py --length 40")
    assert said
    assert "\n" not in said
    code = (with_model.folder / "complete.py", "--address", "http://127.0.0.1:1")
    refused = subprocess.run([sys.executable, *code], input="a", capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("no answer from http://127.0.0.1:1")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("vim") is None, reason="there is no vim here")
def test_vim_completes_a_line(with_model: Reader) -> None:
    text = with_model.folder / "letter.txt"

    def write() -> None:
        text.write_text("Dear all,\nThe first thing\nYours\n", "utf-8")
        keys = 'execute "normal 2GA\\<C-g>\\<C-g>\\<Esc>"'
        command = [
            "vim",
            "-Nu",
            "NONE",
            "-i",
            "NONE",
            "-es",
            "letter.txt",
            "-S",
            "charloom.vim",
            "-c",
            keys,
            "-c",
            "wq",
        ]
        for _ in range(20):  # what is drawn first may be the line's end: then nothing is added
            subprocess.run(command, cwd=with_model.folder, env=with_model.environment, timeout=60, check=True)
            if len(text.read_text("utf-8").splitlines()[1]) > len("The first thing"):
                break

    with_model.follow(DOCS / "how-to" / "complete-text-in-an-editor.md", write)
    first, second, third = text.read_text("utf-8").splitlines()
    assert (first, third) == ("Dear all,", "Yours")
    assert second.startswith("The first thing")
    assert len(second) > len("The first thing")


@pytest.mark.slow
def test_several_machines_as_one(reader: Reader) -> None:
    """What runs on one machine as written; what needs four, as one machine of one."""
    page = DOCS / "how-to" / "run-on-several-machines.md"
    reader.follow(page)
    (skipped,) = [block.content for block in blocks(page) if block.kind == "sh skip"]
    alone = skipped.replace("--nnodes 4", "--nnodes 1").replace("first-machine:29500", "127.0.0.1:0")
    alone = alone.replace("runs/shared", "runs/alone")
    ran = subprocess.run(
        ["bash", "-ec", alone], cwd=reader.folder, env=reader.environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert (reader.folder / "runs" / "alone" / "config.json").exists()


def test_the_places_on_the_scale_are_what_counting_says(shakespeare: Path) -> None:
    page = DOCS / "explanation" / "loss.md"
    code = [block.content for block in blocks(page) if block.kind == "python"][-1]
    ran = subprocess.run([sys.executable, "-c", code, str(shakespeare)], capture_output=True, text=True, check=True)
    numbers = re.findall(r"[\d.]+\d", ran.stdout)
    assert numbers == ["4.17", "3.35", "2.48"]
    assert all(f"| {number} | knows" in page.read_text("utf-8") for number in numbers)
