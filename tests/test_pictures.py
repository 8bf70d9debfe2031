"""The pictures of the documentation that move: README's animation, and drawings."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
MOVING = [path for path in sorted(IMAGES.glob("*.svg")) if "@keyframes" in path.read_text("utf-8")]


def test_the_animation_moves_and_is_small() -> None:
    (file,) = IMAGES.glob("*.webp")
    assert f"docs/images/{file.name}" in (ROOT / "README.md").read_text("utf-8")
    assert file.stat().st_size <= 500_000
    with Image.open(file) as film:
        assert getattr(film, "n_frames", 1) > 20
        assert film.info["loop"] == 0, "it begins again"


def test_there_are_drawings_that_move() -> None:
    assert [path.stem for path in MOVING] == ["cell", "learning", "unrolled"]


@pytest.mark.parametrize("path", MOVING, ids=lambda path: path.stem)
def test_a_drawing_moves_without_script_and_says_in_words_what_it_shows(path: Path) -> None:
    drawing = ET.fromstring(path.read_text("utf-8"))
    kinds = {element.tag.rpartition("}")[2] for element in drawing.iter()}
    assert kinds <= {"svg", "style", "title", "desc", "rect", "g", "text", "line", "polygon", "polyline", "circle"}
    said = {element.tag.rpartition("}")[2]: element.text for element in drawing}
    assert said["title"]
    assert len(said["desc"] or "") > 60
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    (alternative,) = re.findall(rf"!\[([^\]]+)\]\((?:\.\./)?images/{path.name}\)", pages)
    assert len(alternative) > 40
    assert path.stat().st_size < 100_000
