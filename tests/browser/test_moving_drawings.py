"""The drawings of the documentation that move, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.test_pictures import MOVING

SECONDS = (0.3, 6.5)  # of which the second is in another picture of every drawing


@pytest.mark.parametrize("path", MOVING, ids=lambda path: path.stem)
def test_a_drawing_moves_only_where_motion_is_wanted(browser: Browser, path: Path) -> None:
    def looks(motion: Literal["reduce", "no-preference"]) -> list[bytes]:
        page = browser.new_page(reduced_motion=motion, viewport={"width": 920, "height": 400})
        page.set_content(f"<body style='margin: 0'>{path.read_text('utf-8')}")
        taken = []
        for second in SECONDS:
            at = f"document.getAnimations().forEach((each) => {{ each.pause(); each.currentTime = {1000 * second} }})"
            page.evaluate(at)
            taken.append(page.screenshot())
        page.close()
        return taken

    sooner, later = looks("no-preference")
    assert sooner != later
    sooner, later = looks("reduce")
    assert sooner == later
