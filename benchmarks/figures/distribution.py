"""What temperature, top-k, top-p and min-p do to the distribution of one next character."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelDirectory
from charloom.kernel.sampling import next_probabilities
from charloom.runtime.session import initial_state, open_session
from charloom.settings import SamplingSettings
from figures import style

Values = NDArray[np.float64]

PROMPT = "ROMEO:\nI will not s"
SHOWN = 12  # characters, the likeliest first
TEMPERATURES = (0.4, 0.8, 1.0, 1.5)
FILTERS: Mapping[str, SamplingSettings] = {
    "top-k 4": SamplingSettings(temperature=1, top_k=4),
    "top-p 0.9": SamplingSettings(temperature=1, top_p=0.9),
    "min-p 0.1": SamplingSettings(temperature=1, min_p=0.1),
}


def distributions(directory: ModelDirectory, prompt: str = PROMPT) -> dict[str, Values]:
    """The probabilities of the next character (V,) by setting, as the runtime draws from them."""
    session = open_session(directory, "float32")
    ids = directory.vocabulary.encode(prompt)[:, None]
    logits, _ = session.run(ids, initial_state(session.shape, 1))
    unknown = directory.vocabulary.unknown_id
    settings = {f"temperature {value:g}": SamplingSettings(temperature=value) for value in TEMPERATURES}
    return {name: next_probabilities(logits[-1], each, unknown)[0] for name, each in {**settings, **FILTERS}.items()}


def draw(directory: ModelDirectory, found: Mapping[str, Values]) -> bytes:
    """Bars for the likeliest characters: a panel for each temperature, then one for each filter."""
    order = ranking(found)[:SHOWN]
    labels = [_label(directory.vocabulary.decode(np.array([token]))) for token in order]
    plain = found["temperature 1"]
    most = max(float(values.max()) for values in found.values())
    with style.figure(7.6, 5.4) as figure:
        panels = figure.subplots(2, 4, sharey=True)
        names = [f"temperature {value:g}" for value in TEMPERATURES] + list(FILTERS)
        panels[1][3].set_axis_off()
        for axes, name in zip(panels.flat, names, strict=False):
            values = found[name][order]
            places = np.arange(len(order))
            if name in FILTERS:
                axes.barh(places, plain[order], color=style.FAINT, height=0.95)
            axes.barh(places, values, color=style.ORANGE if name in FILTERS else style.BLUE, height=0.6)
            axes.set_yticks(places, labels, family="monospace")
            axes.tick_params(labelleft=True)
            axes.set_title(name)
            axes.grid(axis="x", linewidth=0.8)
            axes.set_xlim(0, most * 1.05)
        panels[0][0].invert_yaxis()
        return style.svg(figure, f"The next character after {PROMPT!r}")


def ranking(found: Mapping[str, Values]) -> NDArray[np.intp]:
    """Ids, the likeliest at temperature 1 first."""
    return np.argsort(-found["temperature 1"], kind="stable")


def figures(directory: ModelDirectory, found: Mapping[str, Values]) -> dict[str, object]:
    """The numbers that the pages speak of."""
    first = ranking(found)[0]
    likeliest = directory.vocabulary.decode(np.array([first]))
    shares = {name: round(float(values[first]), 3) for name, values in found.items()}
    left = {name: int(np.count_nonzero(found[name])) for name in FILTERS}
    return {"prompt": PROMPT, "likeliest": likeliest, "its probability": shares, "characters left": left}


def _label(character: str) -> str:
    return {"\n": "⏎", " ": "␣"}.get(character, character)
