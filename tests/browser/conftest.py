"""A real browser, without a network, and small models of every kind as pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html

CHROMIUM = shutil.which("chromium")
expect.set_options(timeout=30_000)  # what a test waits for comes; how soon, other work on the machine decides
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SHAPES: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm", "num_layers": 2, "hidden_size": 40, "embedding_size": 12},
    "gru": {"cell": "gru", "num_layers": 2, "hidden_size": 30, "embedding_size": 10},
    "rnn": {"cell": "rnn", "num_layers": 2, "hidden_size": 37, "embedding_size": 9},  # no multiple of four
    "one-hot": {"cell": "lstm", "num_layers": 1, "hidden_size": 24, "embedding_size": 0},
    "cleaned": {"cell": "gru", "num_layers": 1, "hidden_size": 24, "embedding_size": 8, "clean": ["article", "nfc"]},
    "bytes": {"cell": "lstm", "num_layers": 1, "hidden_size": 24, "embedding_size": 8, "vocabulary": "bytes"},
}
TEXT = "The naïve café – “Über” €5: Ærø.\n" * 3


@pytest.fixture(scope="package")  # while it is open no other test can run an event loop of its own
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own, with the network off."""
    made = browser.new_context(viewport={"width": 1000, "height": 900})
    made.set_offline(True)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """An empty page; afterwards it must have had no error and asked for no address."""
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "request", lambda request: None if request.url.startswith(("file:", "blob:")) else problems.append(request.url)
    )
    yield opened
    assert problems == []


class Models:
    """Small models of every kind in `SHAPES`, trained when they are first asked for."""

    def __init__(self, folder: Path, text: Path) -> None:
        self._folder = folder
        self._text = text

    def directory(self, name: str) -> Path:
        """The model directory."""
        folder = self._folder / name
        if not folder.exists():
            rest: dict[str, Any] = {
                "batch_size": 8,
                "bptt": 32,
                "steps": 60,
                "learning_rate": 0.01,
                "threads": 1,
                "device": "cpu",
            }
            charloom.train(self._text, folder, **SHAPES[name], **rest)
        return folder

    def page(self, name: str) -> Path:
        """The exported page."""
        file = self._folder / f"{name}.html"
        if not file.exists():
            export_html(open_model_directory(self.directory(name)), file)
        return file


@pytest.fixture(scope="session")
def models(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("pages")
    text = folder / "text.txt"
    text.write_text(TEXT + small_text.read_text("utf-8")[:6000], "utf-8")
    return Models(folder, text)
