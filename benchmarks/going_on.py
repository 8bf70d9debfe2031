"""Is `--init-from` at its default at least as good as starting over, and what does it cost on the old text?

    python benchmarks/going_on.py OLD.txt=NEW.txt ... [--hidden-size 64] [--old-steps 300] [--steps 200]

For each pair of texts a model of the old one is trained, and with as many updates each four models of the new one:
from nothing with the default settings; from nothing at the learning rate that suits the size, from which `--init-from`
starts its measuring; from the old model; from the old model with `--keep-old`. One thread, one seed; losses by
`windows-256`, those on the old text on the beginning of its held-out part. What the measuring itself takes comes on
top: the last column says how many updates that is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import charloom
from charloom.events import Event, Notice
from charloom.training.schedule import usual_rate


def show(event: Event) -> None:
    """Print what a run says of its choice."""
    if isinstance(event, Notice):
        print(f"    {event.message}", flush=True)


def measure_pair(old: Path, new: Path, sizes: dict[str, Any], old_steps: int, steps: int) -> str:
    """One line of the table."""
    settings: dict[str, Any] = {"steps": steps, "threads": 1, "device": "cpu"}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        old = Path(shutil.copy(old, folder))  # beside the model, where it is found
        charloom.train(old, folder / "old", **{**settings, **sizes, "steps": old_steps})
        plain = charloom.train(new, folder / "plain", **settings, **sizes)
        suited = charloom.train(
            new, folder / "suited", **settings, **sizes, learning_rate=usual_rate(sizes["hidden_size"])
        )
        started = charloom.train(new, folder / "on", init_from=folder / "old", notify=show, **settings)
        both = charloom.train(new, folder / "both", init_from=folder / "old", keep_old=old, notify=show, **settings)
        training = json.loads((folder / "on" / "config.json").read_text("utf-8"))["training"]
    losses = [run.losses["windows-256"] for run in (plain, suited, started, both)]
    rate, tried = training["settings"]["learning_rate"], len(training["init_from"]["probes"])
    assert started.old_text is not None
    assert both.old_text is not None
    before, lost, kept = both.old_text["before"], started.old_text["after"], both.old_text["after"]
    cells = [f"{old.stem} → {new.stem}", f"{started.characters:,}", *(f"{loss:.3f}" for loss in losses)]
    return "| " + " | ".join([*cells, f"{before:.3f}", f"{lost:.3f}", f"{kept:.3f}", f"{rate:g} ({tried})"]) + " |"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="OLD=NEW")
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--old-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args(argv)
    columns = ["Old → new text", "Read", "From nothing", "At the size's rate", "`--init-from`", "with `--keep-old`"]
    columns += ["Old text before", "after", "with `--keep-old`", "Rate (probes)"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for pair in arguments.pairs:
        old, new = map(Path, pair.split("="))
        print(f"{old.stem} → {new.stem}", flush=True)
        sizes = {"hidden_size": arguments.hidden_size}
        lines.append(measure_pair(old, new, sizes, arguments.old_steps, arguments.steps))
        print(f"    {lines[-1]}", flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
