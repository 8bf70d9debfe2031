"""What the tests of the playground share: a server, a page that is watched, and axe-core."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

AXE = "axe-core@4.14.1"
# In the page itself: where the browser has little of the machine, a click from outside may come after the text's end.
# The first text, which the page writes by itself, ends when Generate is pressed: none of it is mistaken for the new.
GENERATE_AND_STOP_AFTER_20 = """() => {
  document.getElementById("generate").click();
  new MutationObserver((changes, observer) => {
    if (document.querySelectorAll("#written [role=option]").length <= 20) return;
    observer.disconnect();
    document.getElementById("halt").click();
  }).observe(document.getElementById("written"), { childList: true, subtree: true });
}"""


@contextmanager
def served(*models: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """The address of a server of these models."""
    names = [str(model) for model in models]
    command = [sys.executable, "-m", "charloom", "serve", *names, "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["address"]
        finally:
            server.terminate()
            server.wait(30)


def visit(page: Page, address: str, settings: str = "length=120&seed=7") -> None:
    """Open the playground with settings in the address."""
    page.goto(f"{address}/#{settings}")
    expect(page.locator(".facts")).to_be_visible()


def write(page: Page, prompt: str) -> str:
    """Generate, wait for the end, and return what was written."""
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Generate").click()
    return written(page)


def written(page: Page) -> str:
    """Wait for the end, and return what was written."""
    expect(page.locator("#live")).to_contain_text("Done: ")
    return "".join(characters(page.locator("#written")))


@contextmanager
def watched(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page of a context of its own; what it complains of, or asks of other hosts, fails the test."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if "//127.0.0.1:" in asked.url else complaints.append(asked.url))
    yield page
    # An answer that says no is logged by Chromium as an error of the console, and is none of the page's.
    complaints = [each for each in complaints if "Failed to load resource" not in each]
    context.close()
    assert not complaints


def install_axe(folder: Path) -> str:
    """The source of axe-core, from the npm registry; a skipped test where it cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm does not find {AXE} in time")
    if ran.returncode:
        pytest.skip(f"npm cannot install {AXE}: {ran.stderr.strip()[:200]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core finds serious or critical, a line each."""
    page.evaluate(axe + "; undefined")
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"{each['id']}: {each['help']}: {json.dumps([node['html'][:160] for node in each['nodes'][:3]])}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def characters(view: Locator) -> list[str]:
    """The characters that a text view shows."""
    shown: list[str] = view.locator("[role=option]").evaluate_all("all => all.map((one) => one.textContent)")
    return shown
