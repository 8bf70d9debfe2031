"""The animation at the top of README."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def test_the_animation_moves_and_is_small() -> None:
    (file,) = (ROOT / "docs" / "images").glob("*.webp")
    assert f"docs/images/{file.name}" in (ROOT / "README.md").read_text("utf-8")
    assert file.stat().st_size <= 500_000
    with Image.open(file) as film:
        assert getattr(film, "n_frames", 1) > 20
        assert film.info["loop"] == 0, "it begins again"
