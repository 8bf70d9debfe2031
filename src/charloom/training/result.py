"""What a training run comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from charloom.report import duration
from charloom.settings import Protocol

if TYPE_CHECKING:
    from charloom.runtime.model import Model


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        model: the model directory.
        validation_loss: nats a character of the saved weights.
        bits_per_char: the same in bits.
        protocol: how that was measured.
        epochs: passes over the text.
        steps: updates made.
        best_step: the update that made the saved weights.
        characters: characters learned from, over all epochs.
        seconds: spent, evaluations included.
        characters_per_second: learned from, in the time of the updates alone.
        parameters: trained weights.
        resumed_from_step: where this run took up an interrupted one; 0 when it did not.
        interrupted: it was asked to stop before the end.
        sample: a text the model wrote.
        losses: every protocol measured, with its loss in nats.
        old_text: what the run cost on the text of the model that it started from, where that text was found.
    """

    model: str
    validation_loss: float
    bits_per_char: float
    protocol: Protocol
    epochs: float
    steps: int
    best_step: int
    characters: int
    seconds: float
    characters_per_second: float
    parameters: int
    resumed_from_step: int
    interrupted: bool
    sample: str
    losses: dict[str, float]
    old_text: OldTextResult | None = None

    def load(self) -> Model:
        """Open the model that was trained; the same as `charloom.load(result.model)`."""
        from charloom.runtime.model import load

        return load(self.model)

    def __str__(self) -> str:
        ended = "interrupted" if self.interrupted else "trained"
        return (
            f"{self.model}: {ended}, {self.bits_per_char:.3f} bits per character ({self.protocol}) "
            f"after {self.epochs:.2f} epochs, {duration(self.seconds)}"
        )


class OldTextResult(TypedDict):
    """What a run cost on the old text, in nats a character on what was held out of it.

    `kept` says whether the run learned the old text, too.
    """

    name: str
    kept: bool
    characters: int
    protocol: Protocol
    before: float
    after: float
