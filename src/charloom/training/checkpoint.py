"""What an interrupted run needs to go on: one safetensors file a checkpoint, and `run.json` for the whole run.

A checkpoint holds the weights, the best weights so far, the optimizer's moments, the carried state and the
random states as tensors, and the `Progress` as JSON in the file's own header: one file, so it is whole or absent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from charloom.errors import TrainingError
from charloom.files import TEMPORARY_SUFFIX, atomic_write, storage_errors
from charloom.training.model import CharacterModel, TorchState

KEPT = 2
RUN = "run.json"
Weights = dict[str, Tensor]


@dataclass
class Progress:
    """How far a run has come: everything that changes and is not a tensor.

    Attributes:
        step: updates made.
        characters: characters learned from.
        seconds: spent in all, evaluations included.
        training_seconds: spent in updates alone.
        best_step: the update after which the best weights stood; 0 before any evaluation.
        best_loss: their validation loss.
        recent_nats: summed training loss since the last record.
        recent_characters: how many characters that sum is of.
    """

    step: int = 0
    characters: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    best_step: int = 0
    best_loss: float = float("inf")
    recent_nats: float = 0.0
    recent_characters: int = 0


@dataclass
class TrainingState:
    """Everything a run changes as it goes."""

    progress: Progress
    model: CharacterModel
    optimizer: torch.optim.Optimizer
    carried: TorchState
    best_weights: Weights


class Checkpoints:
    """The checkpoints of one run, in its `training/` folder; the last two are kept."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which need not exist yet."""
        self.folder = folder

    def begin(self, run: dict[str, Any]) -> None:
        """Start afresh: forget older checkpoints and record what the run is.

        Raises:
            StorageError: the folder cannot be written.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.remove_all()
        with storage_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
        with atomic_write(self.folder / RUN) as file:
            file.write(json.dumps(run, indent=1).encode())

    def read_run(self) -> dict[str, Any] | None:
        """What `begin` recorded, or None where no run was begun.

        Raises:
            TrainingError: the record is damaged.
        """
        path = self.folder / RUN
        if not path.is_file():
            return None
        try:
            run = json.loads(path.read_bytes())
        except (OSError, ValueError):
            run = None
        if not isinstance(run, dict):
            raise TrainingError(f"{path} is damaged: start again with --overwrite")
        return run

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint and remove all but the last two.

        Raises:
            StorageError: it cannot be written; older checkpoints still stand.
        """
        progress = json.dumps(dataclasses.asdict(state.progress))
        content = save(dict(_tensors(state)), metadata={"progress": progress})
        with atomic_write(self.folder / f"checkpoint-{state.progress.step:012d}.safetensors") as file:
            file.write(content)
        for old in self._paths()[:-KEPT]:
            with storage_errors(old):
                old.unlink(missing_ok=True)

    def restore(self, state: TrainingState) -> bool:
        """Load the newest checkpoint that is whole into `state`; False where there is none."""
        for path in reversed(self._paths()):
            try:
                with safe_open(path, framework="pt") as file:
                    _load(state, {name: file.get_tensor(name) for name in list(file.keys())}, file.metadata())
            except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError):
                continue
            return True
        return False

    def remove_all(self) -> None:
        """Remove the checkpoints, the record, and the folder if nothing else is in it.

        Raises:
            StorageError: a file cannot be removed.
        """
        with storage_errors(self.folder):
            unfinished = self.folder.glob(f".*{TEMPORARY_SUFFIX}")  # left by a process that was killed
            for path in [*self._paths(), self.folder / RUN, *unfinished]:
                path.unlink(missing_ok=True)
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.safetensors"))


def _tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.model.state_dict().items():
        yield f"model.{name}", tensor.contiguous()
    for name, tensor in state.best_weights.items():
        yield f"best.{name}", tensor.contiguous()
    for index, moments in state.optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            yield f"optimizer.{index}.{name}", tensor.contiguous()
    for index, part in enumerate(state.carried):
        yield f"carried.{index}", part.clone()  # an LSTM's two zero states may be one tensor
    yield "random.cpu", torch.get_rng_state()
    if torch.cuda.is_available():
        yield "random.cuda", torch.cuda.get_rng_state()


def _load(state: TrainingState, tensors: Weights, metadata: dict[str, str]) -> None:
    """Fill `state` from a checkpoint; raises before it changes anything if a part is missing."""
    progress = Progress(**json.loads(metadata["progress"]))
    device = state.model.output.weight.device
    carried = tuple(tensors[f"carried.{index}"].to(device) for index in range(len(state.carried)))
    optimizer = state.optimizer.state_dict()
    optimizer["state"] = _moments(_under(tensors, "optimizer."))
    state.model.load_state_dict(_under(tensors, "model."))
    state.optimizer.load_state_dict(optimizer)
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    state.best_weights = _under(tensors, "best.")
    state.carried = carried
    state.progress = progress


def _under(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(tensors: Weights) -> dict[int, dict[str, Tensor]]:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    return moments
