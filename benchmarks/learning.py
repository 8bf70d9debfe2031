"""How soon does it learn? charloom's training beside the article's loop: loss against seconds, in one run.

python benchmarks/learning.py TEXT [--article-epochs 18] [--ours OPTION=VALUE ...] [--picture FILE.svg]

Both sides read the same text, cleaned and split as the article did (TEXT is tiny Shakespeare, or its name
`tiny-shakespeare`), one after the other, with the same number of threads, and are measured by the article's protocol,
`cold-60`. The clock of the comparison counts learning (for ours, checkpoints too) and not evaluations; `wall`
counts everything since that side began. The article's loop reached its best loss, 1.4477, after 18 epochs; where
fewer are run here, their time is extrapolated and said to be.

With `--as-is` ours alone learns the text as it is (tiny Shakespeare: 65 symbols), its last tenth held out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

import charloom
from article_loop import HIDDEN_SIZE, ArticleLoop, Point
from charloom.events import Evaluated, Event, Notice, StepTaken, TrainingStarted
from charloom.settings import CorpusSettings, Protocol
from charloom.text.corpus import CorpusSource
from charloom.training.data import prepare_data

PUBLISHED_LOSS = 1.4477
PUBLISHED_EPOCHS = 18

Show = Callable[[str], None]
Record = dict[str, Any]


@dataclass
class Clock:
    """Listens to a run of ours and notes where its time went, in seconds, and what it had learned by then."""

    watch: Callable[[Point], None]
    show: Show
    setup: float = 0.0
    training: float = 0.0
    evaluating: float = 0.0
    protocol: str = ""
    points: list[Point] = field(default_factory=list)
    characters: int = 0
    validation_characters: int = 0
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._mark = self.started

    def __call__(self, event: Event) -> None:
        """Give the time since the last event to what this one says was done."""
        now = time.perf_counter()
        passed = now - self._mark
        if isinstance(event, TrainingStarted):
            self.setup = passed
            self.characters, self.validation_characters = event.characters, event.validation_characters
        elif isinstance(event, StepTaken):
            self.training += passed
        elif isinstance(event, Evaluated):
            self.evaluating += passed
            self.protocol = event.protocol
            self.points.append(Point(event.epoch, self.training, now - self.started, event.validation_loss))
            self.watch(self.points[-1])
        else:
            if isinstance(event, Notice):
                self.show(f"          ({event.message})")
            return
        self._mark = now


def run_article(arguments: argparse.Namespace, watch: Callable[[Point], None]) -> Record:
    """The article's side."""
    corpus = CorpusSettings(clean=["article"], validation_split="row-tail")
    data = prepare_data(CorpusSource([arguments.text]), corpus, lambda event: None)
    torch.set_num_threads(arguments.threads)
    loop = ArticleLoop(data.split.train, data.split.validation, data.vocabulary.size, arguments.article_hidden_size)
    points = loop.run(arguments.article_epochs, arguments.article_every, watch)
    return {
        "hidden_size": arguments.article_hidden_size,
        "protocol": "cold-60",
        "characters": loop.training_characters,
        "validation_characters": loop.validation_characters,
        "vocab_size": data.vocabulary.size,
        "training_seconds": points[-1].seconds,
        "wall_seconds": points[-1].wall_seconds,
        "seconds_per_epoch": points[-1].seconds / arguments.article_epochs,
        "points": [asdict(point) for point in points],
    }


def run_ours(arguments: argparse.Namespace, folder: Path, watch: Callable[[Point], None], show: Show) -> Record:
    """Our side; its model is left in `folder`."""
    options: Record = dict(arguments.ours)
    if not arguments.as_is:
        options |= {"clean": ["article"], "validation_split": "row-tail"}
    clock = Clock(watch, show)
    result = charloom.train(
        arguments.text, folder, notify=clock, threads=arguments.threads, device="cpu", overwrite=True, **options
    )
    wall = time.perf_counter() - clock.started
    return {
        "options": dict(arguments.ours),
        "protocol": clock.protocol,
        "characters": clock.characters,
        "validation_characters": clock.validation_characters,
        "parameters": result.parameters,
        "epochs": result.epochs,
        "setup_seconds": clock.setup,
        "training_seconds": clock.training,
        "evaluation_seconds": clock.evaluating,
        "publishing_seconds": wall - clock.setup - clock.training - clock.evaluating,
        "wall_seconds": wall,
        "characters_per_second": result.characters_per_second,
        "losses": result.losses,
        "points": [asdict(point) for point in clock.points],
    }


def all_protocols(text: str, folder: Path, known: dict[str, float]) -> dict[str, float]:
    """The loss of the saved model by every protocol; those that training did not measure are measured now."""
    model = charloom.load(folder)
    names: tuple[Protocol, ...] = get_args(Protocol)
    return {name: known[name] if name in known else model.evaluate(text, protocol=name).loss for name in names}


def first_at(points: Sequence[Record], target: float) -> Record | None:
    """The first look at or below a loss."""
    return next((point for point in points if point["loss"] <= target), None)


def compare(ours: Record, article: Record, target: float) -> Record:
    """Seconds of learning to `target` on both sides, and how the article's were come by."""
    reached, theirs = first_at(ours["points"], target), first_at(article["points"], target)
    epochs = article["points"][-1]["epoch"]
    seconds: float | None
    if theirs is not None:
        seconds, basis = theirs["seconds"], f"measured: it reached {target} in epoch {math.ceil(theirs['epoch'])}"
    elif target != PUBLISHED_LOSS:
        seconds, basis = None, "not reached in this run"
    elif epochs >= PUBLISHED_EPOCHS:
        end = next(point for point in article["points"] if point["epoch"] >= PUBLISHED_EPOCHS)
        seconds, basis = end["seconds"], f"measured: {PUBLISHED_EPOCHS} epochs, where the article reports its best"
    else:
        seconds = article["seconds_per_epoch"] * PUBLISHED_EPOCHS
        basis = f"EXTRAPOLATED: seconds an epoch × {PUBLISHED_EPOCHS}, where the article reports {PUBLISHED_LOSS}"
    if article["hidden_size"] != HIDDEN_SIZE:
        basis += "; NOT the article's size"
    return {
        "target": target,
        "ours_seconds": None if reached is None else reached["seconds"],
        "ours_wall_seconds": None if reached is None else reached["wall_seconds"],
        "article_seconds": seconds,
        "article_basis": basis,
        "extrapolated": basis.startswith("EXTRAPOLATED"),
        "ours_over_article": None if reached is None or seconds is None else reached["seconds"] / seconds,
    }


def show_point(side: str, show: Show, point: Point) -> None:
    """One line of the table."""
    show(f"{side:<10}{point.seconds:>10.1f}{point.wall_seconds:>10.1f}{point.epoch:>9.2f}{point.loss:>9.4f}")


def show_summary(report: Record, show: Show) -> None:
    """What the table comes to."""
    article, ours, comparison = report["article"], report["ours"], report["comparison"]
    show(
        f"\ncharloom   {ours['training_seconds']:.1f} s learning, {ours['evaluation_seconds']:.1f} s evaluating, "
        f"{ours['setup_seconds']:.1f} s before and {ours['publishing_seconds']:.1f} s after; "
        f"{ours['characters_per_second']:,.0f} characters/s, {ours['parameters']:,} parameters"
    )
    if article is not None:
        evaluating = article["wall_seconds"] - article["training_seconds"]
        show(
            f"article    {article['training_seconds']:.1f} s learning, {evaluating:.1f} s evaluating; "
            f"LSTM 2 × {article['hidden_size']}, "
            f"{article['seconds_per_epoch']:.1f} s an epoch, "
            f"{article['characters'] / article['seconds_per_epoch']:,.0f} characters/s"
        )
    if comparison is not None:
        _show_comparison(comparison, show)
    if report["protocols"] is not None:
        show(f"\n{'protocol':<14}{'loss':>8}{'bits':>8}   of the saved model")
        for name, loss in report["protocols"].items():
            show(f"{name:<14}{loss:>8.4f}{loss / math.log(2):>8.4f}")


def _show_comparison(comparison: Record, show: Show) -> None:
    theirs, seconds, share = (comparison[key] for key in ("article_seconds", "ours_seconds", "ours_over_article"))
    shown = f"{'':>10}" if theirs is None else f"{theirs:>10.1f}"
    show(f"\ntime to cold-60 {comparison['target']}, seconds of learning")
    show(f"article    {shown}  {comparison['article_basis']}")
    if seconds is None:
        show(f"charloom   {'':>10}  not reached in this run")
    else:
        wall = comparison["ours_wall_seconds"]
        show(f"charloom   {seconds:>10.1f}  measured; {wall:.1f} s with everything before and between")
    if share is not None:
        show(f"ours / article {share:.3f}: {1 / share:.1f} times faster")


def draw(report: Record, path: Path) -> None:
    """The table as a picture: SVG or PNG, by the file's name."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "charloom", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for side, label in (("ours", "charloom"), ("article", "the article's loop")):
            points = report[side]["points"] if report[side] else []
            if points:
                seconds, losses = zip(*((point["seconds"], point["loss"]) for point in points), strict=True)
                axes.plot(seconds, losses, marker="o", markersize=3, label=label)
        comparison = report["comparison"]
        if comparison is not None:
            axes.axhline(comparison["target"], color="grey", linewidth=0.8, linestyle="--")
            if comparison["extrapolated"]:
                label = f"the article's {PUBLISHED_LOSS}, its time extrapolated"
                axes.plot(comparison["article_seconds"], PUBLISHED_LOSS, "x", color="C1", label=label)
        axes.set_xscale("log")
        axes.set_xlabel(f"seconds of learning, {report['threads']} thread(s)")
        axes.set_ylabel(f"validation loss, {report['ours']['protocol']} (nats a character)")
        axes.grid(alpha=0.3)
        axes.legend()
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=150)


def _option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    name = name.replace("-", "_")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not OPTION=VALUE")
    if name in ("clean", "validation", "validation_split", "validation_fraction", "vocabulary", "threads", "device"):
        raise argparse.ArgumentTypeError(f"{name} is the same for both sides: it is not an option of ours alone")
    return name, value


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("text", help="a corpus, as charloom train takes it")
    add("--ours", nargs="*", action="extend", type=_option, default=[], metavar="OPTION=VALUE", help="for ours")
    add("--article-epochs", type=int, default=1, help="epochs of the article's loop to run; 0 leaves it out")
    add("--article-every", type=float, default=math.inf, metavar="SECONDS", help="look within its epochs, too")
    add("--article-hidden-size", type=int, default=HIDDEN_SIZE, help="another size than the article's, to try this out")
    add("--target", type=float, default=PUBLISHED_LOSS, help="the loss to reach")
    add("--threads", type=int, default=1, help="of both sides")
    add("--as-is", action="store_true", help="ours alone, on the text as it is, its last tenth held out")
    add("--protocols", action="store_true", help="measure the saved model by all protocols at the end")
    add("--model", type=Path, metavar="DIR", help="keep the model here, which is overwritten (a temporary folder)")
    add("--picture", type=Path, metavar="FILE", help="draw loss against seconds, .svg or .png")
    add("--json", action="store_true", help="print one JSON object; the table goes to the standard error")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run both sides and print what came of it."""
    arguments = _arguments(argv)
    show: Show = partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    protocol = "windows-256" if arguments.as_is else "cold-60"
    show(f"{'':<10}{'seconds':>10}{'wall':>10}{'epoch':>9}{'loss':>9}   {protocol}, {arguments.threads} thread(s)")
    article = comparison = protocols = None
    if arguments.article_epochs > 0 and not arguments.as_is:
        article = run_article(arguments, partial(show_point, "article", show))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.model or Path(temporary) / "model"
        ours = run_ours(arguments, folder, partial(show_point, "charloom", show), show)
        if arguments.protocols:
            protocols = all_protocols(arguments.text, folder, ours["losses"])
    if article is not None:
        comparison = compare(ours, article, arguments.target)
    report: Record = {
        "threads": arguments.threads,
        "torch": torch.__version__,
        "ours": ours,
        "article": article,
        "comparison": comparison,
        "protocols": protocols,
    }
    show_summary(report, show)
    if arguments.picture is not None:
        draw(report, arguments.picture)
    if arguments.json:
        print(json.dumps(report))


if __name__ == "__main__":
    try:
        main()
    except charloom.CharloomError as error:
        sys.exit(f"error: {error}")
