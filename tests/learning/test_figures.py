"""The numbers that the pages quote are those that `scripts/figures` measured."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.learning.pages import DOCS

NUMBERS: dict[str, Any] = json.loads((DOCS / "images" / "figures.json").read_text("utf-8"))


def page(name: str) -> str:
    return (DOCS / "explanation" / f"{name}.md").read_text("utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of all tables of a page."""
    lines = [line for line in page(name).splitlines() if line.startswith("|")]
    return [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]


def number(text: str) -> float:
    """A number as the pages write it: 0.05, −0.76, 4 · 10⁻¹⁰."""
    mantissa, _, power = text.replace("−", "-").partition(" · 10")
    return float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


def test_losses_of_the_cells() -> None:
    found = {row[0]: row[-1] for row in rows("recurrent-networks") if row[0] in ("rnn", "lstm", "gru")}
    assert len(found) == 3
    for cell, description in found.items():
        loss, parameters = re.findall(r"[\d.,]+", description)[:2]
        assert float(loss) == NUMBERS["models"][cell]["stateful"]
        assert int(parameters.replace(",", "")) == NUMBERS["models"][cell]["parameters"]


def test_gradients() -> None:
    found = [row for row in rows("recurrent-networks") if re.match(r"(RNN|LSTM|GRU), by", row[0])]
    assert len(found) == 4
    for name, *shares in found:
        cell, _, part = name.partition(", ")
        measured = NUMBERS["gradients"][f"{cell.lower()} after" + (", by c" if part == "by c" else "")]
        for share, distance in zip(shares, ("10", "25", "50", "100"), strict=True):
            assert number(share) == pytest.approx(measured[distance], rel=0.15), (name, distance)


def test_windows() -> None:
    found = [row for row in rows("truncated-back-propagation") if row[0].isdigit()]
    assert len(found) == 3
    for bptt, _, stateful, windows in found:
        assert NUMBERS["windows"][f"bptt {bptt}"] == {"stateful": float(stateful), "windows-256": float(windows)}


def test_neurons() -> None:
    found = [row for row in rows("what-neurons-see") if row[0] in ("Shakespeare", "documentation")]
    assert len(found) == len(NUMBERS["neurons"])
    for text, feature, unit, searched, tested in found:
        measured = NUMBERS["neurons"][f"{'lstm' if text == 'Shakespeare' else 'docs'}, {feature}"]
        on_page = (int(unit), number(searched), number(tested))
        assert on_page == (measured["unit"], measured["searched"], measured["tested"])
    assert sum(measured["convincing"] for measured in NUMBERS["neurons"].values()) == 2


def test_distribution() -> None:
    measured, text = NUMBERS["distribution"], " ".join(page("sampling").split())
    likely = measured["its probability"]
    assert f"{likely['temperature 1']:.2f} at temperature 1" in text
    assert f"`{measured['likeliest']}` alone has {likely['temperature 0.4']:.3f}" in text
    assert f"At 1.5 it has {likely['temperature 1.5']:.2f}" in text
    left = measured["characters left"]
    assert f"{left['top-k 4']}, {left['top-p 0.9']} and {left['min-p 0.1']} characters are left" in text


def test_the_drawings_that_move() -> None:
    unrolled = NUMBERS["unrolled"]
    alternative = f"shrinks to {unrolled['gradient at the first state']:.0%}".replace("%", " %")
    assert alternative in page("recurrent-networks")
    assert unrolled["text"][:-1] in page("recurrent-networks")
    learning = {cell: list(losses.values()) for cell, losses in NUMBERS["learning"].items()}
    assert all(losses == sorted(losses, reverse=True) for losses in learning.values())
    assert learning["lstm"][-1] < learning["rnn"][-1], "the LSTM's falls further"
    assert NUMBERS["cell"]["lowest forget gate"] < 0.1 < 0.9 < NUMBERS["cell"]["highest forget gate"]


def test_gates() -> None:
    means = NUMBERS["gates"]["mean forget gate"]
    first, second = [value for name, value in means.items() if name.endswith("keeps most")]
    assert f"({first:.2f} and {second:.2f} on average)" in page("recurrent-networks")
    assert NUMBERS["gates"]["largest difference from the runtime's states"] < 1e-5
