"""What a page shows of a model first: prompts to try, and units that follow something with a name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import charloom
from charloom.runtime.features import correlations, features
from charloom.runtime.introduction import describe, introduce
from charloom.runtime.model import Model


def test_features_of_a_text() -> None:
    found = features('AB c\n"d (e)"')
    assert found["position in the line"].tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7]
    assert found["position in the word"].tolist() == [1, 2, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]
    assert found["in a word of capitals"].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found["inside quotation marks"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]
    assert found["inside parentheses"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_a_quotation_that_is_never_closed_ends_with_its_paragraph() -> None:
    assert features('"a\n\nb')["inside quotation marks"].tolist() == [1, 1, 1, 0, 0]


def test_correlations_are_pearsons() -> None:
    draw = np.random.default_rng(1)
    hidden, feature = draw.normal(size=(50, 3)), draw.normal(size=50)
    hidden[:, 2] = 0.5
    found = correlations(hidden, feature)
    assert found[:2] == pytest.approx([np.corrcoef(hidden[:, unit], feature)[0, 1] for unit in range(2)])
    assert found[2] == 0


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return charloom.load(trained)


def test_prompts_are_how_the_models_own_texts_begin(model: Model) -> None:
    prompts = introduce(model).prompts
    assert 1 <= len(prompts) <= 4
    assert len({prompt.split()[0] for prompt in prompts}) == len(prompts)
    known = set(model.vocabulary.decode(np.arange(1, model.vocabulary.size)))
    assert all(prompt.strip() and set(prompt) <= known for prompt in prompts)


def test_prompts_in_a_script_without_spaces_are_two_characters(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n　　寒来暑往，秋收冬藏。\n" * 60, "utf-8")
    options = {"steps": 40, "hidden_size": 24, "batch_size": 8, "bptt": 16, "learning_rate": 0.02, "threads": 1}
    charloom.train(text, tmp_path / "model", device="cpu", **options)  # type: ignore[arg-type]
    prompts = introduce(charloom.load(tmp_path / "model")).prompts
    assert prompts
    assert all(len(prompt) == 2 and prompt.isalpha() for prompt in prompts)


def test_a_named_unit_follows_its_feature_on_text_of_its_own(model: Model) -> None:
    """Not only on the text by which it was chosen."""
    units = introduce(model).units
    assert units
    assert len({(one.layer, one.unit) for one in units}) == len(units)
    text = model.generate("", seed=77, length=1500, temperature=0.6).text
    for one in units[:2]:
        follows = {**features(text)}.get(one.feature)
        if follows is None:
            continue
        values = model.activations(text, layer=one.layer, units=[one.unit]).values.astype(float)
        assert np.sign(correlations(values, follows)[0]) == np.sign(one.correlation)


def test_it_is_the_same_every_time_whatever_the_models_settings_are(trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "other"
    shutil.copytree(trained, copied)
    file = copied / "generation_config.json"
    own = {"temperature": 3.0, "seed": 9, "stop": ["e"], "top_k": 1}
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **own}), "utf-8")
    assert introduce(charloom.load(copied)) == introduce(charloom.load(trained))


def test_one_sentence_says_what_a_model_is(model: Model) -> None:
    said = describe(model.config)
    assert f"{model.config.model.parameters:,} numbers" in said
    assert model.config.corpus.sources[0] in said
