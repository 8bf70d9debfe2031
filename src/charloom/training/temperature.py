"""The temperature that a model writes at by default: the highest at which it invents no more than real text does.

A small network spreads some probability over characters that make no word. The lower the temperature, the rarer they
are drawn; the lower it is, the more often a text repeats itself. Real text has words, too, that were not in the text
before it: as many as held-out text has, a model may write.

In a script without spaces, and in a list of items, runs of a few characters take the place of words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charloom.runtime.generation import generate_batch
from charloom.runtime.session import Session
from charloom.settings import SamplingSettings
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment, Split
from charloom.text.vocabulary import Ids, Vocabulary

TEMPERATURES = tuple(round(0.5 + 0.05 * step, 2) for step in range(11))
"""Those that are tried, lowest first."""
WRITTEN = 8_000
"""Characters written at each that is tried, at most."""
TRIED = 5
"""How many are tried, at most."""
_SEARCHED = 2_000_000  # characters of the training text, from its beginning
_COMPARED = 200_000  # characters of the held-out text, from its beginning
_SHORTEST = 10_000  # characters of training text, below which nothing is measured
_FEWEST = 300  # words or runs of the held-out text
_WRITTEN_SHARE = 10  # no more than a tenth of the training text's length is written
_ROWS = 25
_ALWAYS_ALLOWED = 0.01  # a share too small to be measured in so little text
_MOST_ALLOWED = 0.1  # in a short text many real words are new; what a network invents in their place are not real
_MOST_NEW = 0.5  # of a held-out text's words: beyond, what is between two spaces is not a word
_RUNS = (2, 3, 4, 5)  # characters
_USUAL_SHARE = 0.1  # of runs that are new in held-out text: the length that is nearest to it says most
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_CUT_WORD = re.compile(r"\w+\Z")

Shares = Callable[[Sequence[str]], tuple[int, int]]
"""How many of the words or runs of some texts are new, and how many there are."""


@dataclass(frozen=True)
class TemperatureChoice:
    """A temperature, and why.

    Attributes:
        temperature: to write at by default.
        reason: a sentence for people.
    """

    temperature: float
    reason: str


@dataclass(frozen=True)
class _Measure:
    """What counts as new.

    Attributes:
        new: counts it in texts.
        what: its name in a sentence.
        held_out: its share in held-out text.
        most: its largest share in what is written.
    """

    new: Shares
    what: str
    held_out: float
    most: float


def choose_temperature(
    session: Session, vocabulary: Vocabulary, split: Split, sampling: SamplingSettings, seed: int, *, items: bool
) -> TemperatureChoice:
    """Write a little at some temperatures, and compare how much of it is new with how much of held-out text is.

    Args:
        session: the finished network.
        vocabulary: what its ids mean.
        split: what it was trained on, and what was held out.
        sampling: how it writes, but for the temperature.
        seed: draws the texts.
        items: the text is a list of items.
    """
    searched = sum(segment.predicted for segment in split.train)
    measure = None if searched < _SHORTEST else _choose_measure(vocabulary, split, items=items)
    if measure is None:
        usual = sampling.temperature
        return TemperatureChoice(usual, f"{usual:g}, the usual: there is too little text to measure a better one")
    written = min(WRITTEN, searched // _WRITTEN_SHARE)
    shares: dict[float, float] = {}

    def share_at(temperature: float) -> float:
        if temperature not in shares:
            own = sampling.model_copy(update={"temperature": temperature, "seed": seed})
            texts = _write(session, vocabulary, own, split, written, items=items)
            shares[temperature] = _share(*measure.new(texts))
        return shares[temperature]

    low, high = 0, len(TEMPERATURES) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if share_at(TEMPERATURES[middle]) <= measure.most else (low, middle - 1)
    return TemperatureChoice(TEMPERATURES[low], _reason(TEMPERATURES[low], share_at(TEMPERATURES[low]), measure))


def temperature_seconds(characters: int, seconds_a_character: float) -> float:
    """About how long that takes, where a network reads many rows at `seconds_a_character`."""
    if characters < _SHORTEST:
        return 0.0
    # A step reads a character a row and so takes longer than its share of a window.
    return 2 * TRIED * min(WRITTEN, characters // _WRITTEN_SHARE) * seconds_a_character


def _reason(temperature: float, written: float, measure: _Measure) -> str:
    lowest = ", the lowest that is tried" if written > measure.most else ""
    return (
        f"{temperature:g}{lowest}: {written:.1%} of {measure.what} are then not in its training text "
        f"({measure.held_out:.1%} in held-out text)"
    )


def _choose_measure(vocabulary: Vocabulary, split: Split, *, items: bool) -> _Measure | None:
    """Words where the text has them, else runs of characters; None where there is too little held out."""
    train = _beginning(split.train, _SEARCHED)
    held_out = _beginning(split.validation, _COMPARED)
    if not items:
        new = _new_words(vocabulary.decode(train))
        counted = new([vocabulary.decode(held_out)])
        if counted[1] >= _FEWEST and _share(*counted) <= _MOST_NEW:
            most = min(max(_share(*counted), _ALWAYS_ALLOWED), _MOST_ALLOWED)
            return _Measure(new, "the words it writes", _share(*counted), most)
    if len(held_out) < _FEWEST:
        return None
    return _runs_measure(vocabulary, train, held_out, items=items)


def _runs_measure(vocabulary: Vocabulary, train: Ids, held_out: Ids, *, items: bool) -> _Measure:
    """Runs as long as says most about this text: about every tenth of those that were held out is new."""
    line_end = int(vocabulary.encode("\n")[0]) if items else None
    best: tuple[float, int, npt.NDArray[np.int64]] | None = None
    for length in _RUNS:
        if vocabulary.size**length >= 2**62:
            break
        known = np.unique(_runs(train, length, vocabulary.size, line_end))
        share = _share(*_count_new(_runs(held_out, length, vocabulary.size, line_end), known))
        if best is None or abs(share - _USUAL_SHARE) < abs(best[0] - _USUAL_SHARE):
            best = share, length, known
    assert best is not None
    share, length, known = best

    def new(texts: Sequence[str]) -> tuple[int, int]:
        found = [_runs(vocabulary.encode(text), length, vocabulary.size, line_end) for text in texts]
        return _count_new(np.concatenate([np.empty(0, dtype=np.int64), *found]), known)

    what = f"the runs of {length} characters in {'the new items' if items else 'what'} it writes"
    return _Measure(new, what, share, max(share, _ALWAYS_ALLOWED))


def _beginning(segments: Sequence[Segment], at_most: int) -> Ids:
    parts: list[Ids] = []
    for segment in segments:
        if at_most > 0:
            parts.append(load_ids(segment.ids[: at_most + 1]))
            at_most -= len(parts[-1])
    return np.concatenate(parts)


def _new_words(train: str) -> Shares:
    known = set(_words(train))

    def new(texts: Sequence[str]) -> tuple[int, int]:
        words = [word for text in texts for word in _words(text)]
        return sum(word not in known for word in words), len(words)

    return new


def _words(text: str) -> list[str]:
    """The words in small letters, but for one that the end of the text may have cut."""
    return _WORD.findall(_CUT_WORD.sub("", text).casefold())


def _runs(ids: Ids, length: int, size: int, line_end: int | None) -> npt.NDArray[np.int64]:
    """A number for each run of so many ids; none goes over a line end of a list."""
    if len(ids) < length:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(ids, length)
    if line_end is not None:
        windows = windows[~(windows[:, 1:-1] == line_end).any(axis=1)]
    return windows.astype(np.int64) @ (size ** np.arange(length, dtype=np.int64))


def _count_new(runs: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int(np.count_nonzero(~np.isin(runs, known))), len(runs)


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def _write(
    session: Session, vocabulary: Vocabulary, sampling: SamplingSettings, split: Split, characters: int, *, items: bool
) -> list[str]:
    """Texts from nothing, so many characters in all; of items those that are not in the training text."""
    if not items:
        long = sampling.model_copy(update={"length": max(1, characters // _ROWS), "stop": [], "regex": None})
        return [written.text for written in generate_batch(session, vocabulary, "", "", long, _ROWS)]
    known = set(vocabulary.decode(_beginning(split.train, _SEARCHED)).split("\n"))
    rows = max(1, characters * len(known) // max(1, sum(map(len, known)) + len(known)))
    short = sampling.model_copy(update={"length": 2 * max(map(len, known)), "stop": ["\n"], "regex": None})
    texts = [written.text for written in generate_batch(session, vocabulary, "", "", short, rows)]
    return [f"\n{text}\n" for text in texts if text not in known]
