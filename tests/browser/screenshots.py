"""Make the pictures of the playground and of the page for the docs; `scripts/figures` runs this.

By itself: `python -m tests.browser.screenshots MODEL [FOLDER]`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect, sync_playwright

from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.watching import served, visit, watched, written

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
PROMPT = "ROMEO:\n"
PLACES = {"playground": 20, "page": 28}  # the character whose alternatives are shown


def take_playground(browser: Browser, address: str, folder: Path) -> list[Path]:
    """Write a text with a seed, look at one of its characters, and take a picture in light and in dark."""
    pictures = []
    for scheme in ("light", "dark"):
        with watched(browser, color_scheme=scheme, viewport={"width": 1080, "height": 1330}) as page:
            visit(page, address, urlencode({"prompt": PROMPT, "length": 360, "seed": 3}))
            written(page)
            page.locator("#written [role=option]").nth(PLACES["playground"]).hover()
            expect(page.locator(".panel:visible")).to_have_count(1)
            expect(page.locator("#state-live svg")).to_be_visible()
            pictures.append(_taken(page, folder / f"playground-{scheme}.png"))
    return pictures


def take_page(browser: Browser, model: Path, folder: Path) -> Path:
    """Export the model as a page, write a text with a seed in it, look at a character, and take a picture."""
    with (
        TemporaryDirectory() as scratch,
        browser.new_page(color_scheme="light", viewport={"width": 1080, "height": 900}) as page,
    ):
        file = Path(scratch) / "model.html"
        export_html(open_model_directory(model), file)
        page.goto(f"{file.as_uri()}#{urlencode({'prompt': PROMPT, 'length': 300, 'temperature': 0.7, 'seed': 4})}")
        written(page)
        page.locator("#written [role=option]").nth(PLACES["page"]).hover()
        expect(page.locator(".panel:visible")).to_have_count(1)
        return _taken(page, folder / "html-page.png")


def _taken(page: Page, picture: Path) -> Path:
    expect(page.locator("#versions")).to_be_hidden()  # there is one text
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=picture, animations="disabled")
    return picture


def main() -> None:
    """Take them of a model that was trained on tiny Shakespeare."""
    model = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES
    if CHROMIUM is None:
        sys.exit("chromium is not installed: no pictures of the playground were taken (scripts/browser installs it)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with served(model) as address:
            take_playground(browser, address, folder)
        take_page(browser, model, folder)
        browser.close()


if __name__ == "__main__":
    main()
