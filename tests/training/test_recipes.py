from __future__ import annotations

from pathlib import Path

import pytest

from charloom.errors import UsageError
from charloom.settings import CorpusSettings, ModelSettings, RunSettings, SamplingSettings, TrainingSettings
from charloom.training.recipes import load_recipe, recipe_names


def test_the_recipe_names() -> None:
    assert recipe_names() == ["article", "base", "large", "memorize", "names", "small", "tiny"]


@pytest.mark.parametrize("name", ["article", "base", "large", "memorize", "names", "small", "tiny"])
def test_every_shipped_recipe_is_valid_and_described(name: str) -> None:
    recipe = load_recipe(name)
    assert len(recipe.description) > 20


def test_base_is_the_defaults() -> None:
    base = load_recipe("base")
    assert base.corpus == CorpusSettings()
    assert base.model == ModelSettings()
    assert base.training == TrainingSettings()
    assert base.sampling == SamplingSettings()


def test_article_recipe_is_the_articles() -> None:
    recipe = load_recipe("article")
    assert recipe.corpus == CorpusSettings(clean=["article"], validation_split="row-tail", validation_fraction=0.1)
    assert recipe.model == ModelSettings(cell="lstm", num_layers=2, hidden_size=512, embedding_size=0, dropout=0.2)
    assert recipe.training == TrainingSettings(
        epochs=50,
        batch_size=64,
        bptt=60,
        optimizer="adamw",
        learning_rate=0.01,
        schedule="constant",
        weight_decay=0,
        grad_clip=5,
        state_reset=0,
        evaluate_every=210,
    )
    assert recipe.sampling == SamplingSettings(temperature=1.0, top_k=5)


def test_unknown_recipe() -> None:
    with pytest.raises(UsageError, match="no such recipe: huge; choose article, base"):
        load_recipe("huge")


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {cell: gru, hidden_size: 99}\ntraining: {steps: 7}\n", "utf-8")
    recipe = load_recipe(str(path))
    assert recipe == RunSettings(model=ModelSettings(cell="gru", hidden_size=99), training=TrainingSettings(steps=7))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"model: [", "is not YAML"),
        (b"- 1\n- 2\n", "must hold sections"),
        (b"", "must hold sections"),
        (b"model: {hidden_size: -4}", r"model\.hidden_size = -4"),
        (b"model: {hidden: 4}", r"model\.hidden: there is no such setting"),
        (b"optimizer: {}", "there is no such setting"),
        (b"training: {epochs: 1, steps: 1}", "not both"),
        (b"1: 2", "mine.yaml"),
        (b"free: [hidden_size]", "free names hidden_size, which the sections model and training do not set"),
        (b"free: hidden_size", "free names hidden_size, which"),
        (b"model: {cell: gru}\nfree: [cell]", r"free\.0 = 'cell': choose num_layers, .* or learning_rate"),
        (b"training: {budget: 1m}\nfree: [budget]", r"free\.0 = 'budget': choose"),
        (b"free:", "free = None: give a list"),
        (b"free: [1]", r"free\.0 = 1: choose"),
        (b"\xff\xfe", "cannot read the recipe"),
        (b"a: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=match) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the recipe"):
        load_recipe(str(tmp_path / "absent.yaml"))
