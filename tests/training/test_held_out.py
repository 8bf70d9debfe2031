"""What is held out, from the command line to the model directory: blocks, and an end that is unlike the rest."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

import charloom
from charloom.bundle import open_model_directory
from charloom.events import Event, Notice
from charloom.text.likeness import _bits_of_parts
from tests.conftest import ROOT
from tests.training.test_run import after

OPTIONS: dict[str, Any] = {
    "hidden_size": 24, "embedding_size": 8, "batch_size": 4, "bptt": 40, "steps": 40, "evaluate_every": 20,
    "learning_rate": 0.02, "seed": 3, "threads": 1, "device": "cpu",
}  # fmt: skip
BLOCKS: dict[str, Any] = {**OPTIONS, "validation_split": "blocks", "validation_fraction": 0.2}


def run(*arguments: object, cwd: Path | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "charloom", *map(str, arguments), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=cwd)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def flags(options: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


@pytest.fixture(scope="module")
def in_blocks(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    charloom.train(small_text, folder, **BLOCKS)
    return folder


def test_blocks_are_recorded_and_every_command_cuts_the_text_in_the_same_way(small_text: Path, in_blocks: Path) -> None:
    config = open_model_directory(in_blocks).config
    assert config.corpus.validation_split == "blocks"
    held_out = run("evaluate", in_blocks, small_text, "--precision", "float32")
    assert held_out["characters"] == config.losses["stateful"].characters == 4_000
    assert held_out["loss"] == pytest.approx(config.losses["stateful"].loss, abs=1e-5)
    assert run("evaluate", in_blocks, small_text, "--split", "train")["characters"] == 16_000
    assert run("recite", in_blocks, small_text, "--samples", 20)["samples"] == 20
    found = run("novelty", in_blocks, small_text, "--characters", 1_000)
    assert found["corpus_characters"] == 16_000
    assert found["unseen"]["characters"] >= 1_000
    assert "20% in blocks scattered over the text" in (in_blocks / "README.md").read_text("utf-8")


def test_a_held_out_block_is_not_learned(tmp_path: Path) -> None:
    """A letter that only the blocks have is as unlikely to the model as one it has never seen."""
    text = ["abcdefgh" * 5_000]
    (tmp_path / "a.txt").write_text(text[0], "utf-8")
    charloom.train(tmp_path / "a.txt", tmp_path / "plain", **{**BLOCKS, "steps": 2})
    # Where the blocks are follows from the length of the text alone.
    model = charloom.load(tmp_path / "plain")
    parts = model._corpora.segments(str(tmp_path / "a.txt"), "validation", lambda _: None)
    marked = list(text[0])
    for part in parts:
        marked[part.start : part.start + part.predicted] = "Z" * part.predicted
    (tmp_path / "b.txt").write_text("".join(marked), "utf-8")
    result = charloom.train(tmp_path / "b.txt", tmp_path / "m", **BLOCKS)
    assert result.losses["stateful"] > 2


@pytest.mark.parametrize("steps", [7, 33])
def test_resumed_is_uninterrupted_bit_for_bit(steps: int, small_text: Path, in_blocks: Path, tmp_path: Path) -> None:
    charloom.train(small_text, tmp_path / "m", should_stop=after(steps), **BLOCKS)
    charloom.train(small_text, tmp_path / "m", resume=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (in_blocks / "model.safetensors").read_bytes()


def test_a_prepared_corpus_gives_the_same_weights(small_text: Path, in_blocks: Path, tmp_path: Path) -> None:
    run("corpus", "prepare", small_text, "-o", tmp_path / "prepared")
    result = run("train", tmp_path / "prepared", "-o", tmp_path / "m", *flags(BLOCKS))
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (in_blocks / "model.safetensors").read_bytes()
    evaluated = run("evaluate", tmp_path / "m", tmp_path / "prepared", "--precision", "float32")
    assert evaluated["loss"] == pytest.approx(result["losses"]["stateful"], abs=1e-5)


PROSE = "\n".join(topics[name] for name in sorted(topics))
ENDS = {
    "licence": (ROOT / "LICENSE").read_text("utf-8") * 11,
    "index": "".join(f"{word}, {place}, {place * 7 % 400}\n" for place, word in enumerate(sorted(set(PROSE.split())))),
    "another language": "Dix-neuf coeurs fous, ou plus, errent depuis ce jour dans la foule; qui donc les aura vus? "
    * 200,
    "code": (ROOT / "src" / "charloom" / "kernel" / "layers.c").read_text("utf-8"),
}
ALIKE = {
    "prose": PROSE[:200_000],
    "code": "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "src" / "charloom").glob("*/*.py"))),
    "DNA": "".join(random.Random(1).choices("ACGT", k=60_000)),
    "a log": "".join(
        f"{at // 60:02}:{at % 60:02} {random.Random(at).choice(['INFO start', 'WARN slow disk', 'INFO done'])} {at}\n"
        for at in range(1_000)
    ),
}


def train_briefly(text: str, folder: Path, **options: Any) -> tuple[list[str], Path]:
    """The notices of a run of two steps, and its folder."""
    events: list[Event] = []
    (folder / "text.txt").write_text(text, "utf-8")
    charloom.train(folder / "text.txt", folder / "m", notify=events.append, **{**OPTIONS, "steps": 2, **options})
    return [event.message for event in events if isinstance(event, Notice)], folder / "m"


@pytest.mark.parametrize("kind", ENDS)
def test_an_end_that_is_unlike_the_rest_is_said_and_recorded(kind: str, tmp_path: Path) -> None:
    notices, model = train_briefly(PROSE[:100_000] + ENDS[kind][:11_000], tmp_path)
    (said,) = [notice for notice in notices if "unlike" in notice]
    likeness = open_model_directory(model).config.likeness
    assert likeness is not None
    assert likeness.unlike
    assert likeness.held_out > 1.06 * likeness.learned
    assert f"{likeness.held_out:.2f} bits a symbol" in said
    assert f"elsewhere {likeness.learned:.2f}" in said
    assert "--validation-split blocks" in said
    assert f"{likeness.held_out:.2f} bits a symbol" in (model / "README.md").read_text("utf-8")


@pytest.mark.parametrize("kind", ALIKE)
def test_nothing_is_said_of_an_end_like_the_rest(kind: str, tmp_path: Path) -> None:
    notices, model = train_briefly(ALIKE[kind], tmp_path, items=False)
    assert not [notice for notice in notices if "unlike" in notice]
    likeness = open_model_directory(model).config.likeness
    assert likeness is not None
    assert not likeness.unlike
    assert "unlike" not in (model / "README.md").read_text("utf-8")


def test_blocks_take_their_share_of_an_odd_end(tmp_path: Path) -> None:
    notices, model = train_briefly(PROSE[:100_000] + ENDS["index"][:11_000], tmp_path, validation_split="blocks")
    assert not [notice for notice in notices if "unlike" in notice]
    assert open_model_directory(model).config.likeness is None


def test_commands_say_it_too_of_a_prepared_corpus(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(PROSE[:100_000] + ENDS["code"][:11_000], "utf-8")
    run("corpus", "prepare", tmp_path / "text.txt", "-o", tmp_path / "prepared")
    command = [sys.executable, "-m", "charloom", "train", "prepared", "-o", "m", *flags({**OPTIONS, "steps": 2})]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "is unlike the rest" in " ".join((done.stdout + done.stderr).split())
    command = [sys.executable, "-m", "charloom", "inspect", "m"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "the held-out end is unlike the rest of the text" in done.stdout
    # A model from before this was measured is read as ever.
    config = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    del config["likeness"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), "utf-8")
    assert run("inspect", "m", cwd=tmp_path)["config"]["likeness"] is None


def test_a_3_gram_of_the_rest_is_what_it_says() -> None:
    """Against the definition, character by character, on a small text."""
    generator = np.random.default_rng(2)
    parts = [generator.choice(5, size=400, p=[0.4, 0.3, 0.2, 0.07, 0.03]) for _ in range(4)]
    for part, bits in enumerate(_bits_of_parts(parts, 5)):
        learned = [tuple(ids) for number, ids in enumerate(parts) if number not in (part, 3)]
        grams = [
            Counter(ids[at - order : at + 1] for ids in learned for at in range(2, len(ids))) for order in range(3)
        ]

        def chance(gram: tuple[int, ...], grams: list[Counter[tuple[int, ...]]] = grams) -> float:
            if not gram:
                return 1 / 5
            same = [count for other, count in grams[len(gram) - 1].items() if other[:-1] == gram[:-1]]
            if not same:
                return chance(gram[1:])
            own = max(0.0, grams[len(gram) - 1][gram] - 0.75)
            return (own + 0.75 * len(same) * chance(gram[1:])) / sum(same)

        ids = tuple(parts[part])
        expected = -np.mean([np.log2(chance(ids[at - 2 : at + 1])) for at in range(2, len(ids))])
        assert bits == pytest.approx(expected)
