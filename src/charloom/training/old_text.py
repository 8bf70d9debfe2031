"""The text of the model to start from: what a new text costs there, and learning both (`--keep-old`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from charloom.bundle import CorpusRecord
from charloom.errors import CharloomError, TrainingError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import expand_home
from charloom.runtime.evaluation import evaluate_segments
from charloom.settings import CorpusSettings, Protocol
from charloom.text.corpus import load_corpus
from charloom.text.items import item_segments, looks_like_items, newline_id, split_items
from charloom.text.named import BUILT_IN, NAMED, TINY_SHAKESPEARE
from charloom.text.sources import shown_name
from charloom.text.splits import Segment, Split, split_ids, thin_out, with_opening
from charloom.text.vocabulary import Ids, Vocabulary
from charloom.training.init_from import Origin
from charloom.training.model import CharacterModel
from charloom.training.result import OldTextResult
from charloom.training.torch_session import TorchSession

PROTOCOL: Protocol = "windows-256"
_MEASURED = 20_000  # characters of the held-out part
_LARGEST = 50_000_000  # bytes of a text that is looked for without being asked to


@dataclass(frozen=True)
class OldTextSource:
    """Where the old text is, as an unfinished run records it.

    Attributes:
        specs: what names it.
        name: what to call it.
        kept: whether it is learned, too.
        items: whether it is read as a list of items; None: as the new text is.
        sha256: of the cleaned text; None before it was read.
        loss: of the old model on what is held out of it; None before it was measured.
        cut_sha256: of the text that the old model held a part out of, None where it had a text of its own for that.
        cut: which part that was: `validation_split`, `validation_fraction` and `validation_characters`.
    """

    specs: list[str]
    name: str
    kept: bool
    items: bool | None = None
    sha256: str | None = None
    loss: float | None = None
    cut_sha256: str | None = None
    cut: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OldText:
    """The old text, read.

    Attributes:
        source: where it is.
        split: what may be learned of it, and what is measured.
        items: whether it is a list of items.
    """

    source: OldTextSource
    split: Split
    items: bool

    @cached_property
    def learned(self) -> Ids:
        """What may be learned of it, joined, without the character before it."""
        return np.concatenate([segment.ids[1:] for segment in self.split.train])

    @property
    def _measured(self) -> list[Segment]:
        measured = item_segments(self.split.validation[0]) if self.items else self.split.validation
        return thin_out(measured, _MEASURED)

    @property
    def sha256(self) -> str:
        """Of the cleaned text."""
        assert self.source.sha256 is not None
        return self.source.sha256

    def measured_by(self, model: CharacterModel, vocabulary: Vocabulary) -> OldText:
        """The same with the loss of the old model, which this is."""
        return replace(self, source=replace(self.source, loss=self._loss(model, vocabulary)))

    def _loss(self, model: CharacterModel, vocabulary: Vocabulary) -> float:
        return evaluate_segments(TorchSession(model), vocabulary, self._measured, PROTOCOL).loss

    def result(self, model: CharacterModel, vocabulary: Vocabulary) -> OldTextResult | None:
        """What the run cost here; None where the old model was not measured."""
        if self.source.loss is None:
            return None
        return OldTextResult(
            name=self.source.name,
            kept=self.source.kept,
            characters=sum(segment.predicted for segment in self._measured),
            protocol=PROTOCOL,
            before=self.source.loss,
            after=self._loss(model, vocabulary),
        )


def old_text_source(
    origin: Origin | None, unfinished: dict[str, Any] | None, keep_old: str | Path | None, specs: Sequence[str]
) -> OldTextSource | None:
    """Where the old text is: as the user says, as the run to resume recorded it, or where it is found.

    Raises:
        UsageError: there is nothing to keep, as the run starts from nothing.
    """
    recorded = None if unfinished is None else unfinished.get("old_text")
    if recorded is not None:
        source = OldTextSource(**recorded)
        if keep_old is not None and source.kept:
            return replace(source, specs=[str(keep_old)])
        if keep_old is None or source.kept:
            return source
    if keep_old is None:
        return None if origin is None else _find(origin, specs)
    if unfinished is not None:
        raise UsageError("the run to resume began without --keep-old: leave it out, or start anew")
    if origin is None:
        raise UsageError("--keep-old is for a run that starts from another model: give --init-from, too")
    return OldTextSource([str(keep_old)], shown_name(Path(keep_old)), kept=True, **_cut(origin.corpus))


def _cut(corpus: CorpusRecord) -> dict[str, Any]:
    """What the old model held out, as an `OldTextSource` has it."""
    if corpus.validation is not None:
        return {}
    names = ("validation_split", "validation_fraction", "validation_characters")
    return {"cut_sha256": corpus.sha256, "cut": {name: getattr(corpus, name) for name in names}}


def _find(origin: Origin, specs: Sequence[str]) -> OldTextSource | None:
    """The old text by its recorded name: a named one, or files here, beside the new text or around the old model."""
    corpus = origin.corpus
    if corpus.validation is not None:
        return None  # it was learned whole
    name = ", ".join(corpus.sources)
    named = {one.source: BUILT_IN + one.name for one in NAMED.values() if one.name != TINY_SHAKESPEARE.name}
    places = [Path(), *(expand_home(spec).parent for spec in specs), origin.folder.parent, origin.folder.parent.parent]
    for place in places:
        found = [named.get(source) or str(place / source) for source in corpus.sources]
        if all(source in named or _is_text(Path(spec)) for source, spec in zip(corpus.sources, found, strict=True)):
            return OldTextSource(found, name, kept=False, items=corpus.items, sha256=corpus.sha256, **_cut(corpus))
    return None


def _is_text(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST
    except (OSError, ValueError):
        return False


def read_old_text(
    source: OldTextSource, settings: CorpusSettings, vocabulary: Vocabulary, notify: Notify, *, items: bool
) -> OldText | None:
    """Read and cut the old text; None where it is only to be measured and is not what it was.

    Args:
        source: where it is.
        settings: how the new text is read.
        vocabulary: of the new model.
        notify: receives notices about a text that is kept.
        items: whether the new text is a list of items.
    """
    try:
        return _read(source, settings, vocabulary, notify if source.kept else ignore, items=items)
    except CharloomError:
        if source.kept:
            raise
        return None


def _read(
    source: OldTextSource, settings: CorpusSettings, vocabulary: Vocabulary, notify: Notify, *, items: bool
) -> OldText:
    corpus = load_corpus(source.specs, settings, notify)
    if source.sha256 not in (None, corpus.sha256):
        raise TrainingError(f"{source.name} is not the old text that the run began with: give the same file")
    unseen = vocabulary.unknown_characters(corpus.text)
    if unseen:
        notify(Notice(f"{source.name} has characters that neither the model nor the new text has: {len(unseen)}"))
    whole = with_opening(vocabulary.encode(corpus.text), vocabulary.opening_id)
    as_items = items if source.items is None else source.items
    if source.kept and as_items and not looks_like_items(whole.ids[1:], vocabulary):
        notify(Notice(f"{source.name} is learned line by line, as the new text is; --no-items reads both as texts"))
    cut = settings.model_copy(update={"validation_split": "tail"})
    if corpus.sha256 == source.cut_sha256:  # what the old model learned is not what it is measured on
        cut = settings.model_copy(update=source.cut)
    fraction, at_most = cut.validation_fraction, cut.validation_characters
    if as_items:
        split = split_items(whole, newline_id(vocabulary), fraction, at_most)
    else:
        split = split_ids(whole, cut.validation_split, fraction, at_most)
    return OldText(replace(source, sha256=corpus.sha256, items=as_items), split, as_items)
