"""How the figures look: SVG whose colours follow the reader's light or dark surroundings."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#4a4f57", "#e4e7eb", "#fcfdfe"
BLUE, ORANGE, GREEN, GREY = "#2f6f8f", "#c8693f", "#5b8a3c", "#8d99a8"
CELL_COLOURS = {"rnn": ORANGE, "lstm": BLUE, "gru": GREEN}

_DARK = {
    INK: "#c9d1d9",
    FAINT: "#363c45",
    PAPER: "#1c2027",
    BLUE: "#6bb3d6",
    ORANGE: "#e8935f",
    GREEN: "#93c36f",
    GREY: "#8d99a8",
}
_NAMES = dict(zip(_DARK, "abcdefg", strict=True))  # of the variables, short because they occur often
_RC = {
    "svg.hashsalt": "charloom",  # the same figures give the same bytes
    "svg.fonttype": "none",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "text.parse_math": False,  # texts may hold dollars
    "grid.color": FAINT,
    "legend.frameon": False,
    "font.size": 9.5,
    "font.sans-serif": ["DejaVu Sans"],  # the usual list would be in the file with every word
    "font.monospace": ["DejaVu Sans Mono"],
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, in the house's style."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {**matplotlib.rcParamsDefault, **_RC, "backend": "svg"}
    with matplotlib.rc_context(style):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure, title: str) -> bytes:
    """The figure as SVG, within `figure`: its colours are variables with a light and a dark value."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "charloom, scripts/figures", "Title": title})
    return with_colours(_compact(buffer.getvalue().decode())).encode()


def with_colours(text: str) -> str:
    """SVG in the colours of this module, with variables for them that have a light and a dark value."""
    for colour, name in _NAMES.items():
        text = text.replace(colour, f"var(--{name},{colour})")
    light = "".join(f"--{name}:{colour};" for colour, name in _NAMES.items())
    dark = "".join(f"--{name}:{_DARK[colour]};" for colour, name in _NAMES.items())
    rule = f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1\n {rule}", text, count=1)


def _compact(text: str) -> str:
    lines = (line.strip() for line in re.sub(r"<!--.*?-->", "", text, flags=re.S).splitlines())
    return "\n".join(line for line in lines if line) + "\n"
