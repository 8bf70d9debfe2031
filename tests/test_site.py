"""The documentation as a site: it builds without a complaint, holds every page, and asks the network for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?([^"'\s>]+)|<link[^>]*\shref=["']?([^"'\s>]+)""")


def test_every_page_is_there_and_in_the_menu(site: Path) -> None:
    menu = (site / "index.html").read_text("utf-8")
    pages = [page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")]
    assert len(pages) > 15
    for page in pages:
        assert (site / page).is_file()
        assert f'href="{page}"' in menu, page


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_every_heading_and_every_block_of_code_is_shown_as_one(site: Path, page: Path) -> None:
    """A block that the site does not take for one swallows what is below it."""
    text, shown = page.read_text("utf-8"), (site / page.relative_to(DOCS)).with_suffix(".html").read_text("utf-8")
    article = shown[shown.index("<article") : shown.index("</article>")]
    code = re.findall(r"^```\w.*?^```$|^```\n.*?^```$", text, re.M | re.S)
    headings = re.findall(r"^#{1,6} ", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    assert len(re.findall(r"<h[1-6][ >]", article)) == len(headings)
    assert article.count("<pre") >= len(code)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = [source or link for source, link in LOADED.findall(page.read_text("utf-8"))]
        assert len(loaded) > 3, page
        assert [address for address in loaded if re.match(r"(\w+:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", style.read_text("utf-8")), style


def test_each_page_is_in_one_of_four_folders() -> None:
    kinds = {page.relative_to(DOCS).parts[0] for page in DOCS.rglob("*.md")} - {"index.md"}
    assert kinds <= {"tutorials", "how-to", "reference", "explanation"}
