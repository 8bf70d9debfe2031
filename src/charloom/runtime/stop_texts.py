"""From ids to the text a caller sees: whole characters only, cut at the first stop text."""

from __future__ import annotations

from collections.abc import Sequence

from charloom.text.vocabulary import Decoder


class TextAssembler:
    """Collects the characters of one row and releases what cannot become part of a stop text any more.

    Attributes:
        stopped: a stop text was met; it and what follows are left out.
        decoded: how many characters the ids so far have made.
    """

    def __init__(self, decoder: Decoder, stops: Sequence[str]) -> None:
        """Decode with `decoder` and end before the first of `stops`."""
        self._decoder = decoder
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False
        self.decoded = 0

    def push(self, token: int) -> str:
        """Add one id; return the text that is now certain."""
        if self.stopped:
            return ""
        text = self._decoder.push(token)
        self.decoded += len(text)
        if not self._stops:
            return text
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._release(min(found), drop_rest=True)
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """Nothing more comes: return what was held back for a stop text that did not follow."""
        return self._release(len(self._held))

    def _possible_stop(self) -> int:
        """The length of the longest end of the held text that some stop text begins with."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0

    def _release(self, length: int, *, drop_rest: bool = False) -> str:
        released, rest = self._held[:length], self._held[length:]
        self._held = "" if drop_rest else rest
        return released
