"""Stop texts: a text is cut before the first of them, and nothing is released that could become part of one."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Looks for stop texts in a text that comes piece by piece.

    Attributes:
        met: one was found; it and what follows are left out.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, stops))
        self._held = ""
        self.met = False

    def release(self, text: str) -> str:
        """Take in what comes next; return the text that is now certain."""
        if self.met:
            return ""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        self.met = bool(found)
        certain = min(found) if found else len(self._held) - self._possible_stop()
        released, self._held = self._held[:certain], self._held[certain:]
        return released

    def rest(self) -> str:
        """Nothing more comes: return what was held back for a stop text that did not follow."""
        return "" if self.met else self._held

    def _possible_stop(self) -> int:
        """The length of the longest end of the held text that some stop text begins with."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
