"""How fast is an exported page in Chromium? Characters a second of `charloom export --html`, beside charloom itself.

python benchmarks/browser.py [--cell lstm] [--num-layers 1] [--hidden-size 512] [--repeats 5] [--json]

Random weights, 65 symbols. The page is opened from a file with the network off and generates as a person would have it
do: colours, alternatives and all. The best of several turns counts. Needs Debian's chromium and the package playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html
from charloom.runtime.model import Model

SYMBOLS = [chr(code) for code in range(ord("0"), ord("0") + 64)] + ["\n"]
TARGET = 500  # characters a second, of LSTM 1 × 512
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

Record = dict[str, Any]


def make_model(folder: Path, cell: str, num_layers: int, hidden_size: int) -> Path:
    """A model directory with hardly trained weights: what they are does not change how fast they run."""
    text = folder / "text.txt"
    text.write_text("".join(np.random.default_rng(0).choice(SYMBOLS, 12_000)), "utf-8")
    options: dict[str, Any] = {"cell": cell, "num_layers": num_layers, "hidden_size": hidden_size}
    charloom.train(text, folder / "model", steps=1, embedding_size=64, threads=1, device="cpu", **options)
    return folder / "model"


def page_seconds(page: Page, characters: int) -> float:
    """Seconds from the click to the last character shown."""
    page.fill("#length", str(characters))
    started = time.perf_counter()
    page.click("#generate")
    expect(page.locator("#live")).to_contain_text("Done: ", timeout=120_000)
    return time.perf_counter() - started


def rates_of_page(page: Page, model: Model, characters: int, repeats: int) -> dict[str, float]:
    """The best rates over all turns, in characters a second: the page's and charloom's own."""
    best = {"page": 0.0, "charloom_int8": 0.0}
    for _ in range(repeats):
        best["page"] = max(best["page"], characters / page_seconds(page, characters))
        taken = model.generate("0", length=characters).seconds
        best["charloom_int8"] = max(best["charloom_int8"], characters / taken)
    return best


def measure(arguments: argparse.Namespace) -> Record:
    """The best rates over all turns, the time to be ready, and the size of the file."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = make_model(Path(name), arguments.cell, arguments.num_layers, arguments.hidden_size)
        exported = export_html(open_model_directory(folder), Path(name) / "model.html")
        model = charloom.load(folder, precision="int8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        context = browser.new_context()
        context.set_offline(True)
        page = context.new_page()
        started = time.perf_counter()
        page.goto(Path(exported.path).as_uri())
        expect(page.locator("#generate")).to_be_enabled(timeout=60_000)
        ready = time.perf_counter() - started
        rates = rates_of_page(page, model, arguments.characters, arguments.repeats)
        version = browser.version
        browser.close()
    parameters = model.config.model.parameters
    return {
        "network": f"{arguments.cell.upper()} {arguments.num_layers} × {arguments.hidden_size}",
        "chromium": version,
        "rates": rates,
        "seconds_until_ready": ready,
        "file_bytes": exported.bytes,
        "int8_weights": parameters,
        "bytes_beyond": exported.bytes - 1.4 * parameters,
    }


def show(report: Record) -> None:
    """Print the figures."""
    rates = report["rates"]
    print(f"{report['network']}, 65 symbols, Chromium {report['chromium']}\n")
    print(f"{'the page, with colours and alternatives':<44}{rates['page']:>10,.0f} characters/s (target {TARGET})")
    print(f"{'charloom, int8, one stream':<44}{rates['charloom_int8']:>10,.0f} characters/s")
    print(f"{'until the page is ready':<44}{report['seconds_until_ready']:>10.2f} s")
    limit = 1.4 * report["int8_weights"] + 65_536
    print(f"{'the file':<44}{report['file_bytes']:>10,} bytes (at most {limit:,.0f})")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cell", choices=("lstm", "gru", "rnn"), default="lstm")
    parser.add_argument("--num-layers", type=int, default=1)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--characters", type=int, default=2000, help="of one turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    if shutil.which("chromium") is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    report = measure(arguments)
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
