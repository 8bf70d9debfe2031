"""The processes of one run: one alone, or several started by torchrun, each with its own rows of the text.

Every rank learns from its rows and carries their state; gradients are averaged, so all ranks hold the same
weights. Rank 0 alone evaluates and writes. What a rank decides by its own clock or its own signals travels with
the gradients, so that all ranks decide the same.

Legend: L layers, B rows of all ranks together, H hidden units.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from charloom.errors import TrainingError, UsageError


class Ranks:
    """This process among its peers. Alone, everything here does nothing."""

    def __init__(self, rank: int = 0, world_size: int = 1, local_rank: int = 0) -> None:
        """Describe rank `rank` of `world_size`; `local_rank` counts within this machine."""
        self.rank = rank
        self.world_size = world_size
        self.local_rank = local_rank

    @property
    def writes(self) -> bool:
        """Whether this is the one rank that evaluates, writes and speaks."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Which of the run's B rows are this rank's."""
        if batch_size % self.world_size:
            raise UsageError(
                f"batch-size = {batch_size}: {self.world_size} processes need a multiple of {self.world_size}"
            )
        each = batch_size // self.world_size
        return slice(self.rank * each, (self.rank + 1) * each)

    def average(self, tensors: Sequence[Tensor], figures: Sequence[float]) -> list[float]:
        """Replace tensors by their mean over all ranks, in one message; return the means of the figures."""
        if self.world_size == 1:
            return list(figures)
        extra = torch.tensor(figures, dtype=torch.float64).float().to(tensors[0].device)
        flat = torch.cat([*(tensor.flatten() for tensor in tensors), extra])
        distributed.all_reduce(flat)
        flat /= self.world_size
        sizes = [tensor.numel() for tensor in tensors]
        *parts, means = torch.split(flat, [*sizes, len(figures)])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return [float(mean) for mean in means]

    def share(self, figure: float) -> float:
        """Rank 0's figure, on every rank."""
        if self.world_size == 1:
            return figure
        value = torch.tensor([figure], dtype=torch.float64)
        distributed.broadcast(value, src=0)
        return float(value)

    def share_bytes(self, content: bytes) -> bytes:
        """Rank 0's bytes, on every rank: no shared disk is needed."""
        if self.world_size == 1:
            return content
        size = int(self.share(float(len(content))))
        buffer = torch.empty(size, dtype=torch.uint8)
        if self.writes and size:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        distributed.broadcast(buffer, src=0)
        return buffer.numpy().tobytes()

    def gather(self, part: Tensor, dim: int) -> Tensor:
        """Every rank's tensor of the same shape, joined along `dim` in the order of the ranks."""
        if self.world_size == 1:
            return part
        own = part.detach().cpu().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.world_size)]
        distributed.all_gather(parts, own)
        return torch.cat(parts, dim=dim)

    def check_same(self, digest: str, what: str) -> None:
        """Make sure that all ranks have the same thing.

        Args:
            digest: its SHA-256 in hexadecimal.
            what: what to call it in an error.
        """
        own = torch.frombuffer(bytearray(bytes.fromhex(digest)), dtype=torch.uint8)
        if self.world_size > 1 and (self.gather(own[None], 0) != own).any():
            raise TrainingError(f"the processes of this run do not have the same {what}: give every machine the same")


@contextmanager
def join_ranks(device: Callable[[int], torch.device]) -> Iterator[Ranks]:
    """The ranks of this run: those torchrun started, or this process alone.

    Args:
        device: where the process with a given local rank will train.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if world_size == 1:
        yield Ranks()
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    # CPU tensors (states, clocks, checkpoints) always go through gloo; gradients on a GPU through NCCL.
    backend = "cpu:gloo,cuda:nccl" if device(local_rank).type == "cuda" else "gloo"
    # This module keeps the group that exists when it is first imported, as default arguments: imported later, by
    # torch's optimizers, the group's threads would outlive destroy_process_group() and could abort the exit.
    importlib.import_module("torch.distributed.nn")
    try:
        _join(backend)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the processes of this run cannot find each other: {error}") from error
    try:
        yield Ranks(int(os.environ["RANK"]), world_size, local_rank)
    except RuntimeError as error:
        if not any(name in str(error).lower() for name in ("gloo", "nccl")):
            raise
        raise TrainingError(
            "another process of this run has ended or cannot be reached: start all again with --resume"
        ) from error
    finally:
        distributed.destroy_process_group()


def _join(backend: str) -> None:
    """Meet the other processes.

    torchrun keeps its store over restarts, and with it the addresses of processes that are gone: whoever read one of
    those would call an address that no longer answers. So each attempt has keys of its own. Only on one machine do all
    processes count restarts alike; on several, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 gives each attempt a store of its
    own.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or os.environ.get("GROUP_WORLD_SIZE") != "1":
        distributed.init_process_group(backend)
        return
    store, rank, world_size = next(rendezvous("env://"))
    own = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=world_size)
