"""Where jobs and endpoints of this machine are kept, and the record that stands in the folder of each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import platformdirs
from pydantic import BaseModel, ValidationError

from charloom.errors import StorageError, UsageError
from charloom.files import atomic_write, storage_errors
from charloom.sagemaker.names import checked_name

HOME = "CHARLOOM_HOME"
"""The folder of jobs and endpoints, where it is not to be the user's state folder."""

Kind = Literal["jobs", "endpoints"]

_RECORD = "record.json"
_LIMIT = 4 << 20  # bytes; a hundred hyperparameters of 2,500 characters are far less

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def home() -> Path:
    """The folder that everything here is kept in: `$CHARLOOM_HOME`, or charloom's in the user's state folder."""
    chosen = os.environ.get(HOME)
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_state_path("charloom")


def folder_of(kind: Kind, name: str) -> Path:
    """The folder of one job or endpoint, there or not.

    Raises:
        UsageError: SageMaker would not allow that name.
    """
    return home() / kind / checked_name(name, kind[:-1])


def made_folder(kind: Kind, name: str) -> Path:
    """The folder of one job or endpoint, made if it is not there; nobody else may look into it.

    Raises:
        UsageError: SageMaker would not allow that name.
        StorageError: it cannot be made.
    """
    folder = folder_of(kind, name)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def recorded(kind: Kind) -> list[str]:
    """The names of all jobs or endpoints that have a record, in order."""
    return sorted(path.parent.name for path in (home() / kind).glob(f"*/{_RECORD}"))


def write_record(folder: Path, record: BaseModel) -> None:
    """Write the record of a job or endpoint, whole.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_write(folder / _RECORD) as file:
        file.write(record.model_dump_json(indent=1).encode())


def read_record(folder: Path, kind: type[AnyRecord]) -> AnyRecord | None:
    """The record in a folder, or None where there is none.

    Raises:
        StorageError: it is damaged.
    """
    path = folder / _RECORD
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise ValueError("too large")
        return kind.model_validate_json(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError):
        raise StorageError(f"{path} is damaged, or cannot be read: remove the folder {folder}") from None


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the folder of a job or endpoint to ourselves inside the block; the system lets go of it if we are killed.

    Raises:
        UsageError: another process holds it.
    """
    import fcntl  # not on every system, and only what runs here needs it

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"{folder.name}: another command works on it just now; wait for it, or give another --name"
            ) from None
        yield
    finally:
        os.close(descriptor)
