"""How close does training come to what the processor can multiply? Ours, the article's step and the peak in one run.

python benchmarks/throughput.py [--seconds 4] [--repeats 5] [--clock wall|processor] [--json]

Peak: fp32 matrix multiply, 2048 × 2048 × 2048 and 64 × 512 × 2048, the faster of the two, in PyTorch. Training: whole
updates of charloom's `Learner` (window, forward, loss, backward, clip, optimizer), with the kernel's layers and
with PyTorch's, and of the article's loop, on random text. Everything is measured in turns, several times over, and the
best turn of each counts, so that a neighbour who wakes up in the middle spoils no comparison. One thread, two threads,
and two processes of one thread that run at the same time each have fresh processes whose number of threads is set
before torch is loaded. `--clock processor` counts the time that the process itself computes, for a machine that others
use all the time: of one thread alone.

Operations a character = 6 × the weights that multiply: 2 forward, 4 backward. The embedding is a lookup and is not
counted; a one-hot input is a product and is, and so is an input that the kernel's layers take from a table. Biases,
gates, dropout and the optimizer are not counted, their time is.
Share = operations a second ÷ (cores in use × the peak of one core).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

import throughput_worker
from throughput_worker import CASES, CLOCKS, PEAKS, operations_per_character

MODES = {"1 thread": (1, 1), "2 threads": (1, 2), "2 processes": (2, 1)}  # processes, threads of each

Record = dict[str, Any]


class Worker:
    """A fresh process with its own number of threads."""

    def __init__(self, threads: int, hidden_size: int, seconds: float, clock: str) -> None:
        """Start it."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, throughput_worker.__file__, str(threads), str(hidden_size), str(seconds), clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONIOENCODING": "utf-8"},
        )

    def ask(self, job: str) -> None:
        """Have it begin a measurement."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def answer(self) -> float:
        """Wait for its rate."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a measuring process ended early: see its message above")
        return float(line)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def measure(
    hidden_size: int, seconds: float, repeats: int, clock: str, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """The best rate of every job in every mode, summed over the processes of a mode: by mode, then by job."""
    modes = {name: mode for name, mode in MODES.items() if clock == "wall" or mode == (1, 1)}
    jobs = [*PEAKS, *(case.name for case in CASES)]
    best = {mode: dict.fromkeys(jobs, 0.0) for mode in modes}
    with ExitStack() as stack:
        workers: dict[str, list[Worker]] = {}
        for mode, (processes, threads) in modes.items():
            workers[mode] = [Worker(threads, hidden_size, seconds, clock) for _ in range(processes)]
            for worker in workers[mode]:
                stack.callback(worker.close)
        for worker in (worker for group in workers.values() for worker in group):
            worker.answer()  # it is ready
        for turn in range(repeats):
            for job in jobs:
                for mode in modes:
                    for worker in workers[mode]:
                        worker.ask(job)
                    best[mode][job] = max(best[mode][job], sum([worker.answer() for worker in workers[mode]]))
            say(f"turn {turn + 1} of {repeats} done")
    return best


def report_of(best: dict[str, dict[str, float]], hidden_size: int) -> Record:
    """The measurements with what they come to: shares of the peak and speed-ups over one thread."""
    peaks = {mode: max(rates[job] for job in PEAKS) for mode, rates in best.items()}
    rows = []
    for case in CASES:
        operations = operations_per_character(case.shape(hidden_size))
        for mode in best:
            processes, threads = MODES[mode]
            rate = best[mode][case.name]
            rows.append(
                {
                    "case": case.name.format(hidden_size),
                    "mode": mode,
                    "characters_per_second": rate,
                    "operations_per_character": operations,
                    "gflops": rate * operations / 1e9,
                    "share": rate * operations / (processes * threads * peaks["1 thread"]),
                    "speed_up": rate / best["1 thread"][case.name],
                }
            )
    products = {mode: {job: best[mode][job] / 1e9 for job in PEAKS} for mode in best}
    return {"torch": torch.__version__, "cores": os.cpu_count(), "peak_gflops": products, "rows": rows}


def show(report: Record) -> None:
    """Print the table."""
    print(f"{'':<36}{'':<13}{'characters/s':>13}{'GFLOP/s':>9}{'of peak':>9}{'× 1 thread':>12}")
    for job in PEAKS:
        one = report["peak_gflops"]["1 thread"][job]
        for mode in report["peak_gflops"]:
            rate = report["peak_gflops"][mode][job]
            print(f"{'product ' + job:<36}{mode:<13}{'':>13}{rate:>9.1f}{'':>9}{rate / one:>12.2f}")
    for row in report["rows"]:
        print(
            f"{row['case']:<36}{row['mode']:<13}{row['characters_per_second']:>13,.0f}{row['gflops']:>9.1f}"
            f"{row['share']:>9.0%}{row['speed_up']:>12.2f}"
        )
    print("\nGFLOP/s at 6 × the weights that multiply a character; of peak = of cores in use × one core's best product")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement in a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of everything")
    parser.add_argument("--hidden-size", type=int, default=512, help="another size, to try this out")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: of one thread, beside other work")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    say = partial(print, file=sys.stderr, flush=True)
    best = measure(arguments.hidden_size, arguments.seconds, arguments.repeats, arguments.clock, say)
    report = report_of(best, arguments.hidden_size)
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
