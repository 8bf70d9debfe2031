"""What a cleaning step is: a text goes through it piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Step(ABC):
    """One cleaning step at work on one text."""

    @abstractmethod
    def push(self, piece: str) -> str:
        """Take the next piece; give what is settled."""

    def finish(self) -> str:
        """The text is over: give what was held back."""
        return ""
