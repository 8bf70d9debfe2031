"""What each character of a text costs after what is before it, and the text coloured by it, as the page shows it.

Legend: T time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from html import escape

import numpy as np

from charloom.display import visible
from charloom.runtime.prompts import READ_AT_ONCE, read_prompt
from charloom.runtime.scores import bits
from charloom.runtime.session import LOGITS_LIMIT, Session, initial_state
from charloom.text.vocabulary import Ids, Vocabulary

PerChar = tuple[tuple[str, float], ...]
"""Every character of a text with its bits."""

STEPS = (2, 3, 4, 6, 8, 10)
"""Bits from which on a character has the next colour; below the first it has none."""
COLOURS = ("#fff4d6", "#fee7b0", "#fed58a", "#fdb75a", "#f59336", "#e2711d")
INK = "#1a1a1a"
"""On any of the colours."""

_MOST_SHOWN = 20_000  # characters


def step(bits: float) -> int:
    """Which colour a character has: 0 none, then from 1 on those of `COLOURS`."""
    return bisect_right(STEPS, bits)


def costs_after(session: Session, vocabulary: Vocabulary, prompt: Ids, text: str) -> PerChar:
    """What each character of a text costs after a prompt, ids (T,), in bits of the model's own distribution."""
    ids = vocabulary.encode(text)
    if not len(ids):
        return ()
    state = initial_state(session.shape, 1)
    if len(prompt) > 1:
        _, state = read_prompt(session, prompt[:-1])
    inputs = np.concatenate([prompt[-1:], ids[:-1]]).astype(np.int64)
    at_once = max(1, min(READ_AT_ONCE, LOGITS_LIMIT // session.shape.vocab_size))
    parts = []
    for start in range(0, len(ids), at_once):
        here = slice(start, start + at_once)
        nats, state = session.nats(inputs[here, None], ids[here, None].astype(np.int64), state)
        parts.append(nats[:, 0])
    costs = np.concatenate(parts)
    if len(costs) != len(text):  # bytes: a character costs what its bytes cost
        costs = np.add.reduceat(costs, np.flatnonzero((ids & 0xC0) != 0x80))
    return tuple(zip(text, (bits(nats) for nats in costs.tolist()), strict=True))


def as_html(before: str, per_char: Iterable[tuple[str, float]], caption: str) -> str:
    """A text for a notebook: what is before it plain, each character with the colour of its bits, a line below.

    Nothing in the text is read as HTML, and what can act on a page is replaced.
    """
    letters = list(per_char)
    shown = "".join(_letter(letter, bits) for letter, bits in letters[:_MOST_SHOWN])
    more = f"… and {len(letters) - _MOST_SHOWN:,} characters more" if len(letters) > _MOST_SHOWN else ""
    return (
        '<div dir="auto" style="white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5">'
        f'<span style="opacity: 0.7">{_plain(before)}</span>{shown}{more}</div>'
        f'<div style="opacity: 0.7; font-size: smaller">{_plain(caption)}</div>'
    )


def _letter(letter: str, bits: float) -> str:
    colour = step(bits)
    if not colour:
        return _plain(letter)
    style = f"background: {COLOURS[colour - 1]}; color: {INK}"
    shown = "↵" if letter == "\n" else _plain(letter)
    return f'<span style="{style}" title="{bits:.1f} bits">{shown}</span>' + ("\n" if letter == "\n" else "")


def _plain(text: str) -> str:
    return escape(visible(text, lines=True))
