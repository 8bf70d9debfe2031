"""How often texts whose class is known were given it, and which others they were given instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Confusion:
    """A confusion table.

    Attributes:
        classes: their names.
        counts: of each true class, how many of its texts were given each class.
        unread: empty texts, which have no class.
    """

    classes: Sequence[str]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    unread: int = 0

    def __post_init__(self) -> None:
        """No text was counted yet."""
        self.counts = {name: dict.fromkeys(self.classes, 0) for name in self.classes}

    def add(self, label: str, best: str | None) -> None:
        """Count a text of the class `label` that was given the class `best`."""
        if best is None:
            self.unread += 1
        else:
            self.counts[label][best] += 1

    @property
    def texts(self) -> int:
        """How many were counted."""
        return sum(sum(row.values()) for row in self.counts.values())

    @property
    def right(self) -> int:
        """How many were given their class."""
        return sum(self.counts[name][name] for name in self.classes)

    @property
    def accuracy(self) -> float | None:
        """The share of the texts that were given their class; None without texts."""
        return self.right / self.texts if self.texts else None

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean of the classes' recalls, whatever their sizes; classes without texts are left out."""
        recalls = [recall for name in self.classes if (recall := self.recall(name)) is not None]
        return sum(recalls) / len(recalls) if recalls else None

    def recall(self, name: str) -> float | None:
        """The share of a class's texts that were given it."""
        texts = sum(self.counts[name].values())
        return self.counts[name][name] / texts if texts else None

    def precision(self, name: str) -> float | None:
        """The share of the texts given a class that are of it."""
        given = sum(row[name] for row in self.counts.values())
        return self.counts[name][name] / given if given else None
