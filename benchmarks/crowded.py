"""How fast does training go where another program keeps one of the cores busy?

    python benchmarks/crowded.py [--seconds 20] [--hidden 64 256 512]

Trains on a clock: with one thread, with all of them, and with as many as charloom sees fit on the way
(`charloom.training.device`); each alone, and beside a process that does nothing but loop. Prints characters learned a
second, and each row's share of the first one's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pydoc_data.topics import topics

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256, 512], help="sizes of the network")
    given = parser.parse_args()
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
