"""How fast is a text larger than memory prepared, and how much memory do preparing and training take?

Makes a text of 2 GB by shuffling the lines of FILE, prepares it, reads an epoch's windows from it and trains a
few steps, each in a process of its own, beside a plain read with a checksum and a Python loop over a dictionary.
Everything is removed at the end.

python benchmarks/preparing.py FILE [MEGABYTES]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGABYTE = 1_000_000
ROWS, WINDOW = 256, 1000

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


def run(*arguments: str | Path) -> tuple[float, float, str]:
    """Seconds, peak resident megabytes and output of a Python process."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{arguments} failed")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / MEGABYTE, output


def show(what: str, seconds: float, megabytes: float | None, peak: float) -> None:
    rate = "" if megabytes is None else f"{megabytes / seconds:,.0f}"
    print(f"{what:<46}{seconds:>9.1f}{rate:>9}{peak:>15,.0f}", flush=True)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    size = int(sys.argv[2]) * MEGABYTE if len(sys.argv) > 2 else 2_000 * MEGABYTE
    with tempfile.TemporaryDirectory(prefix="charloom-") as name:
        folder = Path(name)
        text, prepared = folder / "text.txt", folder / "prepared"
        make_text(Path(sys.argv[1]), text, size)
        megabytes = text.stat().st_size / MEGABYTE
        print(f"{megabytes:,.0f} MB of shuffled lines\n\n{'':<46}{'seconds':>9}{'MB/s':>9}{'peak RSS, MB':>15}")

        seconds, peak, _ = run("-c", _HASH, text)
        show("reference: read and checksum", seconds, megabytes, peak)
        seconds, peak, _ = run("-c", _LOOP, text)
        show("reference: dictionary loop, 20 MB in memory", seconds, min(20, megabytes), peak)
        charloom = ("-m", "charloom")
        seconds, peak, _ = run(*charloom, "corpus", "prepare", text, "-o", prepared, "--json", "--quiet")
        show("charloom corpus prepare", seconds, megabytes, peak)
        text.unlink()
        seconds, peak, _ = run("-c", _EPOCH, prepared)
        show(f"an epoch's windows, {ROWS} × {WINDOW}, not learned", seconds, megabytes, peak)
        options = ("--hidden-size", "128", "--steps", "200", "--threads", "1", "--json", "--quiet")
        seconds, peak, output = run(*charloom, "train", prepared, "-o", folder / "model", *options)
        show("charloom train, 200 steps", seconds, None, peak)
        learned = json.loads(output)["characters_per_second"]
        print(f"\n({learned:,.0f} characters a second learned)")


if __name__ == "__main__":
    main()
