"""What an interrupted run needs to go on: one safetensors file a checkpoint, and `run.json` for the whole run.

Both name the run, so that a checkpoint of another run, which may have been in the same folder, is never taken for
this run's. A checkpoint holds the weights, the best weights so far, the optimizer's state, the carried state and the
random states as tensors, and the `Progress` as JSON in the file's own header: one file, so it is whole or absent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from charloom.bundle.config import CONFIG, METRICS, FileName
from charloom.errors import StorageError, TrainingError
from charloom.files import atomic_write, storage_errors
from charloom.folders import BEST, CHECKPOINT, MLFLOW_RUN, RUN, FolderLock, model_records, sweep
from charloom.training.optimizer import list_state
from charloom.training.ranks import Ranks
from charloom.training.state import Progress, TrainingState, Weights

KEPT = 2


class Checkpoints:
    """The checkpoints of one run, in its `training/` folder; the last two are kept.

    Attributes:
        folder: that folder.
        run: the run's identity; None before `begin`, and for a run that an older charloom began.
    """

    def __init__(self, folder: Path, run: str | None = None, lock: FolderLock | None = None) -> None:
        """Use `folder`, which need not exist yet, for a new run or for `run`, which is resumed.

        Args:
            folder: the `training/` folder.
            run: the identity of the run to resume.
            lock: of the folder that it is in.
        """
        self.folder = folder
        self.run = run
        self._lock = lock
        self._unsaved: tuple[Path, bytes] | None = None

    def begin(self, run: dict[str, Any]) -> None:
        """Start afresh: forget older checkpoints and record what the run is."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.remove_all()
        with storage_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
        self.run = uuid.uuid4().hex
        try:
            with atomic_write(self.folder / RUN) as file:
                file.write(json.dumps({"run": self.run, **run}, indent=1).encode())
        except StorageError:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            raise

    def check_specs(self) -> None:
        """See that the folder is still under the name that the run writes to."""
        sentence = None if self._lock is None else self._lock.lost()
        # Some network disks number a folder anew; then the run's own record is in it.
        if sentence is not None and (self.read_run() or {}).get("run") != self.run:
            raise TrainingError(f"{sentence}: the run ends; it is not lost, resume it where its folder is now")

    def check_owned(self) -> None:
        """See that no other run took the folder, as it may where the disk has no locks, and that it was not moved."""
        self.check_specs()
        found = self.read_run() or {}
        if found.get("run", self.run) != self.run:
            raise TrainingError(
                f"another run has taken the folder {self.folder.parent} meanwhile: nothing of this one was written"
            )

    def read_run(self) -> dict[str, Any] | None:
        """What `begin` recorded, or None where no run was begun."""
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

    def save(self, state: TrainingState, ranks: Ranks) -> None:
        """Write a checkpoint (rank 0 does, of all ranks) and remove all but the last two."""
        tensors = dict(_tensors(state, ranks))
        if not ranks.writes:
            return
        self.check_specs()
        progress = json.dumps(dataclasses.asdict(state.progress))
        content = save(tensors, metadata={"progress": progress, **({} if self.run is None else {"run": self.run})})
        path = self._path(state.progress.step)
        self._unsaved = (path, content)
        _write(path, content)
        self._unsaved = None
        self._remove(self._paths()[:-KEPT])

    def kept(self, step: int) -> Path | None:
        """Where the checkpoint of a run's last step is, if it is anywhere.

        Where the run's own disk has no room for it even without older ones, it is put elsewhere; `restore` looks there.
        """
        path = self._path(step)
        if path.is_file():
            return path
        if self._unsaved is None or self._unsaved[0] != path:
            return None
        for place in (path, *self._elsewhere()):
            try:
                if place == path:
                    self._remove(self._paths()[:-1])
                else:
                    place.parent.parent.mkdir(parents=True, exist_ok=True)
                    place.parent.mkdir(mode=0o700)
                _write(place, self._unsaved[1])
            except (OSError, StorageError):
                if place != path:
                    shutil.rmtree(place.parent, ignore_errors=True)
            else:
                return place
        return None

    def _elsewhere(self) -> list[Path]:
        """Where a checkpoint may be that found no room in the folder; the run's identity is not to be guessed."""
        if self.run is None:
            return []
        bases = [Path(tempfile.gettempdir())]
        with contextlib.suppress(RuntimeError):  # a user without a home has no such folder
            bases.insert(0, platformdirs.user_state_path("charloom"))
        return [base / f"charloom-{self.run}" / "last.safetensors" for base in bases]

    def restore(self, state: TrainingState, ranks: Ranks) -> bool:
        """Load the newest checkpoint that is whole into `state`, on every rank; False where there is none."""
        elsewhere = [path for path in self._elsewhere() if path.is_file()]
        return self._restore_first(state, [*elsewhere, *reversed(self._paths())], ranks)

    def go_back(self, state: TrainingState, ranks: Ranks) -> bool:
        """As `restore`, for a run that failed: from an older checkpoint if it has not got further than the newest.

        The checkpoints after the one that was taken are removed: the way they lead is the way to the failure.
        """
        paths = self._paths()
        if len(paths) > 1 and paths[-1] == self._path(state.progress.step):
            paths.pop()
        if not self._restore_first(state, reversed(paths), ranks):
            return False
        self._remove([path for path in self._paths() if path > self._path(state.progress.step)])
        return True

    def _restore_first(self, state: TrainingState, paths: Iterable[Path], ranks: Ranks) -> bool:
        content = b""
        for path in paths if ranks.writes else ():
            try:
                content = path.read_bytes()
                tensors, progress, run = _parse(content)
                if run != self.run:
                    raise ValueError(path.name)
                _check_fits(state, tensors, progress, ranks)
                break
            except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError):
                content = b""
        content = ranks.share_bytes(content)
        if content:
            _load(state, *_parse(content)[:2], ranks)
        return bool(content)

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with storage_errors(path):
                path.unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"checkpoint-{step:012d}.safetensors"

    def remove_all(self, *, but_best: bool = False) -> None:
        """Remove the record, the checkpoints and all else of the run, and the folder if nothing else is in it.

        Args:
            but_best: keep the model that `best` holds.
        """
        for path in self._elsewhere():
            shutil.rmtree(path.parent, ignore_errors=True)
        if not self.folder.is_dir():
            return
        with storage_errors(self.folder):
            # A kill between two of them leaves what is a run's by the record or the checkpoints.
            for path in [self.folder / METRICS, self.folder / MLFLOW_RUN, self.folder / RUN, *self._paths()]:
                path.unlink(missing_ok=True)
            if not but_best:
                self._remove_best()
            sweep(self.folder)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    @property
    def best(self) -> Path:
        """Where a run puts its best weights as a model while its folder holds another one."""
        return self.folder / BEST

    def target(self, *, finished: bool) -> Path:
        """Where to write the model: a run that did not finish must not replace the model of another one.

        Another's is what this run did not save before it was resumed.
        """
        records = (model.get("training") for model in model_records(self.folder.parent))
        own = all(isinstance(training, dict) and training.get("run") == self.run for training in records)
        if finished or own:
            return self.folder.parent
        with storage_errors(self.best):
            self.best.mkdir(parents=True, exist_ok=True)
        return self.best

    def _remove_best(self) -> None:
        if self.best.is_dir():
            for name in (CONFIG, *get_args(FileName)):
                (self.best / name).unlink(missing_ok=True)
            sweep(self.best, records=True)
            with contextlib.suppress(OSError):
                self.best.rmdir()

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("checkpoint-*.safetensors") if CHECKPOINT.fullmatch(path.name))


def check_room(folder: Path, parameters: int) -> None:
    """See that the disk has room for a run of a network with so many parameters."""
    with storage_errors(folder):
        free = shutil.disk_usage(folder).free
    # The weights twice (safetensors and ONNX), and the checkpoints: weights, best weights and two of the optimizer's.
    needed = parameters * 4 * (2 + KEPT * 4)
    if free < needed:
        raise StorageError(
            f"{folder} has {free / 1e6:,.0f} MB free and this run needs {needed / 1e6:,.0f} MB: "
            f"free some space, or choose another folder"
        )


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def _tensors(state: TrainingState, ranks: Ranks) -> Iterator[tuple[str, Tensor]]:
    for prefix, weights in (
        ("model", state.model.state_dict()),
        ("average", state.average),
        ("best", state.best_weights),
    ):
        for name, tensor in weights.items():
            yield f"{prefix}.{name}", tensor.contiguous()
    for index, moments in state.optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            yield f"optimizer.{index}.{name}", tensor.contiguous()
    for index, part in enumerate(state.carried):  # (L, B, H)
        yield f"carried.{index}", ranks.gather(part, dim=1).clone()  # an LSTM's two zero states may be one tensor
    yield "random.cpu", ranks.gather(torch.get_rng_state()[None], dim=0)
    if torch.cuda.is_available():
        yield "random.cuda", ranks.gather(torch.cuda.get_rng_state()[None], dim=0)


def _parse(content: bytes) -> tuple[Weights, Progress, str | None]:
    """A checkpoint's tensors, and the progress and run in its header; raises one of many errors if it is damaged."""
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    progress = json.loads(header["progress"])
    progress.setdefault("windows", progress["step"])  # an older run learns a window an update
    return tensors, Progress(**progress), header.get("run")


def _check_fits(state: TrainingState, tensors: Weights, progress: Progress, ranks: Ranks) -> None:
    """Raise KeyError or ValueError if a part is missing or has another shape than the run's."""
    expected = {
        f"{prefix}.{name}": tensor.shape
        for prefix, weights in (("model", state.model.state_dict()), ("average", state.average))
        for name, tensor in weights.items()
    }
    if progress.step:
        for index, (weights, names) in enumerate(list_state(state.optimizer)):
            expected |= {f"optimizer.{index}.{name}": weights.shape for name in names}
    for index, part in enumerate(state.carried):
        layers, rows, hidden = part.shape
        expected[f"carried.{index}"] = torch.Size((layers, rows * ranks.world_size, hidden))
    expected["random.cpu"] = torch.Size((ranks.world_size, torch.get_rng_state().numel()))
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ValueError(name)


def _load(state: TrainingState, tensors: Weights, progress: Progress, ranks: Ranks) -> None:
    device = state.model.output.weight.device
    optimizer = state.optimizer.state_dict()
    optimizer["state"] = _moments(_under(tensors, "optimizer."))
    state.model.load_state_dict(_under(tensors, "model."))
    state.optimizer.load_state_dict(optimizer)
    # A row of a tensor will not do: torch reads the state from where the tensor's memory begins.
    torch.set_rng_state(tensors["random.cpu"][ranks.rank].clone())
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"][ranks.rank].clone())
    state.average = {name: tensor.to(device) for name, tensor in _under(tensors, "average.").items()}
    state.best_weights = _under(tensors, "best.")
    rows = ranks.rows(tensors["carried.0"].shape[1])
    state.carried = tuple(
        tensors[f"carried.{index}"][:, rows].contiguous().to(device) for index in range(len(state.carried))
    )
    state.progress = progress


def _under(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(tensors: Weights) -> dict[int, dict[str, Tensor]]:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    return moments
