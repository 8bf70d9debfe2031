from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import charloom
from charloom.errors import ModelDirectoryError, TrainingError, UsageError
from charloom.text.splits import Segment, with_opening
from charloom.training import adaptation
from charloom.training.adaptation import LEAST, MOST, adapt
from charloom.training.model import CharacterModel

OTHER = "to be or not to be, that is the question; " * 60  # nothing like the documentation of Python
SHORT = OTHER[:600]


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def model(trained: Path) -> charloom.Model:
    return charloom.load(trained)


@pytest.fixture(scope="module")
def to_other(model: charloom.Model) -> tuple[charloom.Model, charloom.Adaptation]:
    return adapt(model, OTHER)


def test_it_helps_with_a_text_of_another_kind(to_other: tuple[charloom.Model, charloom.Adaptation]) -> None:
    _, record = to_other
    assert record.characters == len(OTHER)
    assert record.unknown == 0
    assert 1 <= record.passes <= 8
    assert record.bits_per_char_after < 0.8 * record.bits_per_char_before
    assert record.seconds > 0


def test_before_is_what_evaluating_the_second_half_gives(
    model: charloom.Model, to_other: tuple[charloom.Model, charloom.Adaptation]
) -> None:
    from charloom.runtime.evaluation import evaluate_segments

    ids = with_opening(model.vocabulary.encode(OTHER), model.vocabulary.opening_id).ids
    second = Segment(ids[len(OTHER) // 2 :])
    measured = evaluate_segments(model._evaluating_session, model.vocabulary, [second], "stateful")
    assert measured.characters == len(OTHER) - len(OTHER) // 2
    assert to_other[1].bits_per_char_before == pytest.approx(measured.bits_per_char, rel=1e-5)


def test_the_adapted_model_writes_and_evaluates_with_the_new_weights(
    model: charloom.Model, to_other: tuple[charloom.Model, charloom.Adaptation], tmp_path: Path
) -> None:
    adapted, record = to_other
    (tmp_path / "other.txt").write_text(OTHER)
    before = model.evaluate(tmp_path / "other.txt", split="all").bits_per_char
    after = adapted.evaluate(tmp_path / "other.txt", split="all").bits_per_char
    assert after < record.bits_per_char_after < before  # it has read the second half too
    assert adapted.precision == "float32"
    greedy = [each.generate("to b", length=60, temperature=0).text for each in (model, adapted)]
    assert greedy[0] != greedy[1]


def test_the_model_and_its_folder_stay_as_they_were(trained: Path) -> None:
    files = fingerprint(trained)
    model = charloom.load(trained)
    text, precision = model.generate("The", length=50, seed=1).text, model.precision
    adapt(model, SHORT)
    assert fingerprint(trained) == files
    assert model.generate("The", length=50, seed=1).text == text
    assert model.precision == precision


def test_the_same_text_gives_the_same_weights(
    model: charloom.Model, to_other: tuple[charloom.Model, charloom.Adaptation]
) -> None:
    before = torch.get_rng_state()
    again, record = adapt(model, OTHER)
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers are touched"
    assert record.bits_per_char_after == to_other[1].bits_per_char_after
    assert again.generate("to", length=100, seed=3).text == to_other[0].generate("to", length=100, seed=3).text


def test_a_text_that_teaches_nothing_leaves_the_weights(model: charloom.Model) -> None:
    """Characters drawn with the model's own probabilities: no weights are better than its own."""
    own = model.generate("", length=2_000, temperature=1, seed=1).text
    adapted, record = adapt(model, own)
    assert record.bits_per_char_after < record.bits_per_char_before + 0.1
    assert (adapted is model) == (record.passes == 0)
    assert record.passes == 0 or record.bits_per_char_after < record.bits_per_char_before


def test_reading_does_what_a_hand_written_step_does(trained: Path) -> None:
    """One window: the first step of Adam moves every weight by a tenth (the warm-up) of the learning rate."""
    directory = charloom.load(trained).directory
    shape = directory.config.model.model_copy(update={"dropout": 0.0})
    weights = load_file(trained / "model.safetensors")
    learner = adaptation._Adapter(CharacterModel(shape), weights, directory.vocabulary)
    learner.read(Segment(directory.vocabulary.encode("The price of fish")))
    for name, weight in learner.model.state_dict().items():
        moved = (weight - weights[name]).abs()
        assert float(moved.max()) <= 1.5e-4 * 1.001, name
    bias = learner.model.state_dict()["output.bias"]
    assert float((bias - weights["output.bias"]).abs().max()) == pytest.approx(1.5e-4, rel=1e-2)
    learner.start_anew()
    assert all(torch.equal(weight, weights[name]) for name, weight in learner.model.state_dict().items())


def test_rows_are_the_text_side_by_side() -> None:
    assert adaptation._rows(np.arange(5)).tolist() == [[0], [1], [2], [3], [4]]
    rows = adaptation._rows(np.arange(1 + 3 * 250))
    assert rows.shape == (251, 3)
    assert rows[0].tolist() == [0, 250, 500]
    assert rows[-1].tolist() == [250, 500, 750]
    assert adaptation._rows(np.arange(100_000)).shape[1] == 8


@pytest.mark.parametrize(("symbols", "passes"), [(400, 8), (25_000, 8), (50_000, 4), (200_000, 1), (1_000_000, 1)])
def test_what_is_read_in_all_is_bounded(symbols: int, passes: int) -> None:
    assert adaptation._most_passes(Segment(np.zeros(symbols + 1, dtype=np.uint8))) == passes


@pytest.mark.parametrize("text", ["", "a", "x" * (LEAST - 1)])
def test_too_short(model: charloom.Model, text: str) -> None:
    with pytest.raises(UsageError, match=rf"my\.txt is too short to adapt to: {len(text)} characters.*at least 400"):
        adapt(model, text, name="my.txt")


def test_the_shortest(model: charloom.Model) -> None:
    assert adapt(model, OTHER[:LEAST])[1].characters == LEAST


def test_too_long(model: charloom.Model) -> None:
    with pytest.raises(UsageError, match="at most 1,000,000; train on it instead"):
        adapt(model, "x" * (MOST + 1))


def test_unknown_characters_are_counted(model: charloom.Model) -> None:
    _, record = adapt(model, "世界" * 10 + SHORT)
    assert record.unknown == 20
    _, record = adapt(model, "世界" * 300)
    assert record.unknown == record.characters == 600


@pytest.mark.slow
def test_the_text_is_cleaned_as_prompts_are(small_text: Path, tmp_path: Path) -> None:
    options = {"steps": 5, "hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 16, "threads": 1}
    charloom.train(small_text, tmp_path / "m", clean=["lowercase"], device="cpu", **options)  # type: ignore[arg-type]
    model = charloom.load(tmp_path / "m")
    upper, lower = adapt(model, SHORT.upper()), adapt(model, SHORT)
    assert upper[1].unknown == 0
    assert upper[1].bits_per_char_after == lower[1].bits_per_char_after


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"cell": "gru"}, {"cell": "rnn", "num_layers": 2}, {"vocabulary": "bytes"}])
def test_every_kind_of_model(small_text: Path, tmp_path: Path, options: dict[str, object]) -> None:
    small = {"steps": 5, "hidden_size": 16, "embedding_size": 0, "batch_size": 4, "bptt": 16, "threads": 1}
    charloom.train(small_text, tmp_path / "m", device="cpu", **small, **options)  # type: ignore[arg-type]
    adapted, record = adapt(charloom.load(tmp_path / "m"), "né " + SHORT)
    assert record.characters == len(SHORT) + 3
    assert record.bits_per_char_after < record.bits_per_char_before
    assert len(adapted.generate("to", length=30).text) > 0


def _other_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight.repeat_interleave(2, 0) for name, weight in weights.items()}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "checksum"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (_other_shape, "checksum|too large to be true"),
    ],
)
def test_damaged_weights(trained: Path, tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    damage(folder)
    with pytest.raises(ModelDirectoryError, match=says):
        adapt(charloom.load(folder), OTHER)


def test_a_loss_that_is_no_number_is_an_error(model: charloom.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = iter([5.0, 4.0, 4.5, 4.5, 5.0, float("nan")])
    monkeypatch.setattr(adaptation._Adapter, "bits_per_char", lambda self, part: next(bits))
    with pytest.raises(TrainingError, match="loss that is NaN or infinite"):
        adapt(model, OTHER)


def test_where_it_does_not_help_the_weights_stay(model: charloom.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = iter([5.0, 4.0, 4.5, 4.5, 5.0, 5.1])
    monkeypatch.setattr(adaptation._Adapter, "bits_per_char", lambda self, part: next(bits))
    adapted, record = adapt(model, OTHER)
    assert adapted is model
    assert (record.bits_per_char_before, record.bits_per_char_after, record.passes) == (5.0, 5.1, 0)
