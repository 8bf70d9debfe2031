"""Pictures that move: SVG with CSS animations, no script. Where motion is not wanted, one picture shows it all."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from figures import style

FADED = 0.07  # opacity of what has not come yet

_RULES = (
    f"text{{fill:{style.INK};font:13px DejaVu Sans,sans-serif}}.m{{font-family:DejaVu Sans Mono,monospace}}"
    f".b{{font-weight:bold}}.s{{font-size:11px}}line,polyline{{fill:none;stroke:{style.GREY}}}"
)
_STILL = "@media(prefers-reduced-motion:reduce){*{animation:none!important}.still{opacity:1!important}}"


def picture(width: int, height: int, title: str, said: str, rules: str, parts: Sequence[str]) -> bytes:
    """The file.

    Args:
        width: of the picture in pixels.
        height: of the picture in pixels.
        title: its name.
        said: what it shows, in words.
        rules: CSS.
        parts: elements.
    """
    text = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<style>{_RULES}{rules}{_STILL}</style>",
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(said)}</desc>",
            box(0, 0, width, height, style.PAPER),
            *parts,
            "</svg>\n",
        ]
    )
    return style.with_colours(text).encode()


def appearing(name: str, at: float, seconds: float) -> str:
    """Rules for a class whose elements come at a second of a loop and stay to its end."""
    start, end = 100 * at / seconds, 100 * min(at + 0.4, seconds) / seconds
    return (
        f"@keyframes {name}{{0%,{start:.1f}%{{opacity:{FADED}}}{end:.1f}%,100%{{opacity:1}}}}"
        f".{name}{{animation:{name} {seconds:g}s infinite}}"
    )


def frames(count: int, each: float) -> str:
    """Rules for the classes f0, f1, …: pictures of which one is shown at a time, in a loop."""
    seconds = count * each
    rules = [f"@keyframes f{{0%,{100 / count:.3f}%{{opacity:1}}{100 / count + 0.001:.3f}%,100%{{opacity:0}}}}"]
    rules.append(f".f{{opacity:0;animation:f {seconds:g}s infinite step-end}}")
    rules += [f".f{at}{{animation-delay:{at * each - seconds if at else 0:g}s}}" for at in range(count)]
    return "".join(rules)


def frame(at: int, parts: Sequence[str], *, still: bool) -> str:
    """One of the pictures that `frames` shows; the one for those who want no motion is `still`."""
    return f'<g class="f f{at}{" still" if still else ""}">' + "".join(parts) + "</g>"


def text(x: float, y: float, content: str, look: str = "", anchor: str = "middle") -> str:
    """A line of text; spaces count."""
    kind = f' class="{look}"' if look else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}"{kind}{where} xml:space="preserve">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, width: float = 1.5, colour: str = "") -> str:
    """A straight line."""
    look = f' style="stroke:{colour}"' if colour else ""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke-width="{width:.1f}"{look}/>'


def arrow(x1: float, y1: float, x2: float, y2: float, width: float = 1.5, colour: str = style.GREY) -> str:
    """A line along one axis with a head at its end."""
    size = 4 + width / 2
    dx, dy = ((x2 > x1) - (x2 < x1)), ((y2 > y1) - (y2 < y1))
    base_x, base_y = x2 - dx * size * 1.6, y2 - dy * size * 1.6
    head = f"{x2:g},{y2:g} {base_x + dy * size:g},{base_y + dx * size:g} {base_x - dy * size:g},{base_y - dx * size:g}"
    return line(x1, y1, base_x, base_y, width, colour) + f'<polygon points="{head}" style="fill:{colour}"/>'


def box(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    """A filled rectangle."""
    look = f"fill:{colour};fill-opacity:{opacity:.2f}"
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" style="{look}"/>'


def ring(x: float, y: float, radius: float) -> str:
    """A circle for a disc."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" style="fill:none;stroke:{style.GREY}"/>'


def disc(x: float, y: float, radius: float, value: float) -> str:
    """A number as the area of a disc, full from 1 on: blue above 0, orange below."""
    colour = style.BLUE if value > 0 else style.ORANGE
    size = radius * min(1.0, abs(value)) ** 0.5
    return f'<circle cx="{x:g}" cy="{y:g}" r="{size:.1f}" style="fill:{colour};fill-opacity:.45"/>'


def signed(value: float) -> str:
    """A number with two places and a minus sign."""
    return f"{value:.2f}".replace("-", "−")


def shown(character: str) -> str:
    """A character as it is shown by itself."""
    return {"\n": "⏎", " ": "␣"}.get(character, character)
