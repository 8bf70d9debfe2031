"""A corpus as one model reads it: cleaned and numbered like its training text, and cut like it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charloom.bundle import ModelConfig
from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.settings import CorpusSettings, SplitName
from charloom.text.corpus import load_corpus
from charloom.text.items import item_segments, newline_id, split_items
from charloom.text.prepared import prepared_among
from charloom.text.sources import list_specs
from charloom.text.splits import Segment, split_ids, with_opening
from charloom.text.vocabulary import Vocabulary

CorpusNames = str | Path | list[str]
"""File, folder, glob, address or name of a corpus, or several."""


@dataclass(frozen=True)
class CorpusParts:
    """A corpus and a part of it.

    Attributes:
        whole: all of it.
        segments: the part that was asked for.
        unseen: beside the training part, what the model was not trained on; else nothing.
    """

    whole: Segment
    segments: list[Segment]
    unseen: list[Segment]


class ModelCorpora:
    """Reads corpora for one model."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        """Read as `config` says that the training text was read."""
        self._record = config.corpus
        self._vocabulary = vocabulary

    @property
    def settings(self) -> CorpusSettings:
        """How texts are read and cleaned."""
        record = self._record
        return CorpusSettings(clean=list(record.cleaning), encoding=record.encoding, vocabulary=record.vocabulary)

    def text(self, file: str | Path, notify: Notify) -> str:
        """One text, cleaned as a corpus is."""
        return load_corpus([str(file)], self.settings, notify).text

    def segments(self, corpus: CorpusNames, split: SplitName, notify: Notify) -> list[Segment]:
        """A part of a corpus as it is measured: where the model learned items, each item by itself."""
        whole, sha256 = self._read(corpus, split, notify)
        part = self._part(whole, sha256, split, notify)
        return [item for text in part for item in item_segments(text)] if self._record.items else part

    def parts(self, corpus: CorpusNames, split: SplitName, notify: Notify) -> CorpusParts:
        """A part of a corpus and what is beside it; all is the training part where validation had its own file."""
        whole, sha256 = self._read(corpus, split, notify)
        if split != "train":
            return CorpusParts(whole, self._part(whole, sha256, split, notify), [])
        if self._record.validation is not None:
            if sha256 != self._record.sha256:
                notify(Notice("this is not the text that the model was trained on"))
            return CorpusParts(whole, [whole], [])
        train = self._part(whole, sha256, "train", notify)
        return CorpusParts(whole, train, self._part(whole, sha256, "validation", ignore))

    def _read(self, corpus: CorpusNames, split: SplitName, notify: Notify) -> tuple[Segment, str]:
        """A whole corpus and the fingerprint of its text."""
        if split not in ("train", "validation", "all"):
            raise UsageError(f"split = {split!r}: choose train, validation or all")
        specs = list_specs(corpus)
        prepared = prepared_among(specs)
        if prepared is None:
            text = load_corpus(specs, self.settings, notify)
            return with_opening(self._vocabulary.encode(text.text), self._vocabulary.opening_id), text.sha256
        same_cleaning = prepared.record.cleaning == self._record.cleaning
        if not same_cleaning or prepared.vocabulary.to_json() != self._vocabulary.to_json():
            raise CorpusError(
                f"{prepared.path} was prepared with another {'vocabulary' if same_cleaning else 'cleaning'} than the "
                f"model's: name the text itself"
            )
        prepared.verify()
        return prepared.whole, prepared.record.sha256

    def _part(self, whole: Segment, sha256: str, split: SplitName, notify: Notify) -> list[Segment]:
        record = self._record
        if split == "all":
            return [whole]
        if record.validation is not None:
            raise UsageError(
                f"this model was validated on a file of its own ({record.validation}): "
                f"name that file, or the corpus, with --split all"
            )
        if sha256 != record.sha256:
            notify(Notice("this is not the text that the model was trained on: it is cut in the same way"))
        fraction, at_most = record.validation_fraction, record.validation_characters
        if record.items:
            cut = split_items(whole, newline_id(self._vocabulary), fraction, at_most)
        else:
            cut = split_ids(whole, record.validation_split, fraction, at_most)
        return list(cut.train if split == "train" else cut.validation)
