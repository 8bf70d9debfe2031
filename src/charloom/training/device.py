"""Where to train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from charloom.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called `name`; `auto` is a GPU if there is one: of several processes on a machine, each its own.

    Raises:
        UsageError: there is no such device here.
    """
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


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what torch raises where memory is short, on the CPU or a GPU, into MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error) or isinstance(error, torch.cuda.OutOfMemoryError):
            raise MemoryError(str(error)) from error
        raise
