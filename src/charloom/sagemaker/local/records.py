"""Jobs and endpoints on this machine: their records, processes, environment and log files.

A process is identified by its id and the moment it began, so that a recycled id is not mistaken for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, TypeVar

import platformdirs
from pydantic import BaseModel, Field, ValidationError

from charloom.errors import StorageError, UsageError
from charloom.files import atomic_write, expand_home, storage_errors
from charloom.sagemaker.names import check_name

HOME = "CHARLOOM_HOME"
"""The folder of jobs and endpoints, where it is not to be the user's state folder."""

Kind = Literal["jobs", "endpoints"]

_RECORD = "record.json"
_LIMIT = 4 << 20  # bytes; a hundred hyperparameters of 2,500 characters are far less

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)

_TICK = 0.05  # seconds
_OTHERS = ("SM_", "SAGEMAKER_", "CHARLOOM_SERVE_", "TORCHELASTIC_")
_OTHER_NAMES = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TRAINING_JOB_NAME"})
LOG = "log.txt"
_TAIL = 1 << 20  # bytes of a log that are shown, at most
_CHUNK = 1 << 16
_LONGEST = 1 << 16  # bytes of one line


def home() -> Path:
    """The folder that everything here is kept in: `$CHARLOOM_HOME`, or charloom's in the user's state folder.

    Raises:
        StorageError: the user has no home.
    """
    if chosen := os.environ.get(HOME):
        return expand_home(chosen).absolute()
    try:
        return platformdirs.user_state_path("charloom")
    except RuntimeError:
        raise StorageError(f"this user has no home to keep files in: set {HOME} to a folder") from None


def folder_of(kind: Kind, name: str) -> Path:
    """The folder of one job or endpoint, there or not."""
    return home() / kind / check_name(name, kind[:-1])


def make_folder(kind: Kind, name: str) -> Path:
    """The folder of one job or endpoint, made if it is not there; no other user may look into it."""
    folder = folder_of(kind, name)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def recorded_names(kind: Kind) -> list[str]:
    """The names of all jobs or endpoints that have a record, in order."""
    return sorted(path.parent.name for path in (home() / kind).glob(f"*/{_RECORD}"))


def write_record(folder: Path, record: BaseModel) -> None:
    """Write the record of a job or endpoint, whole."""
    with atomic_write(folder / _RECORD) as file:
        file.write(record.model_dump_json(indent=1).encode())


def read_record(folder: Path, kind: type[AnyRecord]) -> AnyRecord | None:
    """The record in a folder, or None where there is none."""
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
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep the folder of a job or endpoint to ourselves inside the block; the system lets go of it if we are killed."""
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


# Our own children, so that those that have ended differ from those that run.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Process(BaseModel):
    """A process, such that another one that got its id after it is not taken for it.

    Attributes:
        pid: its id, which is its group's and its session's too.
        began: the moment that it began, in the system's own words.
    """

    pid: int = Field(gt=1)  # 0 and below mean groups, 1 is everybody's parent
    began: str

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        child = _children.get(self.pid)
        if child is not None:
            return child.poll() is None
        return _began(self.pid) == self.began

    def status(self) -> int | None:
        """The exit status of a child of ours that has ended (minus the signal that ended it); None if unknown."""
        child = _children.get(self.pid)
        return None if child is None else child.poll()

    def terminate(self) -> None:
        """Ask it to end. Its children are its own to end: a second signal would mean "at once" to some."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self, patience: float) -> None:
        """Ask it to end, wait `patience` seconds for that, then end it and all of its group."""
        if not self.alive:
            return
        self.terminate()
        deadline = time.monotonic() + patience
        while self.alive and time.monotonic() < deadline:
            time.sleep(_TICK)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: the group may be of zombies only
            os.killpg(self.pid, signal.SIGKILL)
        while self.alive:
            time.sleep(_TICK)


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: IO[bytes], log: IO[bytes]
) -> Process:
    """Start a process in a session of its own: what the terminal sends to us does not reach it."""
    child = subprocess.Popen(
        list(command),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=log,
        start_new_session=True,
    )
    _children[child.pid] = child
    return Process(pid=child.pid, began=_began(child.pid) or "")


def this_process() -> Process:
    """The one that asks."""
    return Process(pid=os.getpid(), began=_began(os.getpid()) or "")


def _began(pid: int) -> str | None:
    """When the process of this id began; None where there is none, or it has ended and waits to be noticed."""
    try:
        # After the name, which may hold anything: the state, then the 20th field is the start in ticks since boot.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _began_by_ps(pid)
    if fields[0] in ("Z", "X"):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{fields[19]} {boot.read_text().strip() if boot.exists() else ''}".strip()


def _began_by_ps(pid: int) -> str | None:
    """The same where there is no /proc, as on macOS."""
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = listed.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()


def container_environment(more: Mapping[str, str], *paths: str) -> dict[str, str]:
    """This process's environment without what would not be there in a container, and with `more`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_OTHERS) and name not in _OTHER_NAMES
    }
    # The process will start in another folder, where a relative path would lead elsewhere.
    given = [os.path.abspath(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    if paths or given:
        kept["PYTHONPATH"] = os.pathsep.join([*paths, *given])
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", **more}


def last_lines(path: Path, limit: int = 10_000) -> list[str]:
    """The last lines of a log, at most `limit` and those in its last megabyte; none where there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            content = file.read(_TAIL)
    except OSError:
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    return lines[-limit:] if size <= _TAIL else lines[1:][-limit:]


class LogFollower:
    """A log that another process writes: `lines` gives those that have come since the last time."""

    def __init__(self, path: Path) -> None:
        """Begin at what is its end now."""
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""

    def lines(self, *, last: bool = False) -> Iterator[str]:
        """The whole lines that have come; with `last` also one that has no end."""
        for line in self._lines():
            yield line.decode("utf-8", "replace").rstrip("\r\n")
        if last and self._rest:
            yield self._rest.decode("utf-8", "replace")
            self._rest = b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _lines(self) -> Iterator[bytes]:
        while chunk := self._file.read(_CHUNK):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            yield from lines
            if len(self._rest) > _LONGEST:
                yield self._rest
                self._rest = b""
