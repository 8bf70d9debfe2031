"""The figures' measurements against what is worked out in another way, and the script at a tiny size."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import charloom
from charloom.bundle import ModelShape, open_model_directory, read_history
from charloom.runtime.session import initial_state, open_session
from charloom.settings import Cell
from charloom.training.model import CharacterModel
from figures import cell, distribution, gates, gradients, learning, neurons, unrolled
from figures.__main__ import main

TINY = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 20, "epochs": None, "steps": 4}
STILL = {"gradients", "gates", "neurons", "distribution", "windows"}
MOVING = {"unrolled", "cell", "learning"}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradients_are_those_of_the_rest_of_the_text(cell: Cell) -> None:
    """From a state in the middle, made a leaf, the rest is read in one piece."""
    shape = ModelShape(cell=cell, num_layers=1, hidden_size=6, embedding_size=3, dropout=0.0, vocab_size=5)
    torch.manual_seed(3)
    model = CharacterModel(shape).double().eval()
    windows = torch.randint(0, 5, (13, 4))
    norms = gradients.gradient_norms(model, windows, distance=7)
    assert [len(part) for part in norms] == [7] * shape.states_per_layer
    for back in (1, 3, 6):
        with torch.no_grad():
            _, state = model(windows[: 12 - back], model.initial_state(4))
        state = tuple(part.clone().requires_grad_() for part in state)
        logits, _ = model(windows[12 - back : 12], state)
        torch.autograd.backward(F.cross_entropy(logits[-1], windows[12], reduction="sum"))
        for part, found in zip(state, norms, strict=True):
            assert part.grad is not None
            assert found[back] == pytest.approx(float(part.grad[0].norm(dim=-1).mean()), rel=1e-9)


def test_gates_by_hand_lead_to_the_states_of_the_runtime(trained: Path) -> None:
    directory = open_model_directory(trained)
    ids = directory.vocabulary.encode("The first thing that a class statement does")
    found = gates.read_by_hand(directory, ids)
    assert gates.largest_difference(directory, ids, found) < 1e-5
    assert 0 < found.forget.min() < found.forget.max() < 1


def test_distributions_are_what_the_settings_say(trained: Path) -> None:
    found = distribution.distributions(open_model_directory(trained), "The first ")
    assert all(values.sum() == pytest.approx(1) for values in found.values())
    first = distribution.ranking(found)[0]
    shares = [found[f"temperature {value:g}"][first] for value in distribution.TEMPERATURES]
    assert shares == sorted(shares, reverse=True)
    assert np.count_nonzero(found["top-k 4"]) == 4
    kept = found["top-p 0.9"] > 0
    assert found["temperature 1"][kept].sum() >= 0.9


def test_the_unrolled_network_pays_what_the_model_scores(trained: Path) -> None:
    found = unrolled.steps(open_model_directory(trained))
    text = unrolled.BEFORE + unrolled.READ + unrolled.NEXT
    scored = charloom.load(trained, precision="float32").score(text, per_char=True).per_char
    assert scored is not None
    assert [step.bits for step in found] == pytest.approx([bits for _, bits in scored[-len(found) :]], abs=1e-4)
    assert "".join(step.came for step in found) == text[-len(found) :]
    for step in found:
        shares = dict(step.guesses)
        assert shares.get(step.came, 2**-step.bits) == pytest.approx(2**-step.bits, abs=1e-4)
    assert found[-1].gradient == 1


def test_letters_under_a_unit_are_whole_lines(trained: Path) -> None:
    directory = open_model_directory(trained)
    text = "\n".join(f"line {line} of (a) text" for line in range(12))
    ids = directory.vocabulary.encode(text)
    found = neurons.search(directory, ids)[0]
    picture = neurons.draw(directory, ids, found).decode()
    half = text[len(text) // 2 :]
    lines = half[half.index("\n") + 1 :].split("\n")[: neurons.LINES]
    written = [str(each.text).strip() for each in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    letters = [each for each in written[written.index(found.feature) :] if len(each) <= 1]
    assert "".join(letters).endswith("".join(f"{line}⏎" for line in lines).replace(" ", ""))


def test_a_cell_goes_from_moment_to_moment(trained: Path) -> None:
    """Its states are those that the runtime computes, step by step."""
    directory = open_model_directory(trained)
    unit, found = cell.moments(directory, directory.vocabulary.encode("The first thing that a class does\n" * 20))
    session = open_session(directory, "float32")
    text = "\n" + gates.SENTENCE[: cell.LAST]
    state, memories, values = initial_state(session.shape, 1), [], []
    for token in directory.vocabulary.encode(text):
        _, state = session.run(np.array([[token]]), state)
        values.append(float(state[0][0, unit]))
        memories.append(float(state[1][0, unit]))
    assert [moment.value for moment in found] == pytest.approx(values[cell.FIRST + 1 :], abs=1e-5)
    assert [moment.memory for moment in found] == pytest.approx(memories[cell.FIRST + 1 :], abs=1e-5)
    assert [moment.before for moment in found] == pytest.approx(memories[cell.FIRST : -1], abs=1e-5)


def test_a_run_is_looked_at_as_it_was_recorded(trained: Path) -> None:
    records = [record for record in read_history(trained / "metrics.jsonl") if "validation_loss" in record]
    found = learning.looks(trained)
    assert found[-1].loss == records[-1]["validation_loss"]
    assert {look.sample for look in found} <= {record["sample"] for record in records}
    assert all(later.passes - sooner.passes >= learning.CLOSEST for sooner, later in itertools.pairwise(found))


@pytest.mark.slow
def test_the_script_makes_every_figure(small_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text(small_text.read_text("utf-8")[:20_000], "utf-8")
    options = ["--corpus", str(text), "--models", str(tmp_path / "models"), "--distance", "9"]
    main([*options, "--images", str(tmp_path / "images")], TINY)
    numbers = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "images" / "figures.json").read_text("utf-8")) == numbers
    assert numbers.keys() == {"models", *STILL, *MOVING}
    for name in STILL | MOVING:
        picture = (tmp_path / "images" / f"{name}.svg").read_text("utf-8")
        assert ET.fromstring(picture).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in picture
        assert ("@keyframes" in picture) == (name in MOVING)
