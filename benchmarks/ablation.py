"""Which settings learn more? Every way on every text, one after the other, by the processor time it takes.

    python benchmarks/ablation.py TEXT ... --all steps=2500 hidden_size=256 dropout=0 \
        --way optimizer=adamw learning_rate=0.006 --way optimizer=muon

A way is a list of OPTION=VALUE, as `charloom.train` takes them; `--all` holds for all ways. The seconds are the
processor time of all threads from the first update to the last, so that other programs hardly change them; give `steps`
or `epochs`, or a `budget` on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import charloom
from charloom.events import Event, StepTaken


class Outcome(NamedTuple):
    """What a way came to."""

    parameters: int
    epochs: float
    seconds: float  # of processor time
    losses: dict[str, float]


class Clock:
    """Listens to a run and keeps the processor time that its updates took."""

    def __init__(self) -> None:
        """Start at once; what comes before the first update is not counted."""
        self.seconds = 0.0
        self._mark = time.process_time()

    def __call__(self, event: Event) -> None:
        """Count the time since the last event where an update took it."""
        now = time.process_time()
        if isinstance(event, StepTaken) and event.step > 1:
            self.seconds += now - self._mark
        self._mark = now


def run(text: str, options: dict[str, Any]) -> Outcome:
    """Train on a text with these options."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        result = charloom.train(text, Path(folder) / "model", notify=clock, **options)
    return Outcome(result.parameters, result.epochs, clock.seconds, result.losses)


def _option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not OPTION=VALUE")
    return name.replace("-", "_"), value


def main(argv: Sequence[str] | None = None) -> None:
    """Run all ways and print a row for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("texts", nargs="+", metavar="TEXT", help="corpora, as charloom train takes them")
    add("--all", nargs="*", type=_option, default=[], metavar="OPTION=VALUE", help="options of all ways")
    add(
        "--way", nargs="*", type=_option, action="append", default=[], metavar="OPTION=VALUE", help="options of one way"
    )
    add("--seeds", type=int, nargs="+", default=[1], help="runs of each way")
    arguments = parser.parse_args(argv)
    common = {"threads": 1, "device": "cpu"} | dict(arguments.all)
    print("| Text | Options | Parameters | Passes | Processor s | `stateful` | `windows-256` |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for text in arguments.texts:
        for way in arguments.way or [[]]:
            for seed in arguments.seeds:
                found = run(text, common | dict(way) | {"seed": seed})
                said = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in way) or "as they are"
                losses = " | ".join(f"{found.losses[protocol]:.4f}" for protocol in ("stateful", "windows-256"))
                print(
                    f"| {Path(text).name} | `{said}` | {found.parameters:,} | {found.epochs:.1f} | {found.seconds:.0f} "
                    f"| {losses} |",
                    flush=True,
                )


if __name__ == "__main__":
    try:
        main()
    except charloom.CharloomError as error:
        raise SystemExit(f"error: {error}") from None
