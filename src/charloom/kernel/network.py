"""The network as a small compiled kernel: the same numbers on every processor, int8 or float32.

>>> network = open_network(shape, weights)
>>> logits, state = network.run(ids, initial)  # ids (T, B), a state of (B, H) arrays
>>> written, state = network.write(last_ids, state, uniforms, [settings] * rows)

Int8 logits, states and seeded texts are the same bits on every micro-kernel, in any company, read at once or in
chunks; `charloom.kernel.reference.ReferenceNetwork` gives them too. With float32 the last digits depend on the
micro-kernel, not on the company.

Legend: T time, B rows, V vocabulary, H hidden units, S states (as many as layers, of an LSTM twice as many).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.errors import CharloomError, UsageError
from charloom.kernel.native import MICRO_VARIABLE, NUMPY, Library, address, aligned, check, kernel, sampling_rows
from charloom.kernel.weights import Precision, Weights, lay_tensors
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids

if TYPE_CHECKING:
    from charloom.kernel.reference import ReferenceNetwork

_STAGE = 256  # rows · steps that a thread reads in its layers before it passes them on
_STAGED_ROWS = 64  # at most

State = tuple[NDArray[np.float32], ...]
Logits = NDArray[np.float32]


def open_network(
    shape: ModelShape, weights: Weights, precision: Precision = "int8", *, threads: int = 1
) -> Network | ReferenceNetwork:
    """Lay out a network for the compiled kernel, or for numpy where there is none, which is logged once.

    The variable CHARLOOM_KERNEL names a micro-kernel that must run it, or `numpy`.

    Args:
        shape: what it is.
        weights: float32, by PyTorch's names, as `read_weights` gives them.
        precision: of the products.
        threads: processor threads that share the rows of one call, or of few rows the layers; numpy has its own.

    Raises:
        ModelDirectoryError: the weights are not this network's.
        UsageError: CHARLOOM_KERNEL names what this processor cannot run.
        CharloomError: CHARLOOM_KERNEL names a micro-kernel, and there is no compiled kernel.
    """
    wanted = os.environ.get(MICRO_VARIABLE)
    if wanted != NUMPY:
        try:
            library = kernel()
        except CharloomError as error:
            if wanted:
                raise
            _report_numpy(str(error))
        else:
            return Network(shape, weights, precision, threads=threads, library=library)
    from charloom.kernel.reference import ReferenceNetwork

    return ReferenceNetwork(shape, weights, precision)


@cache
def _report_numpy(why: str) -> None:
    logging.getLogger("charloom").warning("numpy runs the network, many times slower: %s", why)


class _Cut(NamedTuple):
    """Rows and steps that one thread does, and what another has read of them."""

    begin: int
    end: int
    start: int
    stop: int
    passed: int | None = None


_Part = Callable[[NDArray[np.uint8], _Cut], int]


class Network:
    """A network that the compiled kernel runs. All its methods may be called from several threads at a time."""

    def __init__(
        self,
        shape: ModelShape,
        weights: Weights,
        precision: Precision = "int8",
        *,
        threads: int = 1,
        micro: str | None = None,
        library: Library | None = None,
    ) -> None:
        """Lay out a network.

        Args:
            shape: what it is.
            weights: float32, by PyTorch's names, as `read_weights` gives them.
            precision: of the products.
            threads: processor threads that share the rows of one call, or of few rows the layers.
            micro: the micro-kernel; if not given, CHARLOOM_KERNEL's, or the fastest.
            library: the compiled kernel; this machine's if not given.

        Raises:
            ModelDirectoryError: the weights are not this network's.
            UsageError: this processor has no such micro-kernel.
            CharloomError: there is no compiled kernel.
        """
        self.shape = shape
        self.precision = precision
        self._library = library or kernel()
        tensors = lay_tensors(shape, weights, precision, self._library.quantize)
        self._model = self._library.prepare(shape, tensors, precision, self._library.choose(micro))
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # that the pool is of
        self._free: list[NDArray[np.uint8]] = []

    def run(self, ids: Ids, state: State, first: int = 0) -> tuple[Logits, State]:
        """Read ids (T, B) from a state of (B, H) arrays; return logits (T - first, B, V) and the state after.

        Args:
            ids: what to read.
            state: the state before it; it is not changed.
            first: the first step whose logits are wanted.

        Raises:
            UsageError: sizes do not fit together.
            CharloomError: an id is that of no symbol.
        """
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        steps, rows = ids.shape
        block = self._block(state, rows)
        logits = np.empty((max(0, steps - first), rows, self.shape.vocab_size), dtype=np.float32)

        def part(work: NDArray[np.uint8], cut: _Cut) -> int:
            skipped = rows * self.shape.vocab_size * max(0, cut.start - first) * logits.itemsize
            result: int = self._library.run(
                *self._places(work),
                *(address(ids[cut.start :]), cut.stop - cut.start, rows, cut.begin, cut.end, address(block)),
                *(address(logits) + skipped, max(0, first - cut.start) if cut.start else first, cut.passed),
            )
            return result

        if not self._in_stages(part, ids, block):
            self._shared(part, steps, rows)
        return logits, tuple(block)

    def read(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B), T ≥ 1, from a state; return logits (B, V) and the state, both after the last one.

        Raises:
            UsageError: sizes do not fit together.
            CharloomError: an id is that of no symbol.
        """
        logits, state = self.run(ids, state, len(ids) - 1)
        return logits[0], state

    def write(
        self,
        ids: Ids,
        state: State,
        uniforms: NDArray[np.float64],
        sampling: Sequence[SamplingSettings],
        unknown_id: int | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], State]:
        """Read ids (B,), draw the next, read it, and so on for T steps.

        Args:
            ids: the last ids of what was written so far; not read yet.
            state: the state before them; it is not changed.
            uniforms: (T, B) numbers in [0, 1) to draw by.
            sampling: of each row.
            unknown_id: never drawn.
            allowed: the only ids that may be drawn, (B, V), at least one a row; None = all.

        Returns:
            What was drawn (T, B), the last of it not read yet, and the state. A row without finite logits draws V, and
            what it draws later means nothing.

        Raises:
            UsageError: sizes do not fit together.
            CharloomError: an id is that of no symbol.
        """
        uniforms = np.ascontiguousarray(uniforms, dtype=np.float64)
        steps, rows = uniforms.shape
        if np.shape(ids) != (rows,) or len(sampling) != rows:
            raise UsageError(f"{np.shape(ids)} ids and {len(sampling)} settings for {rows} rows")
        if allowed is not None and allowed.shape != (rows, self.shape.vocab_size):
            raise UsageError(f"{allowed.shape} allowed ids for {rows} rows and {self.shape.vocab_size} symbols")
        block = self._block(state, rows)
        last = np.array(ids, dtype=np.int64)
        settings = sampling_rows(sampling)
        mask = None if allowed is None else np.ascontiguousarray(allowed, dtype=np.uint8)
        written = np.empty((steps, rows), dtype=np.int64)

        def part(work: NDArray[np.uint8], cut: _Cut) -> int:
            result: int = self._library.write(
                *self._places(work),
                *(address(last), steps, rows, cut.begin, cut.end, address(block), address(uniforms), address(settings)),
                *(-1 if unknown_id is None else unknown_id, None if mask is None else address(mask), address(written)),
            )
            return result

        self._shared(part, steps, rows)
        return written, tuple(block)

    def nats(self, ids: Ids, targets: Ids, state: State) -> tuple[NDArray[np.float64], State]:
        """Read ids (T, B) from a state; return -ln p of targets (T, B), NaN where logits are not finite, and the state.

        Raises:
            UsageError: sizes do not fit together.
            CharloomError: an id is that of no symbol.
        """
        ids, targets = (np.ascontiguousarray(each, dtype=np.int64) for each in (ids, targets))
        if ids.shape != targets.shape:
            raise UsageError(f"{targets.shape} targets for {ids.shape} ids")
        steps, rows = ids.shape
        block = self._block(state, rows)
        found = np.empty((steps, rows), dtype=np.float64)

        def part(work: NDArray[np.uint8], cut: _Cut) -> int:
            result: int = self._library.nats(
                *self._places(work),
                *(address(ids[cut.start :]), address(targets[cut.start :]), cut.stop - cut.start, rows),
                *(cut.begin, cut.end, address(block), address(found[cut.start :]), cut.passed),
            )
            return result

        if not self._in_stages(part, ids, block):
            self._shared(part, steps, rows)
        return found, tuple(block)

    def _block(self, state: State, rows: int) -> NDArray[np.float32]:
        """A copy of a state as one array (S, B, H)."""
        expected = (self.shape.num_layers * self.shape.states_per_layer, rows, self.shape.hidden_size)
        block = np.array(state, dtype=np.float32, order="C")
        if block.shape != expected:
            raise UsageError(f"a state of {block.shape} numbers where the network has {expected}")
        return block

    def _places(self, work: NDArray[np.uint8]) -> tuple[int, int, int, int]:
        return address(self._model), self._model.nbytes, address(work), work.nbytes

    def _shared(self, part: _Part, steps: int, rows: int) -> None:
        """Do a part of the rows in each thread."""
        count = min(self._threads, max(1, rows // 8))
        if count == 1:
            check(self._with_memory(part, _Cut(0, rows, 0, steps)))
            return
        cuts = [rows * index // count for index in range(count + 1)]
        parts = [_Cut(begin, end, 0, steps) for begin, end in pairwise(cuts)]
        for result in list(self._workers().map(partial(self._with_memory, part), parts)):
            check(result)

    def _in_stages(self, part: _Part, ids: Ids, block: NDArray[np.float32]) -> bool:
        """Do a part of the layers in each thread, piece after piece of the steps; whether that is worth it."""
        steps, rows = ids.shape
        stages = min(self._threads, self.shape.num_layers)
        if stages < 2 or rows >= 8 * self._threads or not 1 <= rows <= _STAGED_ROWS:
            return False
        piece = max(1, _STAGE // rows)
        pieces = [(start, min(start + piece, steps)) for start in range(0, steps, piece)]
        if len(pieces) < 2:
            return False
        layers = [self.shape.num_layers * stage // stages for stage in range(stages + 1)]
        passed = [aligned(piece * rows * self._library.passed_bytes(self._model)) for _ in range(stages + 1)]

        def work(memory: NDArray[np.uint8], cut: _Cut, stage: int) -> int:
            given = passed[(cut.start // piece) % (stages + 1)]
            result: int = self._library.read(
                *self._places(memory),
                *(address(ids[cut.start :]), cut.stop - cut.start, rows, address(block)),
                *(layers[stage], layers[stage + 1], address(given), given.nbytes),
            )
            if result or stage + 1 < stages:
                return result
            return part(memory, cut._replace(passed=address(given)))

        workers = self._workers()
        for turn in range(len(pieces) + stages - 1):  # in each, stage s does the piece after that of stage s + 1
            jobs = [
                workers.submit(self._with_memory, partial(work, stage=stage), _Cut(0, rows, *pieces[turn - stage]))
                for stage in range(stages)
                if 0 <= turn - stage < len(pieces)
            ]
            for result in [job.result() for job in jobs]:
                check(result)
        return True

    def _with_memory(self, part: _Part, cut: _Cut) -> int:
        memory = self._take()
        result = part(memory, cut)
        self._free.append(memory)
        return result

    def _take(self) -> NDArray[np.uint8]:
        """Memory for one thread to work in, from an earlier call where there is some."""
        try:
            return self._free.pop()
        except IndexError:
            return self._library.workspace(self._model)

    def _workers(self) -> ThreadPoolExecutor:
        """The threads of this process; a fork has none of its parent's."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPoolExecutor(self._threads, "charloom-kernel"), os.getpid()
        return self._pool
