"""What a page shows of a model before anybody has asked for anything: prompts to try, and units with a name.

Both come from the model's own writing, always with the same seeds: its text is not needed.

Legend: T time, H hidden units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charloom.bundle import ModelConfig, ModelDirectory
from charloom.errors import CharloomError
from charloom.runtime.features import Values, correlations, features, more_features
from charloom.runtime.model import Model
from charloom.text.cleaning import STEPS
from charloom.text.vocabulary import CharacterVocabulary

_TEXTS = 24
_LENGTH = 160  # characters of each
_TEMPERATURE = 0.6
_PROMPTS = 4
_SHORT_LINE = 24  # characters of a line that is a prompt by itself, such as a speaker's name
_PROMPT = 14  # characters of a prompt, about
_UNSPACED_PROMPT = 2  # characters of one in a script without spaces between words
_ITEM_PROMPT = 2  # characters that items begin with
_STUDIED = 3_000  # characters over which units are compared, half to choose one and half to test it
_SOURCES = 3  # files that are named
_CONVINCING = 0.6  # correlation from which on a unit is said to follow a feature


@dataclass(frozen=True)
class NamedUnit:
    """A unit that follows something a person can name.

    Attributes:
        layer: from 0.
        unit: which of the layer.
        feature: what it follows.
        correlation: with it, on text by which the unit was not chosen.
    """

    layer: int
    unit: int
    feature: str
    correlation: float


@dataclass(frozen=True)
class Introduction:
    """What to show first.

    Attributes:
        prompts: what the model's own texts often begin with, the most common first.
        units: the unit that follows each feature best, the clearest first.
    """

    prompts: tuple[str, ...]
    units: tuple[NamedUnit, ...]


def describe(config: ModelConfig) -> str:
    """One sentence that says what the model is."""
    sources = config.corpus.sources
    named = ", ".join(sources[:_SOURCES]) + (f" and {len(sources) - _SOURCES} more" if len(sources) > _SOURCES else "")
    numbers = f"{config.model.parameters:,} numbers"
    return f"A network of {numbers} that learned to write from {named}, one character at a time. It knows nothing else."


def reading_rules(directory: ModelDirectory) -> dict[str, Any]:
    """What a page needs to read a text as the model does: the characters it knows and how a prompt is cleaned."""
    vocabulary = directory.vocabulary
    known = vocabulary.characters if isinstance(vocabulary, CharacterVocabulary) else ()
    return {
        "vocabulary": {"kind": vocabulary.kind, "characters": "".join(known)},
        "cleaning": [step for step in directory.config.corpus.cleaning if STEPS[step].character_level],
    }


def introduce(model: Model) -> Introduction:
    """Let a model write a little, and look at what it wrote; nothing of a model that cannot write."""
    try:
        return _introduce(model)
    except CharloomError:
        return Introduction((), ())


def _introduce(model: Model) -> Introduction:
    items = model.config.corpus.items
    stop = ["\n"] if items else []
    options = {"length": _LENGTH, "temperature": _TEMPERATURE, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    written = model.generate_samples("", _TEXTS, seed=1, stop=stop, regex=None, **options)  # type: ignore[arg-type]
    texts = [one.text for one in written]
    return Introduction(_prompts(texts, items), _named_units(model, "\n".join(texts)[:_STUDIED]))


def _prompts(texts: Sequence[str], items: bool) -> tuple[str, ...]:
    """The most common beginnings, of which no two have the same first word."""
    starts = (text[:_ITEM_PROMPT] for text in texts) if items else (start for text in texts for start in _starts(text))
    found: dict[str, str] = {}
    for start, _ in Counter(filter(str.strip, starts)).most_common():
        found.setdefault(start if items else start.split()[0], start)
    return tuple(found.values())[:_PROMPTS]


def _starts(text: str) -> Iterator[str]:
    """How the paragraphs of a text begin; where there is one, or no spaces between words, how its lines do."""
    if text.count(" ") * _SHORT_LINE < len(text):
        begins = (line.strip()[:_UNSPACED_PROMPT] for line in text.split("\n"))
        yield from filter(str.isalpha, begins)
        return
    paragraphs = [part for part in text.split("\n\n") if part]
    for part in paragraphs if len(paragraphs) > 1 else text.split("\n"):
        line, end, _ = part.partition("\n")
        if end and len(line) <= _SHORT_LINE:
            yield f"{line}\n"
        elif cut := line[:_PROMPT].rpartition(" ")[0]:
            yield f"{cut} "


def _named_units(model: Model, text: str) -> tuple[NamedUnit, ...]:
    """For each feature that occurs, the unit of any layer that follows it best, where it does so on other text, too."""
    if model.vocabulary.kind == "bytes":
        text = "".join(character for character in text if character.isascii())  # a value for each character
    middle = len(text) // 2
    named = [_wanted(half) for half in (text[:middle], text[middle:])]
    best: dict[str, NamedUnit] = {}
    for layer in range(model.config.model.num_layers):
        units = range(model.config.model.hidden_size)
        hidden = model.activations(text, layer=layer, units=units).values.astype(float)
        if len(hidden) != len(text):
            return ()  # the model reads a text otherwise than it writes one
        for name in named[0]:
            found = _follower(layer, name, [hidden[:middle], hidden[middle:]], [half[name] for half in named])
            if found and (name not in best or abs(found.correlation) > abs(best[name].correlation)):
                best[name] = found
    clearest = sorted(best.values(), key=lambda found: -abs(found.correlation))
    by_unit: dict[tuple[int, int], NamedUnit] = {}
    for found in clearest:
        by_unit.setdefault((found.layer, found.unit), found)
    return tuple(by_unit.values())


def _wanted(text: str) -> dict[str, Values]:
    return {**features(text), **more_features(text)}


def _follower(layer: int, name: str, hidden: Sequence[Values], feature: Sequence[Values]) -> NamedUnit | None:
    if min((np.ptp(half) if len(half) else 0 for half in feature), default=0) == 0:
        return None  # it does not occur
    unit = int(np.abs(correlations(hidden[0], feature[0])).argmax())
    tested = float(correlations(hidden[1][:, [unit]], feature[1])[0])
    return NamedUnit(layer, unit, name, round(tested, 2)) if abs(tested) >= _CONVINCING else None
