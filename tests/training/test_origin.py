"""Going on from another model: what is kept, what grows, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import charloom
from charloom.bundle import CorpusRecord, ModelShape, open_model_directory
from charloom.errors import ModelDirectoryError, UsageError
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, grow_vocabulary
from charloom.training.init_from import Origin, read_origin, take_weights
from charloom.training.model import CharacterModel
from charloom.training.schedule import usual_rate

SMALL: dict[str, Any] = {"steps": 60, "batch_size": 8, "bptt": 32, "threads": 1, "device": "cpu"}
OLD: dict[str, Any] = {**SMALL, "hidden_size": 24, "embedding_size": 8, "clean": ["lowercase"], "learning_rate": 0.01}


RECORD = CorpusRecord(
    sources=["old.txt"],
    characters=8,
    sha256="0" * 64,
    cleaning=[],
    encoding="utf-8",
    vocabulary="characters",
    min_count=1,
    validation_split="tail",
    validation_fraction=0.1,
    validation_characters=None,
    validation=None,
)


@pytest.fixture(scope="module")
def old(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    text = folder / "old.txt"
    text.write_text(small_text.read_text("utf-8")[:6000], "utf-8")
    charloom.train(text, folder / "old", **OLD)
    return folder / "old"


@pytest.fixture
def new_text(tmp_path: Path) -> Path:
    path = tmp_path / "new.txt"
    path.write_text("ŁÓDŹ: wagon 7, tor 3 | " * 150, "utf-8")
    return path


def test_a_grown_vocabulary_keeps_its_ids() -> None:
    known, found = CharacterVocabulary("ab\n"), CharacterVocabulary("\nacz")
    both = grow_vocabulary(known, found)
    assert isinstance(both, CharacterVocabulary)
    assert both.characters == ("a", "b", "\n", "c", "z")
    assert both.encode("ab\ncz?").tolist() == [1, 2, 3, 4, 5, 0]
    assert grow_vocabulary(None, found) is found
    assert grow_vocabulary(ByteVocabulary(), ByteVocabulary()).size == 256


@pytest.mark.parametrize("embedding_size", [6, 0])
def test_weights_move_and_new_characters_change_little(embedding_size: int) -> None:
    """On the old text the grown network says what the old one said, but for the share of the new characters."""
    torch.manual_seed(2)
    shape = ModelShape(
        cell="lstm", num_layers=2, hidden_size=12, embedding_size=embedding_size, dropout=0, vocab_size=9
    )
    before, after = CharacterModel(shape), CharacterModel(shape.model_copy(update={"vocab_size": 12}))
    origin = Origin("old", Path("old"), shape, CharacterVocabulary("abcdefgh"), RECORD, before.state_dict(), "0" * 64)
    take_weights(after, origin)
    ids = torch.randint(0, 9, (20, 3))
    with torch.no_grad():
        old_logits, _ = before.eval()(ids, before.initial_state(3))
        new_logits, _ = after.eval()(ids, after.initial_state(3))
    torch.testing.assert_close(new_logits[..., :9], old_logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(new_logits[..., 9], new_logits[..., 11])
    if after.embedding is not None and before.embedding is not None:
        rows = before.embedding.weight.detach()
        torch.testing.assert_close(after.embedding.weight.detach()[:9], rows, atol=0, rtol=0)
        torch.testing.assert_close(after.embedding.weight.detach()[10], rows.mean(dim=0))
    assert after.output.bias[9] == before.output.bias.min()


@pytest.mark.slow
def test_it_goes_on_from_the_old_model(old: Path, new_text: Path, tmp_path: Path) -> None:
    before = charloom.load(old)
    untrained = before.evaluate(new_text, split="all").loss
    result = charloom.train(new_text, tmp_path / "m", init_from=old, **SMALL)
    directory = open_model_directory(tmp_path / "m")
    config = directory.config
    assert isinstance(directory.vocabulary, CharacterVocabulary)
    assert isinstance(before.vocabulary, CharacterVocabulary)
    known = before.vocabulary.characters
    assert directory.vocabulary.characters[: len(known)] == known
    assert set(directory.vocabulary.characters[len(known) :]) <= set("łóź|wagontr: 7,3d")
    assert config.corpus.cleaning == ["lowercase"]
    assert (config.model.hidden_size, config.model.embedding_size) == (24, 8)
    assert config.training["settings"]["learning_rate"] == usual_rate(24)
    assert config.training["init_from"]["sha256"] == open_model_directory(old).config.files["model.safetensors"]
    assert config.training["init_from"]["name"] == "old"
    assert result.validation_loss < untrained


def test_a_rate_that_is_given_stays(old: Path, new_text: Path, tmp_path: Path) -> None:
    charloom.train(new_text, tmp_path / "m", init_from=old, **{**SMALL, "steps": 2, "learning_rate": 0.02})
    assert open_model_directory(tmp_path / "m").config.training["settings"]["learning_rate"] == 0.02


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"hidden_size": 32}, "--hidden-size 24, not 32"),
        ({"cell": "gru"}, "--cell lstm, not gru"),
        ({"vocabulary": "bytes"}, "--vocabulary characters, not bytes"),
    ],
)
def test_contradictions_are_refused(
    old: Path, new_text: Path, tmp_path: Path, option: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        charloom.train(new_text, tmp_path / "m", init_from=old, **SMALL, **option)
    assert not (tmp_path / "m").exists()


def test_damaged_weights_are_refused(old: Path, new_text: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(old, broken)
    content = bytearray((broken / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelDirectoryError, match="checksum"):
        charloom.train(new_text, tmp_path / "m", init_from=broken, **SMALL)
    with pytest.raises(ModelDirectoryError, match="no such model directory"):
        charloom.train(new_text, tmp_path / "m", init_from=tmp_path / "nothing", **SMALL)


@pytest.mark.slow
def test_resumed_without_the_old_model(old: Path, new_text: Path, tmp_path: Path) -> None:
    whole, parted, origin = tmp_path / "whole", tmp_path / "parted", tmp_path / "copy"
    shutil.copytree(old, origin)
    charloom.train(new_text, whole, init_from=origin, **SMALL)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 40

    assert charloom.train(new_text, parted, init_from=origin, should_stop=stop, **SMALL).interrupted
    shutil.rmtree(origin)
    result = charloom.train(new_text, parted, init_from=origin, resume=True, **SMALL)
    assert result.resumed_from_step > 0
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert json.loads((parted / "config.json").read_text("utf-8"))["training"]["init_from"]["name"] == "copy"


def test_what_is_read_is_what_was_written(old: Path) -> None:
    origin = read_origin(old)
    ids = np.zeros((5, 1), dtype=np.int64)
    network = CharacterModel(origin.shape)
    network.load_state_dict(origin.weights)
    logits, _ = network.eval()(torch.from_numpy(ids), network.initial_state(1))
    assert logits.shape == (5, 1, origin.vocabulary.size)
