"""The documentation's site opened as files: without a server, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.slow
def test_search_works_on_files(page: Page, site: Path) -> None:
    page.goto((site / "how-to" / "serve.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("Serve a model")
    page.keyboard.press("/")
    page.keyboard.type("safetensors", delay=5)
    found = page.locator(".md-search-result__link").first
    expect(found).to_be_visible(timeout=20_000)
    found.click()
    expect(page.locator("article")).to_contain_text("safetensors")
    assert page.url.startswith("file:")


@pytest.mark.slow
def test_light_and_dark(page: Page, site: Path) -> None:
    for scheme, name in (("light", "default"), ("dark", "slate")):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto((site / "index.html").as_uri())
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", name)
