from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from charloom.training.history import draw_losses


def texts(svg: bytes) -> str:
    root = ET.fromstring(svg)
    return "\n".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))


def run(steps: int, every: int) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        records.append({"step": step, "train_loss": 1 + 3 / step, "learning_rate": 0.003 * (1 - step / steps)})
        if step % every == 0:
            records.append({"step": step, "validation_loss": 1.2 + abs(step - steps * 0.6) / steps})
    return records


def test_it_shows_losses_rate_and_the_best() -> None:
    shown = texts(draw_losses(run(100, 10)))
    assert "best: 1.2000 nats, 1.731 bits (step 60)" in shown
    for label in ("training", "validation", "loss (nats a character)", "bits a character", "learning rate", "step"):
        assert label in shown.splitlines()


def test_the_same_records_give_the_same_bytes() -> None:
    assert draw_losses(run(50, 5)) == draw_losses(run(50, 5))
    assert draw_losses(run(50, 5)) != draw_losses(run(50, 10))


def test_the_users_matplotlib_style_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    plain = draw_losses(run(50, 5))
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert draw_losses(run(50, 5)) == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"step": 1, "train_loss": 4.0, "learning_rate": 0.001}],
        [{"step": 1, "validation_loss": 4.0}],
        [{"step": 0, "validation_loss": 0.0}, {"step": 0, "train_loss": 0.0, "learning_rate": 0}],
        [{"step": 1, "train_loss": math.nan, "learning_rate": math.nan}, {"step": 1, "validation_loss": math.nan}],
        [{"step": 1, "train_loss": "x", "learning_rate": None}, {"step": 2, "validation_loss": [1]}],
        [{"step": 2**52, "train_loss": 1e299, "learning_rate": 1e-300}],
        run(3000, 2),
    ],
    ids=["empty", "one window", "one evaluation", "zeros", "no numbers", "no figures", "huge", "thousands"],
)
def test_it_can_draw_anything(records: list[dict[str, Any]]) -> None:
    assert ET.fromstring(draw_losses(records)).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_loss_that_was_no_number_is_a_gap() -> None:
    records = run(30, 5)
    index = next(index for index, record in enumerate(records) if record["step"] == 17)
    broken = [*records[:index], {**records[index], "train_loss": math.nan}, *records[index + 1 :]]
    pieces = [len(re.findall(r"\bM ", draw_losses(drawn).decode())) for drawn in (records, broken)]
    assert pieces[1] == pieces[0] + 1
