from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from charloom.errors import UsageError
from charloom.settings import (
    CorpusSettings,
    Duration,
    ModelSettings,
    RunSettings,
    SamplingSettings,
    Settings,
    TrainingSettings,
    run_settings,
    validate,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("1d", 86_400), ("0.001s", 0.001), ("1e3", 1000)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration(text) == seconds
    settings = validate(TrainingSettings, {"checkpoint_every": text})
    assert settings.checkpoint_every == seconds
    assert settings.model_dump()["checkpoint_every"] == f"{settings.checkpoint_every}" == text


@pytest.mark.parametrize("text", ["", "0", "-5s", "m", "5 minutes", "5x", "nan", "inf", "infh", "1e300d", "1h30m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s, 5m or 1h"):
        Duration(text)
    with pytest.raises(UsageError, match=r"checkpoint-every = .*: give a time above zero"):
        validate(TrainingSettings, {"checkpoint_every": text})


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        seconds = Duration(text)
    except ValueError:
        return
    assert 0 < seconds < 1e9


@pytest.mark.parametrize("value", ["lowercase,nfc", ["lowercase", "nfc"], ["lowercase,nfc"], ("lowercase", "nfc")])
def test_cleaning_steps_by_comma_or_by_list(value: Any) -> None:
    assert validate(CorpusSettings, {"clean": value}).clean == ["lowercase", "nfc"]


@pytest.mark.parametrize("value", ["shout", "lowercase,,nfc", "lowercase, nfc", [1], 3])
def test_no_cleaning_steps(value: Any) -> None:
    with pytest.raises(UsageError, match="clean"):
        validate(CorpusSettings, {"clean": value})


BOUNDS: list[tuple[type[Settings], str, list[Any], list[Any]]] = [
    (ModelSettings, "cell", ["rnn", "lstm", "gru"], ["LSTM", "cnn", 1]),
    (ModelSettings, "num_layers", [1, 32], [0, 33, 1.5, "x"]),
    (ModelSettings, "hidden_size", [1, 16_384], [0, -1, 16_385, 10**30]),
    (ModelSettings, "embedding_size", [0, 16_384], [-1, 16_385]),
    (ModelSettings, "dropout", [0, 0.99], [-0.1, 1, float("nan"), float("inf")]),
    (CorpusSettings, "validation_fraction", [0.001, 0.5], [0, 0.51, -1, float("nan")]),
    (CorpusSettings, "validation_characters", [1, 2**48], [0, -1, 1.5, 2**49]),
    (CorpusSettings, "min_count", [1, 10**6], [0, -1]),
    (CorpusSettings, "validation_split", ["tail", "blocks", "row-tail"], ["random"]),
    (TrainingSettings, "epochs", [0.01, 1_000_000], [0, -1, float("inf"), 1e7]),
    (TrainingSettings, "steps", [1, 2**40], [0, 1.5, 2**41]),
    (TrainingSettings, "batch_size", [1, 65_536], [0, 65_537]),
    (TrainingSettings, "bptt", [1, 65_536], [0, 65_537]),
    (TrainingSettings, "learning_rate", [1e-9, 10], [0, -1, 10.1, float("nan")]),
    (TrainingSettings, "warmup", [0, 0.99], [1, -0.1]),
    (TrainingSettings, "grad_clip", [0.001, 1e6], [0, -1, float("inf")]),
    (TrainingSettings, "state_reset", [0, 1], [-0.1, 1.1]),
    (TrainingSettings, "seed", [0, 2**63 - 1], [-1, 2**63]),
    (TrainingSettings, "threads", [1, 1024, None], [0, 1025]),
    (SamplingSettings, "length", [0, 100_000_000], [-1, 100_000_001]),
    (SamplingSettings, "temperature", [0, 1000], [-0.1, 1001, float("nan"), float("inf")]),
    (SamplingSettings, "top_k", [0, 2**31], [-1]),
    (SamplingSettings, "top_p", [0.001, 1], [0, 1.1, float("nan")]),
    (SamplingSettings, "min_p", [0, 1], [-0.1, 1.1]),
    (SamplingSettings, "seed", [0, None, 2**63 - 1], [-1, 2**63]),
    (SamplingSettings, "stop", [[], ["a", "\n"]], [1, [1]]),
]


@pytest.mark.parametrize(("kind", "name", "good", "bad"), BOUNDS, ids=[f"{b[0].__name__}.{b[1]}" for b in BOUNDS])
def test_bounds(kind: type[Settings], name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(validate(kind, {name: value}), name) == value
    for value in bad:
        with pytest.raises(UsageError) as caught:
            validate(kind, {name: value})
        message = str(caught.value)
        assert message.startswith(name.replace("_", "-"))
        assert "\n" not in message
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", [CorpusSettings, ModelSettings, TrainingSettings, SamplingSettings])
def test_every_setting_is_described_in_a_sentence(kind: type[Settings]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_message() -> None:
    with pytest.raises(UsageError) as caught:
        validate(ModelSettings, {"hidden_size": -4}, origin="recipe mine: ")
    # As the file spells it; an option is spelled as on the command line.
    assert str(caught.value) == "recipe mine: hidden_size = -4: give 1 or more"
    with pytest.raises(UsageError, match=r"^hidden-size = -4: "):
        validate(ModelSettings, {"hidden_size": -4})


def test_messages_stay_short_and_on_one_line() -> None:
    for values in ({"hidden_size": "x" * 10_000}, {"hidden_size": "a\nb"}, {"a\nb\x1b[2J" * 100: 1}):
        with pytest.raises(UsageError) as caught:
            validate(ModelSettings, values)
        assert len(str(caught.value)) < 250
        assert str(caught.value).isprintable()


def test_epochs_or_steps() -> None:
    with pytest.raises(UsageError, match=r"^give epochs or steps, not both$"):
        validate(TrainingSettings, {"epochs": 1, "steps": 1})


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(UsageError, match="empty stop"):
        validate(SamplingSettings, {"stop": ["a", ""]})


def test_settings_cannot_be_changed() -> None:
    settings = ModelSettings()
    with pytest.raises(ValidationError):
        settings.hidden_size = 3  # type: ignore[misc]


def test_options_go_over_the_base() -> None:
    base = RunSettings(
        description="mine",
        model=ModelSettings(cell="gru", hidden_size=9),
        training=TrainingSettings(epochs=4, seed=5),
        sampling=SamplingSettings(temperature=0.1),
    )
    settings = run_settings(base, {"hidden_size": 10, "clean": "nfc", "learning_rate": 0.5})
    assert settings.model == ModelSettings(cell="gru", hidden_size=10)
    assert settings.corpus.clean == ["nfc"]
    assert settings.training == TrainingSettings(epochs=4, seed=5, learning_rate=0.5)
    assert settings.sampling == base.sampling
    assert run_settings(base, {}) == base


def test_steps_replace_a_recipes_epochs_and_the_other_way_round() -> None:
    by_epochs, by_steps = (
        RunSettings(training=training) for training in (TrainingSettings(epochs=4), TrainingSettings(steps=4))
    )
    assert run_settings(by_epochs, {"steps": 9}).training == TrainingSettings(steps=9)
    assert run_settings(by_steps, {"epochs": 9}).training == TrainingSettings(epochs=9)
    with pytest.raises(UsageError, match="not both"):
        run_settings(by_epochs, {"epochs": 1, "steps": 1})


def test_unknown_options() -> None:
    with pytest.raises(UsageError, match="no training option called 'temperature'"):
        run_settings(RunSettings(), {"temperature": 1})
    for typed in ("hidden_dim", "hidden-size", "hiden_size"):
        with pytest.raises(UsageError, match=r"did you mean hidden_size\?$"):
            run_settings(RunSettings(), {typed: 512})
    with pytest.raises(UsageError, match=r"'zzz'$"):
        run_settings(RunSettings(), {"zzz": 1})


def test_a_validation_text_may_be_a_path_and_is_kept_as_text() -> None:
    for named in ("held/out.txt", Path("held/out.txt")):
        kept = validate(CorpusSettings, {"validation": named}).validation
        assert (kept, type(kept)) == (str(named), str)
