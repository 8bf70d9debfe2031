"""How fast is a text larger than memory prepared, and how much memory do preparing and training take?

Makes a text of 2 GB by shuffling the lines of FILE, prepares it, reads an epoch's windows from it and trains a
few steps, each in a process of its own, beside a plain read with a checksum and a Python loop over a dictionary.
With --files N the text is N files, prepared by one process and by several workers in turn; the least of the
rounds counts.
Everything is removed at the end.

python benchmarks/preparing.py FILE [MEGABYTES] [--files N] [--workers N …] [--clean STEPS] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MEGABYTE = 1_000_000
ROWS, WINDOW = 256, 1000
PREPARE = ("-m", "charloom", "corpus", "prepare", "--json", "--quiet")

_HASH = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256')"
_LOOP = """
import sys
text = open(sys.argv[1], encoding="utf-8").read(20_000_000)
ids = {character: number for number, character in enumerate(sorted(set(text)), start=1)}
[ids[character] for character in text]
"""
_EPOCH = f"""
import sys
from pathlib import Path
from charloom.text.prepared import PreparedCorpus
from charloom.training.batches import RingBatches
batches = RingBatches(PreparedCorpus(Path(sys.argv[1])).whole.ids[1:], {ROWS}, {WINDOW}, 1)
for index in range(batches.windows_per_epoch):
    batches.window(0, index)
"""


def make_text(source: Path, path: Path, size: int) -> None:
    """Write `size` bytes of the source's lines, each copy in another order."""
    lines = source.read_bytes().splitlines(keepends=True)
    order, written = random.Random(1), 0
    with path.open("wb") as file:
        while written < size:
            order.shuffle(lines)
            written += file.write(b"".join(lines))


class Run(NamedTuple):
    """What a process took: `processor` is the seconds of it and of its workers, `peak` its own resident megabytes."""

    seconds: float
    processor: float
    peak: float
    output: str


def run(*arguments: str | Path) -> Run:
    """Run a Python process."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{arguments} failed")
    seconds = time.perf_counter() - started
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MEGABYTE, output)


def show(what: str, found: Run, megabytes: float | None) -> None:
    """A row of the table."""
    rate = "" if megabytes is None else f"{megabytes / found.seconds:,.0f}"
    print(f"{what:<46}{found.seconds:>9.1f}{found.processor:>11.1f}{rate:>9}{found.peak:>15,.0f}", flush=True)


def show_heading(megabytes: float, what: str) -> None:
    """What the rows are about, and the names of their columns."""
    columns = f"{'':<46}{'seconds':>9}{'processor':>11}{'MB/s':>9}{'peak RSS, MB':>15}"
    print(f"{megabytes:,.0f} MB of shuffled lines, {what}\n\n{columns}")


def measure_one_text(source: Path, folder: Path, size: int, options: list[str]) -> None:
    """The way of a large text, from the file to a few steps of training."""
    text, prepared = folder / "text.txt", folder / "prepared"
    make_text(source, text, size)
    megabytes = text.stat().st_size / MEGABYTE
    show_heading(megabytes, "one file")
    show("reference: read and checksum", run("-c", _HASH, text), megabytes)
    show("reference: dictionary loop, 20 MB in memory", run("-c", _LOOP, text), min(20, megabytes))
    show("charloom corpus prepare", run(*PREPARE, text, "-o", prepared, *options), megabytes)
    text.unlink()
    show(f"an epoch's windows, {ROWS} × {WINDOW}, not learned", run("-c", _EPOCH, prepared), megabytes)
    steps = ("--hidden-size", "128", "--steps", "200", "--threads", "1", "--json", "--quiet")
    trained = run("-m", "charloom", "train", prepared, "-o", folder / "model", *steps)
    show("charloom train, 200 steps", trained, None)
    print(f"\n({json.loads(trained.output)['characters_per_second']:,.0f} characters a second learned)")


def measure_files(source: Path, folder: Path, size: int, given: argparse.Namespace) -> None:
    """One process beside several workers, in turn."""
    texts = folder / "texts"
    texts.mkdir()
    for number in range(given.files):
        make_text(source, texts / f"{number:04}.txt", size // given.files)
    megabytes = sum(path.stat().st_size for path in texts.iterdir()) / MEGABYTE
    found: dict[int, list[Run]] = {workers: [] for workers in (0, *given.workers)}
    written = set[bytes]()
    for _ in range(given.rounds):
        for workers, runs in found.items():
            several = ("--workers", str(workers)) if workers else ()
            runs.append(run(*PREPARE, texts, "-o", folder / "prepared", *several, *options_of(given)))
            written.add((folder / "prepared" / "corpus.json").read_bytes())
            shutil.rmtree(folder / "prepared")
    assert len(written) == 1, "workers wrote something else than one process"
    show_heading(megabytes, f"{given.files} files, the least of {given.rounds} rounds")
    least = {workers: Run(*(min(column) for column in zip(*runs, strict=True))) for workers, runs in found.items()}
    for workers, best in least.items():
        ratio = f", {least[0].seconds / best.seconds:.2f} × as fast" if workers else ""
        show(f"charloom corpus prepare{f' --workers {workers}' if workers else ''}{ratio}", best, megabytes)


def options_of(given: argparse.Namespace) -> list[str]:
    """The options of `corpus prepare` itself."""
    return ["--clean", given.clean] if given.clean else []


def main() -> None:
    """Read the arguments, measure, remove everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="FILE")
    parser.add_argument("megabytes", type=int, nargs="?", default=2_000)
    parser.add_argument("--files", type=int)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--clean")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="charloom-") as name:
        if given.files:
            measure_files(given.source, Path(name), given.megabytes * MEGABYTE, given)
        else:
            measure_one_text(given.source, Path(name), given.megabytes * MEGABYTE, options_of(given))


if __name__ == "__main__":
    main()
