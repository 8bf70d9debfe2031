"""What the tests of patterns share: walking a text through a constraint, and random walks under one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charloom.runtime.patterns.constraint import RegexConstraint
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary

LETTERS = CharacterVocabulary("abc")
ASCII = CharacterVocabulary(["\n", *map(chr, range(32, 127))])
EUROPEAN = CharacterVocabulary(["\n", *map(chr, range(32, 127)), *"£°²ÉßéıſΣςστ٣–€\u00a0\u0130\u2028\u212a"])
BYTES = ByteVocabulary()


def can_write(constraint: RegexConstraint, vocabulary: CharacterVocabulary | ByteVocabulary, text: str) -> bool:
    """Whether the text can be written under the constraint, with its own length as the limit."""
    state = constraint.start
    ids = vocabulary.encode(text).tolist()
    for index, token in enumerate(ids):
        if not constraint.allowed(state, len(ids) - index)[token]:
            assert len(ids) > index + 1 or not constraint.accepting(constraint.advance(state, token))
            return False
        state = constraint.advance(state, token)
    return constraint.accepting(state)


def walk(constraint: RegexConstraint, length: int, choose: Callable[[int], int]) -> list[int]:
    """Ids drawn until nothing can follow, `choose(n)` of n each time, at most `length`; the end is a match's."""
    state = constraint.start
    ids: list[int] = []
    while len(ids) < length:
        possible = np.flatnonzero(constraint.allowed(state, length - len(ids)))
        if not len(possible):
            break
        ids.append(int(possible[choose(len(possible))]))
        state = constraint.advance(state, ids[-1])
    assert constraint.accepting(state)
    return ids
