"""How fast does training go where another program keeps one of the cores busy, and what does a budget choose there?

    python benchmarks/crowded.py [--seconds 20] [--hidden 64 256 512]
    python benchmarks/crowded.py --choices 10 [--text FILE] [--budget 10m]

Trains on a clock: with one thread, with all of them, and with as many as charloom sees fit on the way
(`charloom.training.device`); each alone, and beside a process that does nothing but loop. Prints characters learned a
second, and each row's share of the first one's.

With `--choices` a budget chooses a network so many times, beside a process that comes and goes every few seconds.
Prints how many units each time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pydoc_data.topics import topics

import torch

from charloom.settings import RunSettings, run_settings
from charloom.text.corpus import CorpusSource
from charloom.training.budget import choose
from charloom.training.data import prepare_data
from charloom.training.ranks import Ranks

WAYS = {"one thread": ("--threads", "1"), "all threads": ("--threads", str(os.cpu_count())), "left to charloom": ()}


@contextmanager
def surroundings(*, crowded: bool) -> Iterator[None]:
    """Nothing, or a process that keeps a core busy."""
    if not crowded:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


def characters_a_second(text: Path, hidden_size: int, threads: tuple[str, ...], seconds: float) -> float:
    """What a run of its own learns, on average over its time."""
    command = [sys.executable, "-m", "charloom", "train", str(text), "-o", str(text.with_name("model"))]
    size = ("--hidden-size", str(hidden_size), "--num-layers", "1", "--budget", f"{seconds:g}s", *threads)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    said = subprocess.run(
        [*command, *size, "--overwrite", "--json"], env=clean, check=True, capture_output=True, text=True
    ).stdout
    return float(json.loads(said.splitlines()[-1])["characters_per_second"])


@contextmanager
def comings_and_goings(seed: int) -> Iterator[None]:
    """A process that keeps a core busy for one to eight seconds, then pauses for as long, and so on."""
    code = (
        f"import random, time; draw = random.Random({seed})\n"
        "while True:\n"
        "    end = time.monotonic() + draw.uniform(1, 8)\n"
        "    while time.monotonic() < end: pass\n"
        "    time.sleep(draw.uniform(1, 8))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as busy:
        try:
            yield
        finally:
            busy.kill()


def print_choices(text: str, budget: str, times: int) -> None:
    """Choose a network for a budget, time and again."""
    settings = run_settings(RunSettings(), {"budget": budget})
    data = prepare_data(CorpusSource([text]), settings.corpus, lambda event: None)
    for number in range(times):
        with comings_and_goings(number):
            started = time.perf_counter()
            choice = choose(data, settings, frozenset(), torch.device("cpu"), Ranks())
            seconds = time.perf_counter() - started
        print(
            f"  {choice.settings.model.hidden_size:>5} units  {choice.speed:>9,.0f} characters/s  {seconds:.1f} s",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256, 512], help="sizes of the network")
    parser.add_argument("--choices", type=int, default=0, help="how often a budget is to choose; nothing else is run")
    parser.add_argument("--text", default="tiny-shakespeare", help="to choose for")
    parser.add_argument("--budget", default="10m", help="to choose for")
    given = parser.parse_args()
    if given.choices:
        print_choices(given.text, given.budget, given.choices)
        return
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("\n".join(topics[name] for name in sorted(topics)), "utf-8")
        for crowded in (False, True):
            print("beside a busy process" if crowded else "alone")
            with surroundings(crowded=crowded):
                for hidden_size in given.hidden:
                    first = 0.0
                    for way, threads in WAYS.items():
                        speed = characters_a_second(text, hidden_size, threads, given.seconds)
                        first = first or speed
                        print(
                            f"  LSTM 1 × {hidden_size:<4}  {way:<17} {speed:>9,.0f}  {speed / first:5.2f}", flush=True
                        )


if __name__ == "__main__":
    main()
