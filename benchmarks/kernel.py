"""How near does the kernel come to what a core can do? Beside ONNX Runtime's int8 graph, in one run.

python benchmarks/kernel.py [--repeats 20] [--hidden-size 512]

One stream and 64, in characters a second of processor time; the network's steps alone, and texts drawn with top-5. Two
limits are measured in turn with them: a stream cannot be faster than its int8 weights can be read once a character, and
64 streams not faster than the processor's int8 products. Best of all turns. On a busy machine only the ratios mean
something, and they vary too: neighbours take the cache that the weights lie in.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from charloom.bundle import ModelShape
from charloom.kernel.build import FLAGS
from charloom.kernel.native import address, aligned, kernel
from charloom.kernel.network import Network
from charloom.kernel.weights import Weights, tensor_shapes
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.session import initial_state
from charloom.settings import SamplingSettings
from onnx_stepper import OnnxStepper

SYMBOLS = 65
STREAMS = 64
LIMITS = Path(__file__).with_name("kernel_limits.c")

Way = Callable[[], float]


def random_weights(shape: ModelShape) -> Weights:
    """Weights of no text: what they are does not change how fast they run."""
    generator = np.random.default_rng(0)
    return {
        name: (generator.normal(size=dims) * (0.3 if len(dims) < 2 else dims[1] ** -0.5)).astype(np.float32)
        for name, dims in tensor_shapes(shape).items()
    }


class Limits:
    """What this core can do at best."""

    def __init__(self, folder: Path, weights: int, micro: str) -> None:
        """Compile the two loops.

        Args:
            folder: for the library.
            weights: bytes of int8 weights that a step reads, which is as many products.
            micro: the micro-kernel whose instruction counts.
        """
        path = folder / "limits.so"
        subprocess.run(["cc", *FLAGS, "-fPIC", "-shared", str(LIMITS), "-o", str(path)], check=True)
        self._library = ctypes.CDLL(str(path))
        for name in ("read_rate", "avx2_rate", "vnni_rate"):
            getattr(self._library, name).restype = ctypes.c_double
        self._weights = weights
        self._bytes = aligned(weights // 128 * 128)
        self._bytes[:] = 1
        self._products = "vnni_rate" if micro == "avx512vnni" else "avx2_rate"

    def reads(self) -> float:
        """How often a second the weights can be read."""
        size = ctypes.c_int64(self._bytes.nbytes)
        rate: float = self._library.read_rate(ctypes.c_void_p(address(self._bytes)), size, ctypes.c_int64(200))
        return rate / self._weights

    def products(self) -> float:
        """How often a second all weights can be multiplied."""
        rate: float = getattr(self._library, self._products)(ctypes.c_int64(5_000_000))
        return rate / self._weights


def contest(shape: ModelShape, limits: Limits) -> dict[str, Way]:
    """The ways to write, by name; each gives a rate."""
    weights = random_weights(shape)
    graph = build_int8_graph(shape, weights)
    assert graph is not None
    onnx, ours = OnnxSession(graph, shape), Network(shape, weights)
    floats = Network(shape, weights, "float32")
    ways: dict[str, Way] = {}
    for rows in (1, STREAMS):
        steps, state = max(8, 200 // rows), initial_state(shape, rows)
        ids, uniforms = np.zeros(rows, dtype=np.int64), np.random.default_rng(0).random((steps, rows))
        sampling = [SamplingSettings(temperature=1, top_k=5)] * rows

        def stepped(rows: int = rows, steps: int = steps) -> Way:
            stepper, ids = OnnxStepper(onnx, initial_state(shape, rows)), np.zeros(rows, dtype=np.int64)
            return timed(rows * steps, lambda: [stepper.step(ids) for _ in range(steps)])

        def written(
            network: Network,
            given: tuple[object, ...] = (ids, state, uniforms, sampling),
            count: int = rows * steps,
        ) -> Way:
            return timed(count, lambda: network.write(*given))  # type: ignore[arg-type]

        ways[f"onnx {rows}"] = stepped()
        ways[f"write {rows}"] = written(ours)
        ways[f"float {rows}"] = written(floats)
    text, state = np.random.default_rng(0).integers(0, SYMBOLS, (256, 1)), initial_state(shape, 1)
    ways["onnx read"] = timed(256, lambda: onnx.run(text, state))
    ways["kernel read"] = timed(256, lambda: ours.run(text, state))
    return {**ways, "weights read": limits.reads, "products": limits.products}


def timed(count: int, work: Callable[[], object]) -> Way:
    """Do something that makes `count` characters; its rate in characters a second of processor time."""

    def rate() -> float:
        started = time.process_time()
        work()
        return count / (time.process_time() - started)

    return rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="turns of everything")
    parser.add_argument("--hidden-size", type=int, default=512, help="another size, to try this out")
    arguments = parser.parse_args()
    size = arguments.hidden_size
    shape = ModelShape(cell="lstm", num_layers=2, hidden_size=size, embedding_size=64, dropout=0, vocab_size=SYMBOLS)
    found = kernel().micro_kernels()
    micro = next(name for name, number in found.items() if number == kernel().choose())
    with tempfile.TemporaryDirectory() as folder:
        ways = contest(shape, Limits(Path(folder), 3 * 4 * size * size + size * SYMBOLS, micro))
        best = dict.fromkeys(ways, 0.0)
        for turn in range(arguments.repeats):
            for name, way in ways.items():
                best[name] = max(best[name], way())
            print(f"turn {turn + 1} of {arguments.repeats} done", file=sys.stderr, flush=True)
    print(f"LSTM 2 × {size}, {SYMBOLS} symbols, one core, micro-kernel {micro}\n")
    print(f"{'':<52}{'characters/s':>14}{'× ONNX':>9}{'of limit':>10}")
    for name, title, reference, limit in (
        ("onnx 1", "one stream, ONNX Runtime, steps", "onnx 1", "weights read"),
        ("write 1", "one stream, kernel, drawn", "onnx 1", "weights read"),
        ("float 1", "one stream, kernel, float32, drawn", "onnx 1", "weights read"),
        ("onnx read", "one text read, ONNX Runtime", "onnx read", "weights read"),
        ("kernel read", "one text read, kernel", "onnx read", "weights read"),
        (f"onnx {STREAMS}", f"{STREAMS} streams, ONNX Runtime, steps", f"onnx {STREAMS}", "products"),
        (f"write {STREAMS}", f"{STREAMS} streams, kernel, drawn", f"onnx {STREAMS}", "products"),
        (f"float {STREAMS}", f"{STREAMS} streams, kernel, float32, drawn", f"onnx {STREAMS}", "products"),
    ):
        print(f"{title:<52}{best[name]:>14,.0f}{best[name] / best[reference]:>9.2f}{best[name] / best[limit]:>10.2f}")
    print(f"{'limit: the int8 weights read once each':<52}{best['weights read']:>14,.0f}")
    print(f"{'limit: the int8 products of a character':<52}{best['products']:>14,.0f}")


if __name__ == "__main__":
    main()
