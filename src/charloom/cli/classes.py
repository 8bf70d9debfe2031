"""`charloom train --classes`: a model a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli.interrupt import stop_on_signal
from charloom.cli.output import Output
from charloom.cli.progress import TrainingView
from charloom.display import typed, visible
from charloom.errors import UsageError
from charloom.interrupts import INTERRUPTED
from charloom.report import duration

if TYPE_CHECKING:
    from charloom.training.classes import ClassesResult


def train_classes(out: Output, folder: Path, output: Path, given: Mapping[str, bool], **options: Any) -> int:
    """Train and report; the exit status. What is `given` beside --classes is refused."""
    import charloom

    needless = next((what for what, is_given in given.items() if is_given), None)
    if needless is not None:
        raise UsageError(
            f"--classes names all texts, and their models start from one of all classes: leave {needless} out"
        )
    with stop_on_signal(out) as should_stop, TrainingView(out) as view:
        result = charloom.train_classes(folder, output, notify=view, should_stop=should_stop, **options)
    return _report(out, result, folder, output)


def _report(out: Output, result: ClassesResult, folder: Path, output: Path) -> int:
    """What each class came to, the exact next command, and the exit status."""
    if out.json:
        out.result(asdict(result))
    else:
        for name, one in result.classes.items():
            out.sentences(f"{visible(name)}: {one.bits_per_char:.3f} bits per character")
    if result.interrupted:
        again = typed("charloom", "train", "--classes", folder, "-o", output, "--resume")
        out.say(f"interrupted; what was learned is in {output}. To continue:\n    {again}", style="bold")
        return INTERRUPTED
    if not out.json:
        out.sentences(f"{_accuracy(result)}\n({len(result.classes)} classes in {duration(result.seconds)})")
    out.say(f"now try:\n    {typed('charloom', 'classify', output, '-', '--lines')}", style="bold")
    return 0


def _accuracy(result: ClassesResult) -> str:
    if result.accuracy is None or result.mean_recall is None:
        return "no whole line was held out, so how often they are right is not known"
    return (
        f"of {result.held_out:,} lines held out {result.accuracy:.1%} are given their class, "
        f"{result.mean_recall:.1%} in the mean of the classes"
    )
