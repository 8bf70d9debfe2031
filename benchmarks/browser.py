"""How fast is an exported page in Chromium? Characters a second of `charloom export --html`, and what limits them.

python benchmarks/browser.py [--cell lstm] [--num-layers 1] [--hidden-size 512] [--repeats 5] [--json]

Random weights, 65 symbols. The page is opened from a file with the network off and generates as a person would have it
do: colours, alternatives and all. Beside it in the same run: the same page without WebAssembly, the bare steps of its
kernel in the same browser, and charloom itself. The best of several turns counts. Needs Debian's chromium and the
package playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html, join_modules
from charloom.runtime.model import Model

SYMBOLS = [chr(code) for code in range(ord("0"), ord("0") + 64)] + ["\n"]
TARGET = 12_000  # characters a second, of LSTM 1 × 512
BEYOND = 131_072  # bytes of a page besides its kernel and 1.4 × its weights, at most
STEPS = """async ([shape, kernel, weights, count]) => {
  %s
  const network = new KernelNetwork(await startKernel(kernel), shape, unpackedTensors(bytesOf(weights), shape));
  const started = performance.now();
  for (let step = 0; step < count; step++) network.read([step %% shape.vocab_size], 0);
  return (count / (performance.now() - started)) * 1000;
}"""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
TURN = """(length) => new Promise((resolve) => {
  const [field, button, live] = ["length", "generate", "live"].map((id) => document.getElementById(id));
  field.value = length;
  live.textContent = "";
  const started = performance.now();
  new MutationObserver((_, observer) => {
    if (!live.textContent.includes("Done: ")) return;
    observer.disconnect();
    resolve((performance.now() - started) / 1000);
  }).observe(live, { childList: true, characterData: true, subtree: true });
  button.click();
})"""

Record = dict[str, Any]


def make_model(folder: Path, cell: str, num_layers: int, hidden_size: int) -> Path:
    """A model directory with hardly trained weights: what they are does not change how fast they run."""
    text = folder / "text.txt"
    text.write_text("".join(np.random.default_rng(0).choice(SYMBOLS, 12_000)), "utf-8")
    options: dict[str, Any] = {"cell": cell, "num_layers": num_layers, "hidden_size": hidden_size}
    charloom.train(text, folder / "model", steps=1, embedding_size=64, threads=1, device="cpu", **options)
    return folder / "model"


def page_rate(page: Page, characters: int) -> float:
    """Characters a second of one turn, from the click to the last character in the page."""
    return characters / float(page.evaluate(TURN, str(characters)))


def blocks_of(file: Path) -> dict[str, str]:
    """The data in a page, by their ids."""
    return dict(re.findall(r'<script type="[^"]*" id="(\w+)">(.*?)</script>', file.read_text("utf-8"), re.S))


def without_kernel(file: Path) -> Path:
    """A page's copy that runs in JavaScript alone."""
    to = file.with_name("javascript.html")
    to.write_text(file.read_text("utf-8").replace(blocks_of(file)["kernel"], ""), "utf-8")
    return to


def rates(context: BrowserContext, file: Path, model: Model, characters: int, repeats: int) -> Record:
    """The best rates over all turns, in characters a second, and the seconds until the page can write."""
    page, slow, bare = context.new_page(), context.new_page(), context.new_page()
    slow.goto(without_kernel(file).as_uri())
    started = time.perf_counter()
    page.goto(file.as_uri())
    expect(page.locator("#generate")).to_be_enabled(timeout=60_000)
    ready = time.perf_counter() - started
    blocks = blocks_of(file)
    steps = STEPS % (join_modules("kernel.js"))
    asked = [json.loads(blocks["description"])["shape"], blocks["kernel"], blocks["weights"], characters]
    turns: dict[str, Callable[[], float]] = {
        "page": lambda: page_rate(page, characters),
        "steps": lambda: float(bare.evaluate(steps, asked)),
        "charloom_int8": lambda: characters / model.generate("0", length=characters).seconds,
        "page_in_javascript": lambda: page_rate(slow, characters // 10),
    }
    best = dict.fromkeys(turns, 0.0)
    for _ in range(repeats):
        for name, turn in turns.items():
            best[name] = max(best[name], turn())
    return {"rates": best, "seconds_until_ready": ready}


def measure(arguments: argparse.Namespace) -> Record:
    """The best rates over all turns, the time to be ready, and the size of the file."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = make_model(Path(name), arguments.cell, arguments.num_layers, arguments.hidden_size)
        exported = export_html(open_model_directory(folder), Path(name) / "model.html")
        model = charloom.load(folder, precision="int8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        context = browser.new_context()
        context.set_offline(True)
        found = rates(context, Path(exported.path), model, arguments.characters, arguments.repeats)
        kernel = len(blocks_of(Path(exported.path))["kernel"])
        version = browser.version
        browser.close()
    return {
        "network": f"{arguments.cell.upper()} {arguments.num_layers} × {arguments.hidden_size}",
        "chromium": version,
        **found,
        "file_bytes": exported.bytes,
        "kernel_bytes": kernel,
        "weight_bytes": exported.weights,
        "bytes_beyond": exported.bytes - kernel - round(1.4 * exported.weights),
    }


def show(report: Record) -> None:
    """Print the figures."""
    rates = report["rates"]
    print(f"{report['network']}, 65 symbols, Chromium {report['chromium']}\n")
    for name, what in (
        ("page", f"the page, with colours and alternatives (target {TARGET:,})"),
        ("steps", "bare steps of its kernel in the same browser"),
        ("charloom_int8", "charloom, int8, one stream"),
        ("page_in_javascript", "the page without WebAssembly"),
    ):
        print(f"{what:<60}{rates[name]:>10,.0f} characters/s {rates['page'] / rates[name]:>8.2f} ×")
    print(f"{'until the page is ready':<60}{report['seconds_until_ready']:>10.2f} s")
    limit = 1.4 * report["weight_bytes"] + BEYOND + report["kernel_bytes"]
    print(f"{'the file':<60}{report['file_bytes']:>10,} bytes (at most {limit:,.0f})")
    print(f"{'of it the kernel':<60}{report['kernel_bytes']:>10,} bytes")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cell", choices=("lstm", "gru", "rnn"), default="lstm")
    parser.add_argument("--num-layers", type=int, default=1)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--characters", type=int, default=6000, help="of one turn")
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
