"""Does the law by which a budget chooses a size hold for texts of several kinds?

    python benchmarks/budget_law.py
    python benchmarks/budget_law.py --run NAME=FILE ... [--units 64 128 256] [--read 500000 1500000]

The constants of `charloom.training.budget` were fitted to seven runs on tiny Shakespeare (the loss by `stateful`; by
`windows-256` it is 0.017 more). Another text has another floor, what can never be predicted, and another scale, how
much there is to learn. Both are known only afterwards, but neither changes which size is best. So for each text of
`budget_law.json` the two numbers that fit its runs best are found by least squares, and what the law then says is
printed beside what was reached.

`--run` makes runs and adds them to the file: one LSTM layer, embedding 64, 16 rows × 100, Muon at the rate a budget
would take, no dropout, one seed, the last tenth held out, at most 200,000 characters of it; loss by `windows-256`.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import charloom
from charloom.events import Event, TrainingStarted
from charloom.training.budget import predicted_loss

RECORDS = Path(__file__).with_suffix(".json")
_CHARACTERS_AN_UPDATE = 1600


class Run(NamedTuple):
    """What a network of a size had learned when it had read so many characters of a text."""

    text: str
    units: int
    parameters: int
    different: int  # characters that the text has
    read: int
    loss: float


def read_runs() -> list[Run]:
    """The runs of the file."""
    return [Run(*record) for record in json.loads(RECORDS.read_text("utf-8"))]


def write_runs(runs: Sequence[Run]) -> None:
    """Put runs into the file, a line each."""
    lines = ",\n".join(json.dumps(run) for run in sorted(runs))
    RECORDS.write_text(f"[\n{lines}\n]\n", "utf-8")


def learn(name: str, file: str, units: int, read: int) -> Run:
    """Make one run."""
    characters = 0

    def note(event: Event) -> None:
        nonlocal characters
        if isinstance(event, TrainingStarted):
            characters = event.characters

    steps = round(read / _CHARACTERS_AN_UPDATE)
    with tempfile.TemporaryDirectory() as folder:
        result = charloom.train(
            file,
            Path(folder) / "model",
            notify=note,
            hidden_size=units,
            steps=steps,
            evaluate_every=steps,
            learning_rate=round(4.5e-3 * math.sqrt(512 / units), 5),
            dropout=0.0,
            validation_characters=200_000,
            items=False,
            seed=1,
            threads=1,
        )
    return Run(name, units, result.parameters, characters, result.characters, round(result.losses["windows-256"], 4))


def fit(runs: Sequence[Run]) -> tuple[float, float, list[float]]:
    """A text's floor and scale by least squares, in place of tiny Shakespeare's; what the law then says of each run."""
    unlimited = predicted_loss(1e300, 1e300, 1e300)  # tiny Shakespeare's floor
    law = np.array([predicted_loss(run.parameters, run.read, run.different) - unlimited for run in runs])
    (floor, scale), *_ = np.linalg.lstsq(np.stack([np.ones_like(law), law], 1), [run.loss for run in runs], rcond=None)
    return float(floor), float(scale), (floor + scale * law).tolist()


def show(runs: Sequence[Run]) -> None:
    """Print all texts, the law beside what was reached."""
    for text in sorted({run.text for run in runs}):
        own = [run for run in runs if run.text == text]
        floor, scale, law = fit(own)
        off = math.sqrt(sum((said - run.loss) ** 2 for said, run in zip(law, own, strict=True)) / len(own))
        reached = [run.loss for run in own]
        print(
            f"{text}: {own[0].different:,} characters, floor {floor:.2f}, scale {scale:.2f}, "
            f"root mean square {off:.3f} nats of {max(reached) - min(reached):.2f}"
        )
        for run, said in zip(own, law, strict=True):
            figures = f"{run.loss:>9.3f}{said:>9.3f}{said - run.loss:>+9.3f}"
            print(f"{run.units:>8}{run.parameters:>12,}{run.read:>12,}{figures}")


def main(argv: Sequence[str] | None = None) -> None:
    """Make the runs that are asked for, and print all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", nargs="+", default=[], metavar="NAME=FILE", help="texts to make runs on")
    parser.add_argument("--units", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--read", type=int, nargs="+", default=[500_000, 1_500_000], help="characters to learn from")
    arguments = parser.parse_args(argv)
    for named in arguments.run:
        name, _, file = named.partition("=")
        for read in arguments.read:
            for units in arguments.units:
                write_runs([*read_runs(), learn(name, file, units, read)])
    print(f"{'units':>8}{'parameters':>12}{'read':>12}{'reached':>9}{'law':>9}{'off':>9}")
    show(read_runs())


if __name__ == "__main__":
    main()
