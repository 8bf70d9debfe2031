"""Write text: read the prompt, then draw a character, feed it back, repeat.

Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from charloom.errors import UsageError
from charloom.runtime.prompts import prompt_ids, read_prompt
from charloom.runtime.rows import FinishReason, Row, Rows
from charloom.runtime.session import Session
from charloom.settings import MAX_SEED, SamplingSettings, validate
from charloom.text.vocabulary import Ids, Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.surprise import PerChar

_ITEM_ROWS = 256  # items that are written side by side, at most
_MOST_WITHOUT_NEW = 1_000  # texts without a new item, after which there are taken to be no more


@dataclass(frozen=True)
class Generation:
    """One continuation; `str()` of it is the text. In a notebook it shows itself coloured by surprise.

    Attributes:
        prompt: what was continued, as the user wrote it.
        text: the continuation alone.
        finish_reason: `length`; `stop` where a stop text was met, or nothing can follow in the pattern; `cancelled`.
        characters: how many characters `text` has.
        seconds: from the call to the last character; a batch's samples share one figure.
        seed: asking again with it gives the same text.
        unknown: the prompt's characters that the model does not know, each once.
    """

    prompt: str
    text: str
    finish_reason: FinishReason
    characters: int
    seconds: float
    seed: int
    unknown: tuple[str, ...] = ()
    reread: InitVar[Callable[[], PerChar] | None] = None

    def __post_init__(self, reread: Callable[[], PerChar] | None) -> None:
        """Remember how the model can be asked for what each character cost."""
        object.__setattr__(self, "_reread", reread)

    @property
    def full_text(self) -> str:
        """The prompt and its continuation."""
        return self.prompt + self.text

    @cached_property
    def per_char(self) -> PerChar | None:
        """Every character of `text` with its bits of surprise, by the model's own distribution.

        It is measured when it is first asked for. None for what an engine has written, and for a copy from a pickle.
        """
        reread: Callable[[], PerChar] | None = self.__dict__.get("_reread")
        return None if reread is None else reread()

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from charloom.runtime.surprise import as_html

        caption = f"{self.characters:,} characters, seed {self.seed}"
        if self.per_char is None:
            return as_html(self.prompt, ((letter, 0.0) for letter in self.text), caption)
        if self.per_char:
            mean = sum(bits for _, bits in self.per_char) / len(self.per_char)
            caption += f", {mean:.2f} bits per character; coloured from 2 bits"
        return as_html(self.prompt, self.per_char, caption)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle keeps: everything but the model."""
        return {name: value for name, value in self.__dict__.items() if name != "_reread"}


def chosen_seed(seed: int | None) -> int:
    """The seed to use: the one given, or a fresh one small enough to type."""
    return secrets.randbelow(2**32) if seed is None else seed


def sample_seeds(seed: int | None, samples: int) -> list[int]:
    """The seeds of several samples: sample i has seed + i, beyond the largest seed from 0 on."""
    first = chosen_seed(seed)
    return [(first + index) % (MAX_SEED + 1) for index in range(samples)]


def start_rows(session: Session, vocabulary: Vocabulary, prompt: Ids, rows: Sequence[Row]) -> Rows:
    """Rows that all continue one prompt, ids (T,), read once."""
    logits, state = read_prompt(session, prompt)
    states = tuple(np.repeat(part, len(rows), axis=0) for part in state)
    together = Rows(session, vocabulary.unknown_id)
    together.join(rows, np.repeat(logits, len(rows), axis=0), states)
    return together


class TextStream(Iterator[str]):
    """A continuation that comes piece by piece: iterate over it to get the text as it is written.

    Attributes:
        seed: the seed in use, known from the start.
        unknown: the prompt's unknown characters, known from the start.
    """

    def __init__(
        self,
        session: Session,
        vocabulary: Vocabulary,
        prompt: str,
        cleaned_prompt: str,
        settings: SamplingSettings,
    ) -> None:
        """Prepare to continue `prompt`; nothing is computed before the first piece is asked for."""
        self._started = time.perf_counter()
        self._session, self._vocabulary = session, vocabulary
        self._prompt, self._cleaned_prompt = prompt, cleaned_prompt
        self._text: list[str] = []
        self.seed = chosen_seed(settings.seed)
        self.unknown = tuple(vocabulary.unknown_characters(cleaned_prompt))
        self._row = Row(vocabulary, settings, self.seed)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text has ended; None until it has."""
        return self._row.finish_reason

    @cached_property
    def _pieces(self) -> Iterator[tuple[Row, str]]:
        if self.finish_reason is not None:
            return iter(())
        ids = prompt_ids(self._vocabulary, self._cleaned_prompt)
        return start_rows(self._session, self._vocabulary, ids, [self._row]).write()

    def __next__(self) -> str:
        """The next piece of text, never empty.

        Raises:
            StopIteration: the text has ended.
            ModelDirectoryError: the network's answer is not a number.
        """
        for _, piece in self._pieces:
            if piece:
                self._text.append(piece)
                return piece
        if self._row.error is not None:
            raise self._row.error
        raise StopIteration

    def finish(self) -> Generation:
        """Write to the end what has not been read, and return the whole."""
        for _, piece in self._pieces:
            self._text.append(piece)
        seconds = time.perf_counter() - self._started
        text, ids = "".join(self._text), prompt_ids(self._vocabulary, self._cleaned_prompt)
        reread = _reread(self._session, self._vocabulary, ids, text)
        return finished_generation(self._row, self._prompt, text, seconds, self.unknown, reread)


def generate_batch(
    session: Session,
    vocabulary: Vocabulary,
    prompt: str,
    cleaned_prompt: str,
    settings: SamplingSettings,
    samples: int,
) -> list[Generation]:
    """Several continuations of one prompt, made side by side; sample i has seed + i.

    Args:
        session: the network.
        vocabulary: what its ids mean.
        prompt: as the user wrote it, for the results.
        cleaned_prompt: as the model reads it.
        settings: how the texts are drawn, and how long they may become.
        samples: how many.
    """
    started = time.perf_counter()
    seeds = sample_seeds(settings.seed, samples)
    rows = [Row(vocabulary, settings, seed) for seed in seeds]
    texts: dict[int, list[str]] = {seed: [] for seed in seeds}
    if settings.length:
        together = start_rows(session, vocabulary, prompt_ids(vocabulary, cleaned_prompt), rows)
        for row, piece in together.write():
            texts[row.seed].append(piece)
    seconds = time.perf_counter() - started
    unknown = tuple(vocabulary.unknown_characters(cleaned_prompt))
    ids = prompt_ids(vocabulary, cleaned_prompt)
    whole = {seed: "".join(pieces) for seed, pieces in texts.items()}
    return [
        finished_generation(
            row, prompt, whole[row.seed], seconds, unknown, _reread(session, vocabulary, ids, whole[row.seed])
        )
        for row in rows
    ]


def settings_over(
    usual: SamplingSettings, settings: SamplingSettings | None, options: Mapping[str, Any]
) -> SamplingSettings:
    """What was given, and what is usual where nothing was; of both `settings` and `options` the options.

    Raises:
        UsageError: an unknown option, or a value out of its range.
    """
    if not isinstance(settings, SamplingSettings | None):
        raise UsageError(f"settings = {settings!r:.60}: give charloom.SamplingSettings, or options by name")
    values = usual.model_dump()
    given = {**(settings.model_dump(exclude_unset=True) if settings is not None else {}), **options}
    if given.get("regex") is not None:
        del values["stop"]  # what ends the text is the pattern
    return validate(SamplingSettings, {**values, **given})


def write_items(
    session: Session,
    vocabulary: Vocabulary,
    prompt: str,
    cleaned_prompt: str,
    settings: SamplingSettings,
    count: int,
    is_left_out: Callable[[str], bool],
) -> list[str]:
    """Different items, each a prompt and its continuation, in the order in which they are drawn; see `Model.items`."""
    (seed,) = sample_seeds(settings.seed, 1)
    found: dict[str, None] = {}
    without_new = 0
    while len(found) < count and without_new < max(_MOST_WITHOUT_NEW, count):
        rows = min(_ITEM_ROWS, 2 * (count - len(found)))
        batch = settings.model_copy(update={"seed": seed})
        before = len(found)
        for item in draw_items(session, vocabulary, prompt, cleaned_prompt, batch, rows):
            if len(found) < count and not is_left_out(item):
                found[item] = None
        seed = (seed + rows) % (MAX_SEED + 1)
        without_new = 0 if len(found) > before else without_new + rows
    return list(found)


def draw_items(
    session: Session, vocabulary: Vocabulary, prompt: str, cleaned_prompt: str, settings: SamplingSettings, rows: int
) -> list[str]:
    """What `rows` texts come to that are whole items: those that end, are not empty, and have no line end in them."""
    written = generate_batch(session, vocabulary, prompt, cleaned_prompt, settings, rows)
    whole = [prompt + one.text for one in written if one.finish_reason == "stop" or settings.regex is not None]
    return [item for item in whole if item and "\n" not in item]


def items_of_length(session: Session, vocabulary: Vocabulary, settings: SamplingSettings, characters: int) -> list[str]:
    """Items as they are drawn, until they have so many characters; none where the texts are no whole items."""
    (seed,) = sample_seeds(settings.seed, 1)
    items: list[str] = []
    while sum(map(len, items)) < characters:
        drawn = draw_items(session, vocabulary, "", "", settings.model_copy(update={"seed": seed}), _ITEM_ROWS)
        if not drawn:
            break
        items += drawn
        seed = (seed + _ITEM_ROWS) % (MAX_SEED + 1)
    return items


def _reread(session: Session, vocabulary: Vocabulary, prompt: Ids, text: str) -> Callable[[], PerChar]:
    def reread() -> PerChar:
        from charloom.runtime.surprise import costs_after

        return costs_after(session, vocabulary, prompt, text)

    return reread


def finished_generation(
    row: Row,
    prompt: str,
    text: str,
    seconds: float,
    unknown: tuple[str, ...],
    reread: Callable[[], PerChar] | None = None,
) -> Generation:
    """The whole of a row that has ended.

    Raises:
        Exception: what the row failed with, if it did.
    """
    if row.error is not None:
        raise row.error
    assert row.finish_reason is not None
    return Generation(prompt, text, row.finish_reason, len(text), seconds, row.seed, unknown, reread)
