"""What does it cost to average gradients, and what does that promise for many machines?

    python benchmarks/scaling.py [--ranks 2] [--updates 20]

Measures, in one run on this machine: an update of the default network by one process alone; the same by each of
several processes that average their gradients (PyTorch distributed, gloo, loopback); and the averaging alone. Then
prints the efficiency that the usual model of a ring all-reduce expects for W machines on a network of a given speed:

    t(W) = compute + 2 · (W − 1) / W · bytes / bandwidth + 2 · (W − 1) · latency,   efficiency = compute / t(W)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from charloom.bundle import ModelShape
from charloom.settings import RunSettings
from charloom.training.batches import RingBatches
from charloom.training.learner import Learner
from charloom.training.ranks import Ranks, join_ranks
from charloom.training.state import fresh_state

SYMBOLS = 66
NETWORKS = {"1 Gbit/s, 100 µs": (125e6, 1e-4), "10 Gbit/s, 50 µs": (1.25e9, 5e-5), "100 Gbit/s, 20 µs": (12.5e9, 2e-5)}
MACHINES = (2, 4, 8, 16, 64)


def seconds_an_update(ranks: Ranks, updates: int) -> tuple[float, float, int]:
    """The medians of a whole update and of the averaging alone, and the bytes a rank hands over in it."""
    settings = RunSettings()
    rows = settings.training.batch_size * ranks.world_size  # every rank has as many as one alone
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"batch_size": rows})})
    shape = ModelShape(vocab_size=SYMBOLS, **settings.model.model_dump())
    ids = np.random.default_rng(1).integers(1, SYMBOLS, 1_000_000).astype(np.uint8)
    batches = RingBatches(ids, rows, settings.training.bptt, seed=1)
    state = fresh_state(shape, settings, torch.device("cpu"), ranks)
    state.model.train()
    learner = Learner(state, batches, settings.training, 0.0, ranks)
    whole, averaging = [], []
    gradients = [torch.zeros_like(weights) for weights in state.model.parameters()]
    for _ in range(updates):
        started = time.perf_counter()
        learner.update(1e-3, lambda: False)
        between = time.perf_counter()
        ranks.average(gradients, [0.0])
        whole.append(between - started)
        averaging.append(time.perf_counter() - between)
    return float(np.median(whole)), float(np.median(averaging)), 4 * shape.parameters


def work(updates: int) -> None:
    """One of the processes: rank 0 prints what it measured."""
    torch.set_num_threads(1)
    with join_ranks(lambda _: torch.device("cpu")) as ranks:
        figures = seconds_an_update(ranks, updates)
        if ranks.writes:
            print(json.dumps(figures))


def measured(ranks: int, updates: int) -> tuple[float, float, int]:
    """Start the processes and read what rank 0 measured."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    if ranks == 1:
        command = [sys.executable]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*command, __file__, "--work", "--updates", str(updates)],
        env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    whole, averaging, size = json.loads(ran.stdout)
    return whole, averaging, size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.updates)
        return
    alone, _, size = measured(1, options.updates)
    together, averaging, _ = measured(options.ranks, options.updates)
    print(f"{size:,} bytes of gradients; an update of 16 rows × 100 alone {alone * 1e3:.1f} ms")
    print(
        f"{options.ranks} processes, 16 rows each: {together * 1e3:.1f} ms an update, of it averaging "
        f"{averaging * 1e3:.1f} ms; {options.ranks * alone / together:.2f} times the speed of one"
    )
    print("expected efficiency of W machines:")
    print(f"{'network':<20}" + "".join(f"{machines:>8}" for machines in MACHINES))
    for name, (bandwidth, latency) in NETWORKS.items():
        shares = []
        for machines in MACHINES:
            message = 2 * (machines - 1) / machines * size / bandwidth + 2 * (machines - 1) * latency
            shares.append(f"{alone / (alone + message):>8.0%}")
        print(f"{name:<20}" + "".join(shares))


if __name__ == "__main__":
    main()
