"""Models on the Hugging Face Hub, `hf://user/name[@revision]`, fetched into the hub's own cache.

`config.json` comes first: it says whether this is a charloom model, and which files belong to it. No other file is
fetched. Where they are in the cache already, no network is needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.bundle.config import CONFIG, parse_config
from charloom.bundle.open_files import OpenFiles
from charloom.display import visible
from charloom.errors import CharloomError, HubError, MissingExtraError, UsageError
from charloom.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_BEGINS = re.compile(r"hf:(?:/|$)")  # of a path, `hf://` has become `hf:/`
_NAME = r"[A-Za-z0-9](?:[\w.-]*\w)?"
_ADDRESS = re.compile(rf"hf://?(?P<repository>{_NAME}/{_NAME})(?:@(?P<revision>{_NAME}(?:/{_NAME})*))?", re.ASCII)
_CONFIG_LIMIT = 1 << 20  # bytes
_OTHERS_LIMIT = 1 << 30  # bytes of the files beside the network's own
_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",  # what went wrong is said here, in one line
}
_LOG_IN = "log in with hf auth login, or set HF_TOKEN"


@dataclass(frozen=True)
class HubAddress:
    """Where on the hub a model is.

    Attributes:
        repository: `user/name`.
        revision: a branch, tag or commit; None: `main`.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str | Path) -> HubAddress | None:
        """Read an address; None where the text is a path.

        Raises:
            UsageError: it begins as an address does, and is not one.
        """
        typed = text.as_posix() if isinstance(text, Path) else str(text)
        if not _BEGINS.match(typed):
            return None
        found = _ADDRESS.fullmatch(typed)
        if found is None or re.search(r"--|\.\.|\.git(?:$|@)", typed):
            whole = typed if typed.startswith("hf://") else typed.replace("hf:/", "hf://", 1)
            raise UsageError(f"{whole} is not a valid address: write hf://user/name, or hf://user/name@revision")
        return cls(found["repository"], found["revision"])

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.repository.partition("/")[2]

    def __str__(self) -> str:
        """The address, as one types it."""
        return f"hf://{self.repository}" + ("" if self.revision is None else f"@{self.revision}")


def fetch(address: HubAddress) -> tuple[Path, HubAddress]:
    """The folder in the hub's cache with a model's files, and the address with the commit they are of.

    Raises:
        HubError: the hub cannot be reached or refuses, or what is there is not a charloom model.
        MissingExtraError: the library for the hub is not installed.
    """
    require_library()
    folder = _file(address, CONFIG).parent
    config = parse_config(OpenFiles(folder, ()).read(CONFIG, _CONFIG_LIMIT), f"{address}: {CONFIG}")
    fixed = HubAddress(address.repository, folder.name)
    with hub_errors(address):
        sizes = {name: size for name in config.files if (size := _size_to_fetch(fixed, name))}
    if any(size > 8 * config.model.parameters + _OTHERS_LIMIT for size in sizes.values()):
        raise HubError(f"{address} is not fetched: its files are larger than those of such a model can be")
    if sizes:
        megabytes = sum(sizes.values()) / 1e6
        logging.getLogger("charloom.hub").info("fetching %s from the hub: %.1f MB", address, megabytes)
    for name in config.files:
        _file(fixed, name)
    return folder, fixed


def require_library() -> None:
    """See that huggingface_hub is installed, and that it sends no telemetry.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise MissingExtraError("a model on the hub (hf://)", "hub") from None


def hub_api() -> HfApi:
    """The hub's interface."""
    from huggingface_hub import HfApi

    return HfApi(library_name="charloom", library_version=__version__)


def _file(address: HubAddress, name: str) -> Path:
    """A file in the cache, fetched if it is not there."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        with hub_errors(address):
            return Path(_download(address, name))
    except HubError as error:
        if isinstance(error.__cause__, RemoteEntryNotFoundError):
            what = "is not a charloom model" if name == CONFIG else "is incomplete"
            raise HubError(f"{address} {what}: there is no {name} in it") from None
        raise


def _size_to_fetch(address: HubAddress, name: str) -> int:
    """The bytes of a file that is not in the cache; 0 where it is, or where it is not on the hub either."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        plan = _download(address, name, dry_run=True)
    except EntryNotFoundError:
        return 0
    return int(plan.file_size) if plan.will_download else 0


def _download(address: HubAddress, name: str, **options: Any) -> Any:
    from huggingface_hub import hf_hub_download

    return hf_hub_download(
        address.repository,
        name,
        revision=address.revision,
        library_name="charloom",
        library_version=__version__,
        **options,
    )


@contextlib.contextmanager
def hub_errors(address: HubAddress) -> Iterator[None]:
    """Turn what the hub or the network refuses into one clear line.

    Raises:
        HubError: for anything that the hub's library raises inside the block.
    """
    try:
        yield
    except (CharloomError, MemoryError):
        raise
    except Exception as error:  # the library and the HTTP client under it raise families of their own
        raise HubError(_explain(error, address)) from error


def _explain(error: Exception, address: HubAddress) -> str:
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return f"{address} is open only to those whom its owner admits: ask on its page, and {_LOG_IN}"
        case errors.RepositoryNotFoundError():
            return f"there is no {address} on the hub, or it is private: look at the address, or {_LOG_IN}"
        case errors.RevisionNotFoundError():
            return f"there is no revision {address.revision or 'main'} of hf://{address.repository}"
        case errors.HfHubHTTPError():
            return _explain_status(error.response.status_code, error.server_message, address)
        case errors.OfflineModeIsEnabled():
            return f"{address}: HF_HUB_OFFLINE is set, and this needs the hub; unset it"
        case errors.LocalEntryNotFoundError():
            return _explain_absence(error, address)
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests"):
        return f"{address}: the hub cannot be reached; look at the network, and at HF_ENDPOINT if that is set"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{address}: {' '.join(visible(reason).split())}"


def _explain_absence(error: BaseException, address: HubAddress) -> str:
    from huggingface_hub import errors

    cause = error.__cause__
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return f"{address} is not in the cache, and HF_HUB_OFFLINE is set: unset it to fetch the model"
    if isinstance(cause, errors.HfHubHTTPError):
        return _explain_status(cause.response.status_code, cause.server_message, address)
    return (
        f"{address} is not in the cache, and the hub cannot be reached: look at the network, "
        f"and at HF_ENDPOINT if that is set"
    )


def _explain_status(status: int, reason: str | None, address: HubAddress) -> str:
    said = "" if not reason else f" ({' '.join(visible(reason).split())})"
    if status == 401:
        return f"{address}: the hub does not accept the token{said}: {_LOG_IN}"
    if status == 403:
        return f"{address}: the hub refuses{said}: use a token that may do this, from the settings of your account"
    if status == 429 or status >= 500:
        return f"{address}: the hub answers {status}{said}: try again later"
    return f"{address}: the hub answers {status}{said}"
