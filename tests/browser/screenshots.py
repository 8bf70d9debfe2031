"""Make the pictures of the playground for the docs: `python -m tests.browser.screenshots MODEL [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.watching import served, visit, watched, write

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
PLACE = 20  # the character whose alternatives are shown


def take(browser: Browser, address: str, folder: Path) -> list[Path]:
    """Write a text with a seed, look at one of its characters, and take a picture in light and in dark."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for scheme in ("light", "dark"):
        with watched(browser, color_scheme=scheme, viewport={"width": 1080, "height": 1330}) as page:
            visit(page, address, "length=360&seed=3")
            write(page, "ROMEO:\n")
            page.locator("#written [role=option]").nth(PLACE).hover()
            expect(page.locator(".panel:visible")).to_have_count(1)
            expect(page.locator("#state-live svg")).to_be_visible()
            pictures.append(folder / f"playground-{scheme}.png")
            page.screenshot(path=pictures[-1], animations="disabled")
    return pictures


def main() -> None:
    """Take them of a model that was trained on tiny Shakespeare."""
    model = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES
    with sync_playwright() as playwright, served(model) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        take(browser, address, folder)
        browser.close()


if __name__ == "__main__":
    main()
