"""The folders that charloom writes: which it may write into, and one writer at a time in each.

A folder is charloom's own by a record in it: `config.json` of a model, `training/run.json` of a run, `corpus.json` of
a prepared corpus. The names of other files say nothing: any project may have a `README.md`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from charloom.errors import StorageError
from charloom.events import Notice, Notify, ignore
from charloom.files import TEMPORARY_SUFFIX, link_to_nothing, storage_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG: Final = "config.json"
TRAINING: Final = "training"
RUN: Final = "run.json"
METRICS: Final = "metrics.jsonl"
MLFLOW_RUN: Final = "mlflow.json"  # which MLflow run a resumed training goes on with
BEST: Final = "best"  # in `training/`: the best weights of an unfinished run, where the folder holds another model
CORPUS_RECORD: Final = "corpus.json"
CORPUS_IDS: Final = "ids.bin"

_RECORD_LIMIT = 64 << 20  # bytes; a run's record holds a vocabulary
CHECKPOINT: Final = re.compile(r"checkpoint-(\d{12})\.safetensors")
_TEMPORARY = re.compile(rf"\.(?P<name>.+)\.(?P<pid>\d{{1,10}}){re.escape(TEMPORARY_SUFFIX)}")
# Without O_NONBLOCK, opening a named pipe would wait for somebody to write into it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    Attributes:
        model: a model, whole or half replaced.
        run: an unfinished training run.
        corpus: a prepared corpus, whole or half replaced.
        others: there are files, and none of the three; hidden files do not count.
    """

    model: bool = False
    run: bool = False
    corpus: bool = False
    others: bool = False


def contents_of(folder: Path) -> Contents:
    """Look into a folder, which need not exist.

    Raises:
        StorageError: it cannot be looked into.
    """
    with storage_errors(folder):
        if not folder.is_dir():
            return Contents()
        model, corpus, run = bool(model_records(folder)), _holds_corpus(folder), holds_run(folder)
        seen = any(not path.name.startswith(".") for path in folder.iterdir())
        return Contents(model, run, corpus, others=seen and not (model or run or corpus))


def why_not(
    folder: Path, purpose: Literal["model", "prepared corpus"], *, overwrite: bool, resume: bool = False
) -> str | None:
    """Why charloom may not write a model or a prepared corpus into the folder; None where it may.

    It may write where nothing is, and with `overwrite` or `resume` where something of the same kind is.

    Raises:
        StorageError: the folder cannot be looked into.
    """
    with storage_errors(folder):
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file: name a folder for the {purpose}"
        sentence = link_to_nothing(folder)
    if sentence is not None:
        return sentence
    found, another = contents_of(folder), f"choose another folder for the {purpose}"
    if found.others:
        return f"{folder} holds other files, which are not charloom's: {another}"
    if purpose == "model" and found.corpus:
        return f"{folder} holds a prepared corpus: {another}"
    if purpose == "prepared corpus" and (found.model or found.run):
        return f"{folder} holds a model and other files: {another}"
    in_the_way = _in_the_way_of_a_run(folder / TRAINING, found.run) if purpose == "model" else None
    if in_the_way is not None:
        return f"{in_the_way} would be replaced, and it is not charloom's: move it elsewhere, or {another}"
    if overwrite or resume or found == Contents():
        return None
    what = "an unfinished training run" if found.run else f"a {purpose}"
    go_on = ", --resume to continue it" if found.run else ""
    return f"{folder} already holds {what}: choose another folder{go_on}, or --overwrite to replace it"


def model_records(folder: Path) -> list[Mapping[str, Any]]:
    """What the folder's `config.json` says, and those beside it: set aside, or about to take its place."""
    return [record for path in _record_and_others(folder, CONFIG) if _is_model(record := _read(path))]


def holds_run(folder: Path) -> bool:
    """Whether an unfinished training run is in the folder: its record, or a checkpoint.

    Raises:
        OSError: the folder cannot be looked into.
    """
    training = folder / TRAINING
    if not training.is_dir():
        return False
    settings = _read(training / RUN).get("settings")
    return isinstance(settings, dict) or any(CHECKPOINT.fullmatch(path.name) for path in training.iterdir())


def holds_prepared(folder: Path) -> bool:
    """Whether the folder holds a prepared corpus, or what is left of one."""
    return (folder / CORPUS_RECORD).is_file() or (folder / CORPUS_IDS).is_file()


def _in_the_way_of_a_run(training: Path, holds_run: bool) -> Path | None:
    """What a run would replace in the folder of its checkpoints, and no run of charloom's wrote there."""
    names = () if holds_run else (RUN, METRICS, MLFLOW_RUN)
    best = training / BEST
    with storage_errors(training):
        if os.path.lexists(best) and (not best.is_dir() or (_holds_files(best) and not model_records(best))):
            return best
        return next((training / name for name in names if os.path.lexists(training / name)), None)


def _holds_files(folder: Path) -> bool:
    """Whether a folder has files that are not hidden, as what charloom left half written is."""
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _holds_corpus(folder: Path) -> bool:
    return any(_is_corpus(_read(path)) for path in _record_and_others(folder, CORPUS_RECORD))


def _record_and_others(folder: Path, name: str) -> list[Path]:
    return [folder / name, *(path for path in temporaries(folder) if path.name.startswith(f".{name}."))]


def _is_model(record: Mapping[str, Any]) -> bool:
    return _has_version(record) and all(isinstance(record.get(name), dict) for name in ("model", "corpus", "files"))


def _is_corpus(record: Mapping[str, Any]) -> bool:
    files = record.get("files")
    return _has_version(record) and isinstance(files, dict) and CORPUS_IDS in files


def _has_version(record: Mapping[str, Any]) -> bool:
    version = record.get("format_version")
    return type(version) is int and version >= 1


def _read(path: Path) -> Mapping[str, Any]:
    """A JSON object in a regular file; an empty one where there is none."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return {}
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor has no path)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _RECORD_LIMIT:
            return {}
        try:
            data = json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            return {}
    return data if isinstance(data, dict) else {}


def temporaries(folder: Path) -> list[Path]:
    """The files and folders that charloom writes under other names first, or left so when it was killed."""
    try:
        return sorted(path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name))
    except OSError:
        return []


def sweep(folder: Path, *, only: str | None = None, records: bool = False) -> None:
    """Remove what killed processes left half written in a folder; what a living process writes stays.

    While a model or a corpus is half replaced, the records beside it say which files are charloom's: they stay.

    Args:
        folder: where to look.
        only: the name that was to be written, where the folder is not charloom's own.
        records: remove those records too.

    Raises:
        StorageError: something cannot be removed.
    """
    for path in temporaries(folder):
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or (only is not None and match["name"] != only) or _writes_still(int(match["pid"])):
            continue
        if not records and _is_needed(path):
            continue
        with storage_errors(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _is_needed(path: Path) -> bool:
    """Whether a temporary file is the record of a model or a corpus whose own record is not in its place."""
    return any(
        path.name.startswith(f".{name}.") and not (path.parent / name).exists() and is_record(_read(path))
        for name, is_record in ((CONFIG, _is_model), (CORPUS_RECORD, _is_corpus))
    )


def _writes_still(pid: int) -> bool:
    """Whether another process of that number is alive. This one sweeps before it writes."""
    if pid == os.getpid():
        return False
    if os.name != "posix":  # there, asking would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class FolderLock:
    """A folder kept to one writer. The system lets go of it when the process ends, however it ends.

    The folder itself is locked, so no file is left in it. Where the system or the disk has no locks, that is said and
    nothing is locked.
    """

    def __init__(self, folder: Path, notify: Notify = ignore) -> None:
        """Nothing is locked before `take`."""
        self.folder = folder
        self._notify = notify
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take(self) -> bool:
        """Lock the folder if it exists and is not locked by this object already; whether it was locked now.

        Raises:
            StorageError: another process writes there, or the folder cannot be opened.
        """
        if fcntl is None or self._descriptor is not None:
            return False
        with storage_errors(self.folder):
            if not self.folder.is_dir():
                return False
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), self.folder.stat()):
                raise BlockingIOError  # the folder was replaced by another while this process opened it
        except BlockingIOError:
            os.close(descriptor)
            raise StorageError(
                f"another charloom process is writing into {self.folder}: wait for it, or choose another folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            why = f"{self.folder} cannot be locked ({error.strerror})"
            self._notify(Notice(f"{why}: see that no other charloom process writes into it"))
            return False
        self._descriptor = descriptor
        return True

    def lost(self) -> str | None:
        """The sentence about a locked folder that is not under its name any more; None where it is, or is unlocked."""
        if self._descriptor is None:
            return None
        held = os.fstat(self._descriptor)
        try:
            if os.path.samestat(held, self.folder.stat()):
                return None
        except FileNotFoundError:
            if held.st_nlink == 0:  # it was removed, and nothing is in its place
                return None
        except OSError:
            return None
        place = self._found(held)
        return f"{self.folder} was moved while it was written to" + ("" if place is None else f", to {place}")

    def _found(self, held: os.stat_result) -> Path | None:
        """Where the locked folder is now, if the system says so."""
        with contextlib.suppress(OSError):
            place = Path(f"/proc/self/fd/{self._descriptor}").readlink()
            return place if os.path.samestat(held, place.stat()) else None
        return None


@contextlib.contextmanager
def claim_folder(folder: Path, check: Callable[[], None], notify: Notify = ignore) -> Iterator[None]:
    """The folder, made and locked inside the block; what was made and is empty at the end goes again.

    Args:
        folder: the folder.
        check: raises an error if it may not be written; called before it is made, and when it is locked.
        notify: receives a notice where it cannot be locked.

    Raises:
        StorageError: it cannot be made, or another process writes there.
    """
    check()
    with storage_errors(folder):
        absent = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FolderLock(folder, notify) as lock:
            lock.take()
            check()
            sweep(folder)
            yield
            sweep(folder)
    finally:
        if absent:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
