"""Where to train, in which precision, with how many threads, and what torch raises where memory is short.

The threads of an operation wait for the last of them. Where another program has one of the cores, all together can be
several times slower than one alone (`benchmarks/crowded.py`), and a budget would be gone with little learned. So a run
on a clock uses one thread until all have shown that they are faster, and while other programs keep the cores busy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from charloom.errors import UsageError
from charloom.settings import LearningPrecision

_CROWDED = 1.5  # the pace of all threads, as a multiple of their usual one, from which one alone is tried


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called `name`; `auto` is a GPU if there is one: of several processes on a machine, each its own."""
    if name == "auto":
        gpus = torch.cuda.device_count()
        return torch.device("cuda", local_rank % gpus) if gpus else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device = {name!r}: choose auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device = {name!r}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        here = torch.cuda.device_count()
        found = f"{here} CUDA devices, counted from 0" if here else "no CUDA device: leave it out, or choose cpu"
        raise UsageError(f"device = {name!r}: this machine has {found}")
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; emulated it is many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def check_precision(precision: LearningPrecision, device: torch.device) -> None:
    """Check that the device can learn in a precision.

    Raises:
        UsageError: it would have to emulate it.
    """
    if precision == "bfloat16" and not computes_bfloat16(device):
        what = "processor" if device.type == "cpu" else "GPU"
        raise UsageError(f"precision = 'bfloat16': this {what} does not compute in it; choose float32")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what torch raises where memory is short, on the CPU or a GPU, into MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error) or isinstance(error, torch.cuda.OutOfMemoryError):
            raise MemoryError(str(error)) from error
        raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block torch uses one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_FIRST_LOOK, _LOOK = 1.0, 5.0  # seconds of updates between one look at the pace and the next
_TRIAL_UPDATES, _TRIAL_SECONDS = 5, 0.25  # of the other number of threads, at least; the first update does not count


class ThreadPace:
    """Watches the time that updates take, and changes between one thread and all, whichever is the faster just now.

    All are tried early on, one again when all have become slow; while there is one, all are tried every few seconds. On
    a quiet machine the first second of updates has one thread, and no other.
    """

    def __init__(self, most: int, set_threads: Callable[[int], None] = torch.set_num_threads) -> None:
        """Begin with one thread of the `most` there may be."""
        self._most = most
        self._set_threads = set_threads
        self._threads = 1
        self._times: list[float] = []
        self._usual = math.inf  # seconds an update of all threads in the best stretch so far
        self._decided = False
        self._to_beat: float | None = None  # seconds an update of the other number of threads, during a trial
        if most > 1:
            set_threads(1)

    def took(self, seconds: float) -> None:
        """An update took so long: change the number of threads for the next one where that promises more."""
        self._times.append(seconds)
        if self._most == 1 or len(self._times) < _TRIAL_UPDATES:
            return
        total, mean = sum(self._times), sum(self._times[1:]) / (len(self._times) - 1)
        if self._to_beat is not None:
            if total >= _TRIAL_SECONDS:
                self._decide(mean, self._to_beat)
        elif total >= (_LOOK if self._decided else _FIRST_LOOK):
            if self._threads == self._most:
                self._usual = min(self._usual, mean)
            self._times = []
            if self._threads == 1 or not self._decided or mean > _CROWDED * self._usual:
                self._to_beat = mean
                self._change()

    def _decide(self, mean: float, to_beat: float) -> None:
        if mean > to_beat:
            self._change()
        self._decided, self._to_beat, self._times = True, None, []

    def end(self) -> None:
        """Leave the process with the threads that it had."""
        self._set_threads(self._most)

    def _change(self) -> None:
        self._threads = 1 if self._threads == self._most else self._most
        self._set_threads(self._threads)
