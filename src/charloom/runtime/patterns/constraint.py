"""Output that matches a pattern: after each id, which ids can still lead to a match, and how soon.

The automaton of the pattern is made deterministic only along the text that is written: a state is the set of places
that the text so far can have reached, so a pattern such as `.*a.{20}`, whose whole deterministic automaton has a
million states, costs no more than its text is long. The way to the end is exact, being the shortest from any place of
the set. What was worked out for a state is kept, up to a limit on memory, and worked out anew when it is needed again.

`re.fullmatch` is the reference: what is allowed is what it accepts (`runtime/patterns/parse.py` says what is refused).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import UsageError
from charloom.runtime.patterns.automaton import FAR, Automaton, utf8_length
from charloom.runtime.patterns.parse import parse_pattern
from charloom.text.vocabulary import Vocabulary
from charloom.wrong_values import shorten

_MEMORY: Final = 4 << 20  # about so many bytes are kept of what was worked out, for each pattern
_ENTRY: Final = 200  # about so many bytes an array or a dictionary's entry costs besides its numbers
_WORK: Final = 100  # what any step takes, as if so many places were visited
_PREFIX_BITS: Final = 24  # the low bits of a state: the bytes of a character that has begun, at most three


@dataclass(frozen=True)
class _Known:
    """What is known of a state: for each id, how many more end a match after it, and the states it leads to."""

    rest: NDArray[np.int32]  # (V,)
    steps: dict[int, int] = field(default_factory=dict)


class RegexConstraint:
    """A pattern compiled for one vocabulary; it can be shared by rows and threads.

    A state is a Python integer of any size (a bit for each place of the pattern): hold it in a list, not in an
    array. 0 is the state from which nothing matches.

    Attributes:
        pattern: the regular expression.
        start: the state before the first character.
        shortest: ids in the shortest match.
        work: how much the last step took, as if so many places were visited.
    """

    def __init__(self, pattern: str, vocabulary: Vocabulary) -> None:
        """Compile `pattern` for the ids of `vocabulary`."""
        self.pattern = pattern
        self._size = vocabulary.size
        self._bytes = vocabulary.kind == "bytes"
        self._automaton = Automaton(parse_pattern(pattern), vocabulary, pattern)
        self.work = 0
        self.start: int = self._pack_state(self._automaton.closure([self._automaton.start])[0], b"")
        self.shortest: int = int(self._automaton.distance[self._automaton.start])
        self._known: dict[int, _Known] = {}
        self._room = _MEMORY

    def check_length(self, length: int) -> None:
        """Make sure that a match fits in `length` ids."""
        if self.shortest > length:
            unit = "bytes" if self._bytes else "characters"
            raise UsageError(
                f"regex = {shorten(self.pattern)}: its shortest match has {self.shortest:,} {unit}, "
                f"more than length = {length:,}"
            )

    def allowed(self, state: int, remaining: int) -> NDArray[np.bool_]:
        """Which ids may come next, shape (V,): those after which a match still ends within the limit.

        Args:
            state: what the text so far led to.
            remaining: how many ids may still be written, this one included.

        Returns:
            A new array. All false: nothing can follow, and `accepting(state)` holds if every id before was
            allowed and `check_length` passed.
        """
        rest = self._about(state).rest
        allowed: NDArray[np.bool_] = rest < min(remaining, FAR)
        return allowed

    def knows(self, state: int, token: int) -> bool:
        """Whether the step has been worked out already, and what may follow it."""
        known = self._known.get(state)
        after = None if known is None else known.steps.get(token)
        return after is not None and after in self._known

    def advance(self, state: int, token: int) -> int:
        """The state after the id `token`; 0 if no match continues with it."""
        self.work = 0
        known = self._about(state)
        found = known.steps.get(token)
        if found is None:
            found = known.steps[token] = self._step(state, token)
            self._spend(_ENTRY + found.bit_length() // 8)
        return found

    def accepting(self, state: int) -> bool:
        """Whether the text so far matches."""
        return bool(state >> _PREFIX_BITS & 1) and not _prefix(state)

    def _about(self, state: int) -> _Known:
        found = self._known.get(state)
        if found is None:
            # Kept before it is paid for: paying may clear everything, and what is too much then goes as well.
            found = self._known[state] = _Known(self._rest(state))
            self._spend(2 * _ENTRY + found.rest.nbytes + state.bit_length() // 8)
        return found

    def _spend(self, memory: int) -> None:
        self._room -= memory
        if self._room < 0:
            self._known = {}
            self._room = _MEMORY

    def _rest(self, state: int) -> NDArray[np.int32]:
        """For each id, the fewest that end a match after it; FAR if none does. Shape (V,)."""
        places = self._places(state)
        self.work += _WORK + len(places)
        indices = self._automaton.set_of[places]
        # The nearest end after a character of each set, from any of the places.
        nearest = np.full(len(self._automaton.sets), FAR, dtype=np.int64)
        np.minimum.at(nearest, indices, self._automaton.distance[self._automaton.after[places]])
        rest = np.full(self._size, FAR, dtype=np.int32)
        prefix = _prefix(state)
        for index in np.unique(indices):
            tokens, more = self._automaton.sets[index].continuations(prefix)
            rest[tokens] = np.minimum(rest[tokens], more + nearest[index])
        return rest

    def _step(self, state: int, token: int) -> int:
        places = self._places(state)
        self.work += _WORK + len(places)
        prefix = _prefix(state)
        indices = self._automaton.set_of[places]
        holding = [int(index) for index in np.unique(indices) if self._automaton.sets[index].holds(prefix, token)]
        places = places[np.isin(indices, holding)]
        if self._bytes:
            prefix += bytes([token])
            if len(prefix) < utf8_length(prefix[0]):
                return self._pack_state(places, prefix)
        reached, visited = self._automaton.closure(self._automaton.after[places].tolist())
        self.work += visited
        return self._pack_state(reached, b"")

    def _places(self, state: int) -> NDArray[np.int64]:
        """The places of a state that take a character."""
        bits = state >> _PREFIX_BITS
        packed = np.frombuffer(bits.to_bytes(bits.bit_length() // 8 + 1, "little"), dtype=np.uint8)
        places = np.flatnonzero(np.unpackbits(packed, bitorder="little"))
        return places[self._automaton.set_of[places] >= 0]

    def _pack_state(self, places: NDArray[np.int64], prefix: bytes) -> int:
        if not len(places):
            return 0
        bits = np.zeros(int(places.max()) + 1, dtype=np.uint8)
        bits[places] = 1
        number = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
        return number << _PREFIX_BITS | int.from_bytes(prefix, "big")


def _prefix(state: int) -> bytes:
    """The bytes of a character that has begun."""
    code = state & (1 << _PREFIX_BITS) - 1
    return code.to_bytes((code.bit_length() + 7) // 8, "big")


@lru_cache(maxsize=16)
def compile_constraint(pattern: str, vocabulary: Vocabulary) -> RegexConstraint:
    """The constraint of a pattern; the latest ones are kept."""
    return RegexConstraint(pattern, vocabulary)
