"""Train the models, measure, draw: `python -m figures` in `benchmarks/`, or `scripts/figures` from anywhere.

Writes an SVG for each figure and `figures.json`, the numbers that the pages speak of.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from figures import cell, distribution, gates, gradients, learning, neurons, unrolled, windows
from figures.models import CELLS, PICTURED, WINDOWS, Models

ROOT = Path(__file__).resolve().parents[2]

Made = tuple[bytes, dict[str, object]]


def gradient_figure(models: Models, distance: int) -> Made:
    """Gradient norm against distance."""
    reaches = {
        name: gradients.reach(models.directory(name), models.held_out(name), distance=distance) for name in CELLS
    }
    return gradients.draw(reaches), gradients.figures(reaches)


def gate_figure(models: Models) -> Made:
    """Forget gates along a sentence."""
    directory, held_out = models.directory("lstm"), models.held_out("lstm")
    units = gates.choose_units(directory, held_out)
    ids = directory.vocabulary.encode("\n" + gates.SENTENCE)
    found = gates.read_by_hand(directory, ids)
    difference = gates.largest_difference(directory, ids, found)
    forget = found.forget[1:]  # the line end before it sets the state, as before any prompt of none
    return gates.draw(gates.SENTENCE, forget, units), gates.figures(forget, units, difference)


def neuron_figure(models: Models) -> Made:
    """The unit that follows a feature best."""
    names = ("lstm", "docs")
    findings = {name: neurons.search(models.directory(name), models.held_out(name)) for name in names}
    name, finding = neurons.best(findings)
    picture = neurons.draw(models.directory(name), models.held_out(name), finding)
    return picture, neurons.figures(findings)


def distribution_figure(models: Models) -> Made:
    """What the sampling settings do to one distribution."""
    directory = models.directory("lstm")
    found = distribution.distributions(directory)
    return distribution.draw(directory, found), distribution.figures(directory, found)


def window_figure(models: Models) -> Made:
    """Loss by the window of back-propagation."""
    paths = {bptt: models.path(f"bptt-{bptt}") for bptt in WINDOWS}
    histories = {bptt: windows.history(path) for bptt, path in paths.items()}
    return windows.draw(histories), windows.figures(paths)


def unrolled_figure(models: Models) -> Made:
    """A plain network, unrolled."""
    steps = unrolled.steps(models.directory("rnn"))
    return unrolled.draw(steps), unrolled.figures(steps)


def cell_figure(models: Models) -> Made:
    """A cell of the LSTM along a text."""
    unit, moments = cell.moments(models.directory("lstm"), models.held_out("lstm"))
    return cell.draw(unit, moments), cell.figures(unit, moments)


def learning_figure(models: Models) -> Made:
    """The plain network and the LSTM while they learn."""
    looks = {name: learning.looks(models.path(name)) for name in ("rnn", "lstm")}
    return learning.draw(looks), learning.figures(looks)


def make_all(models: Models, images: Path, distance: int = gradients.DISTANCE) -> dict[str, object]:
    """Write every figure into a folder; return the numbers."""
    made: dict[str, Callable[[], Made]] = {
        "gradients": lambda: gradient_figure(models, distance),
        "gates": lambda: gate_figure(models),
        "neurons": lambda: neuron_figure(models),
        "distribution": lambda: distribution_figure(models),
        "windows": lambda: window_figure(models),
        "unrolled": lambda: unrolled_figure(models),
        "cell": lambda: cell_figure(models),
        "learning": lambda: learning_figure(models),
    }
    numbers: dict[str, object] = {"models": _losses(models)}
    images.mkdir(parents=True, exist_ok=True)
    for name, make in made.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        picture, numbers[name] = make()
        (images / f"{name}.svg").write_bytes(picture)
    (images / "figures.json").write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return numbers


def _losses(models: Models) -> Mapping[str, object]:
    """What each model came to: figures made from a bad model would show little."""
    losses: dict[str, object] = {}
    for name in (*CELLS, "docs", PICTURED):
        config = models.directory(name).config
        figures = {str(protocol): round(loss.loss, 4) for protocol, loss in config.losses.items()}
        losses[name] = {"parameters": config.model.parameters, **figures}
    return losses


def main(arguments: list[str] | None = None, changes: Mapping[str, Any] | None = None) -> None:
    """Make all figures and print their numbers."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m figures", description=__doc__)
    corpora = "a text, or the name of a corpus such as python-docs"
    parser.add_argument("--corpus", default="tiny-shakespeare", help=corpora)
    parser.add_argument("--models", type=Path, default=ROOT / "runs" / "figures", help="where models are kept")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images", help="where the figures go")
    parser.add_argument("--distance", type=int, default=gradients.DISTANCE, help="how far back gradients are followed")
    given = parser.parse_args(arguments)
    numbers = make_all(Models(given.models, given.corpus, changes or {}), given.images, given.distance)
    print(json.dumps(numbers, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
