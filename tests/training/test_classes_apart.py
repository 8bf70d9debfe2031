"""What is held out of a class is learned by no model on the way to its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from charloom.events import ignore
from charloom.settings import CorpusSettings
from charloom.text.corpus import CorpusSource
from charloom.training.data import TrainingData, prepare_data


def prepared(files: list[Path], known: TrainingData | None = None, **options: Any) -> TrainingData:
    source, settings = CorpusSource([str(file) for file in files]), CorpusSettings(**options)
    return prepare_data(source, settings, ignore, None if known is None else known.vocabulary, apart=known is None)


def text_of(data: TrainingData, part: str) -> list[str]:
    return [data.vocabulary.decode(segment.ids[1:]) for segment in getattr(data.split, part)]


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{name}.txt" for name in ("a", "b", "c")]
    for file in files:
        file.write_text("".join(f"{file.stem}{number:04}\n" for number in range(900)))
    return files


def test_a_list_of_all_classes_holds_out_what_each_holds_out(three: list[Path]) -> None:
    together = prepared(three, items=True)
    alone = [prepared([file], together, items=True) for file in three]
    for part in ("train", "validation"):
        (joined,) = text_of(together, part)
        assert joined == "".join(text for data in alone for text in text_of(data, part))
    learned, held_out = (set(text_of(together, part)[0].split()) for part in ("train", "validation"))
    assert len(held_out) == pytest.approx(270, abs=3)
    assert not learned & held_out
    assert len(together.measured) == len(held_out)


@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_a_text_of_all_classes_holds_out_what_each_holds_out(three: list[Path], split: str) -> None:
    together = prepared(three, items=False, validation_split=split)
    alone = [prepared([file], together, items=False, validation_split=split) for file in three]
    for part in ("train", "validation"):
        assert text_of(together, part) == [text for data in alone for text in text_of(data, part)]
