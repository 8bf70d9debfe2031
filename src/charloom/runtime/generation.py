"""Write text: read the prompt, then draw a character, feed it back, repeat.

Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.sampling import draw, next_probabilities
from charloom.runtime.session import Logits, Session, State, initial_state
from charloom.runtime.stopping import TextAssembler
from charloom.settings import MAX_SEED, SamplingSettings
from charloom.text.vocabulary import Ids, Vocabulary

PREFILL_CHUNK = 1024  # prompt characters read in one run: bounds the logits held at a time
FinishReason = Literal["length", "stop"]


@dataclass(frozen=True)
class Generation:
    """One continuation.

    Attributes:
        prompt: what was continued, as the user wrote it.
        text: the continuation alone.
        finish_reason: `length`, or `stop` where a stop text was met.
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


def chosen_seed(seed: int | None) -> int:
    """The seed to use: the one given, or a fresh one small enough to type."""
    return secrets.randbelow(2**32) if seed is None else seed


def prefill(session: Session, ids: Ids, state: State) -> tuple[Logits, State]:
    """Read a prompt, ids (T,) with T ≥ 1, in one row; return the last logits (1, V) and the state."""
    logits: Logits | None = None
    for start in range(0, len(ids), PREFILL_CHUNK):
        all_logits, state = session.run(ids[start : start + PREFILL_CHUNK, None], state)
        logits = all_logits[-1]
    if logits is None:
        raise ValueError("a prompt needs at least one id")
    return logits, state


def sample_ids(
    session: Session, prompt: Ids, settings: SamplingSettings, seeds: Sequence[int], unknown_id: int | None
) -> Iterator[NDArray[np.int64]]:
    """Draw ids for ever: one array (B,) a step, row b drawn with a generator seeded by `seeds[b]`."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    logits, state = prefill(session, prompt, initial_state(session.shape, 1))
    logits = np.repeat(logits, len(seeds), axis=0)  # (B, V)
    state = tuple(np.repeat(part, len(seeds), axis=0) for part in state)
    while True:
        probabilities = next_probabilities(logits, settings, unknown_id)
        uniforms = np.array([generator.random() for generator in generators])
        ids = draw(probabilities, uniforms)
        yield ids
        all_logits, state = session.run(ids[None, :], state)
        logits = all_logits[0]


def prompt_ids(vocabulary: Vocabulary, cleaned_prompt: str) -> Ids:
    """The ids a prompt sets the state with; an empty prompt is read as the start of a line."""
    if not cleaned_prompt:
        return np.array([vocabulary.opening_id])
    return vocabulary.encode(cleaned_prompt)


class TextStream(Iterator[str]):
    """A continuation that comes piece by piece: iterate over it to get the text as it is written.

    Attributes:
        seed: the seed in use, known from the start.
        unknown: the prompt's unknown characters, known from the start.
        finish_reason: None until the text has ended.
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
        self._prompt = prompt
        self._text: list[str] = []
        self.seed = chosen_seed(settings.seed)
        self.unknown = tuple(vocabulary.unknown_characters(cleaned_prompt))
        self.finish_reason: FinishReason | None = None
        self._pieces = self._generate(session, vocabulary, prompt_ids(vocabulary, cleaned_prompt), settings)

    def _generate(
        self, session: Session, vocabulary: Vocabulary, ids: Ids, settings: SamplingSettings
    ) -> Iterator[str]:
        assembler = TextAssembler(vocabulary.decoder(), settings.stop)
        steps = sample_ids(session, ids, settings, [self.seed], vocabulary.unknown_id)
        for _ in range(settings.length):
            yield assembler.push(int(next(steps)[0]))
            if assembler.stopped:
                self.finish_reason = "stop"
                return
        yield assembler.finish()
        self.finish_reason = "length"

    def __next__(self) -> str:
        """The next piece of text, never empty.

        Raises:
            StopIteration: the text has ended.
        """
        for piece in self._pieces:
            if piece:
                self._text.append(piece)
                return piece
        raise StopIteration

    def finish(self) -> Generation:
        """Write to the end what has not been read, and return the whole."""
        for _ in self:
            pass
        text = "".join(self._text)
        reason = self.finish_reason
        assert reason is not None  # the generator sets it before it ends
        seconds = time.perf_counter() - self._started
        return Generation(self._prompt, text, reason, len(text), seconds, self.seed, self.unknown)


def generate_batch(
    session: Session,
    vocabulary: Vocabulary,
    prompt: str,
    cleaned_prompt: str,
    settings: SamplingSettings,
    samples: int,
) -> list[Generation]:
    """Several continuations of one prompt, made side by side; sample i has seed + i."""
    started = time.perf_counter()
    first = chosen_seed(settings.seed)
    seeds = [(first + index) % (MAX_SEED + 1) for index in range(samples)]
    assemblers = [TextAssembler(vocabulary.decoder(), settings.stop) for _ in seeds]
    texts: list[list[str]] = [[] for _ in seeds]
    steps = sample_ids(session, prompt_ids(vocabulary, cleaned_prompt), settings, seeds, vocabulary.unknown_id)
    for _ in range(settings.length):
        for row, token in enumerate(next(steps).tolist()):
            texts[row].append(assemblers[row].push(token))
        if all(assembler.stopped for assembler in assemblers):
            break
    for text, assembler in zip(texts, assemblers, strict=True):
        text.append(assembler.finish())
    seconds = time.perf_counter() - started
    unknown = tuple(vocabulary.unknown_characters(cleaned_prompt))
    return [
        Generation(
            prompt,
            whole := "".join(text),
            "stop" if assembler.stopped else "length",
            len(whole),
            seconds,
            seed,
            unknown,
        )
        for text, assembler, seed in zip(texts, assemblers, seeds, strict=True)
    ]
