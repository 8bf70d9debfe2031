"""Make the animation at the top of README: a text writes itself, a letter is looked at, another is chosen.

`python -m tests.browser.animation MODEL [FILE]`; `scripts/figures` runs it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.screenshots import IMAGES
from tests.browser.watching import served, watched

SIZE = {"width": 860, "height": 1100}
SHOWN = 440  # pixels from the figures above the text downwards
FRAME = 90  # ms, while the text writes itself
WRITTEN = 230  # characters before a letter is looked at
LETTERS = "#written [role=option]"
LOOKED_AT = 0.45  # of the text that is written
MOST = 500_000  # bytes


class Film:
    """Pictures of a page, each with how long it is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pictures: list[Image.Image] = []
        self._milliseconds: list[int] = []

    def take(self, milliseconds: int) -> None:
        """Add what the page shows now; what it showed before is only shown for longer."""
        top = self._page.locator("#written").bounding_box()
        assert top is not None
        part: FloatRect = {"x": 0, "y": top["y"] - 62, "width": SIZE["width"], "height": SHOWN}
        picture = Image.open(io.BytesIO(self._page.screenshot(clip=part))).convert("RGB")
        if self._pictures and picture.tobytes() == self._pictures[-1].tobytes():
            self._milliseconds[-1] += milliseconds
        else:
            self._pictures.append(picture)
            self._milliseconds.append(milliseconds)

    def write(self, file: Path) -> None:
        """An animated WebP that begins again."""
        first, *others = self._pictures
        first.save(file, save_all=True, append_images=others, duration=self._milliseconds, loop=0, quality=55, method=6)


def _begins_a_word(text: str) -> int:
    """The place of a letter somewhere in the middle with which a word begins."""
    middle = int(LOOKED_AT * len(text))
    return text.index(" ", middle) + 1 if " " in text[middle:-1] else middle


def film(page: Page, address: str) -> Film:
    """What a visitor sees in the first seconds."""
    taken = Film(page)
    page.goto(f"{address}/")
    letters = page.locator(LETTERS)
    letters.first.wait_for()
    while letters.count() < WRITTEN:
        taken.take(FRAME)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    taken.take(600)
    letters.nth(_begins_a_word("".join(letters.all_text_contents()))).hover()
    expect(page.locator(".panel:visible")).to_have_count(1)
    taken.take(1_800)
    other = page.locator(".panel:visible button:not(.chosen)").first
    other.hover()
    taken.take(900)
    other.click()
    expect(page.locator("#written .branched")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("Done")
    page.mouse.move(0, 0)
    taken.take(3_000)
    return taken


def main() -> None:
    """Film a model."""
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES / "playground.webp"
    if CHROMIUM is None:
        sys.exit("chromium is not installed: no animation was made (scripts/browser installs it)")
    with sync_playwright() as playwright, served(Path(sys.argv[1])) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with watched(browser, color_scheme="light", viewport=SIZE) as page:
            film(page, address).write(file)
        browser.close()
    if file.stat().st_size > MOST:
        sys.exit(f"{file} has {file.stat().st_size:,} bytes: at most {MOST:,} are good for a README")


if __name__ == "__main__":
    main()
