"""Corpora that have a name.

`names` comes with charloom, `python-docs` is inside every CPython, `tiny-shakespeare` is fetched once.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import platformdirs

from charloom.errors import CorpusError, StorageError
from charloom.events import DownloadProgress, Notify
from charloom.files import atomic_write, sha256_of_file, storage_errors

BUILT_IN = "built-in:"
"""Before a name: the corpus that comes with charloom, whatever the user's own files are called."""
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16


@dataclass(frozen=True)
class NamedCorpus:
    """A corpus anyone can ask for by name.

    Attributes:
        name: the name.
        description: what it is, in a few words.
        source: what a model records: the name, and the Python it came from where its text depends on that.
        read: gives its bytes.
    """

    name: str
    description: str
    source: str
    read: Callable[[Notify], bytes]


@dataclass(frozen=True)
class Download:
    """A file on the web, known by its checksum; `size` is in bytes."""

    name: str
    address: str
    sha256: str
    size: int


TINY_SHAKESPEARE = Download(
    name="tiny-shakespeare",
    address="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    size=1_115_394,
)


def cache_folder() -> Path:
    """Where downloads are kept: `$CHARLOOM_CACHE`, or the user's cache folder.

    Raises:
        StorageError: the user has no home.
    """
    if chosen := os.environ.get("CHARLOOM_CACHE"):
        return Path(chosen)
    try:
        return platformdirs.user_cache_path("charloom")
    except RuntimeError:
        raise StorageError("this user has no home to keep files in: set CHARLOOM_CACHE to a folder") from None


def read_names(notify: Notify) -> bytes:
    """The list of first names in this package; where it is from, and its licence, are in `names.LICENSE` beside it."""
    return gzip.decompress((resources.files("charloom") / "corpora" / "names.txt.gz").read_bytes())


def read_python_docs(notify: Notify) -> bytes:
    """The documentation text inside this Python (`pydoc_data.topics`), topics in name order."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise CorpusError(
            "python-docs is the text of pydoc_data.topics, which this Python lacks; "
            "name a text file instead, or use a Python from python.org"
        ) from None
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def read_download(download: Download, notify: Notify) -> bytes:
    """The file's bytes, fetched on first use into the cache and verified every time."""
    cached = cache_folder() / f"{download.name}.txt"
    if not (cached.is_file() and sha256_of_file(cached) == download.sha256):
        with storage_errors(cached):
            cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as file:
            file.write(_fetch(download, notify))
    return cached.read_bytes()


def _fetch(download: Download, notify: Notify) -> bytes:
    from smart_open import open as smart_open
    from urllib3.exceptions import HTTPError

    content = bytearray()
    try:
        with smart_open(
            download.address, "rb", compression="disable", transport_params={"timeout": DOWNLOAD_TIMEOUT}
        ) as remote:
            while chunk := remote.read(_CHUNK):
                content += chunk
                notify(DownloadProgress(download.name, len(content), download.size))
                if len(content) > download.size:
                    break
    except (OSError, HTTPError):  # HTTPError: the connection broke while the content came
        raise CorpusError(
            f"cannot download {download.name} from {download.address}: no connection, or it is not there; "
            f"fetch it elsewhere and give its path, or use python-docs, which needs no network"
        ) from None
    if hashlib.sha256(content).hexdigest() != download.sha256:
        raise CorpusError(
            f"what came from {download.address} is not {download.name} (its checksum differs); "
            f"nothing was kept; fetch it elsewhere and give its path"
        )
    return bytes(content)


NAMED: dict[str, NamedCorpus] = {
    corpus.name: corpus
    for corpus in (
        NamedCorpus("names", "32,033 first names from the US, one a line (no network)", "names", read_names),
        NamedCorpus(
            "python-docs",
            f"the documentation inside Python {sys.version_info.major}.{sys.version_info.minor} (no network)",
            f"python-docs (Python {platform.python_version()})",
            read_python_docs,
        ),
        NamedCorpus(
            "tiny-shakespeare",
            "1,115,394 characters of Shakespeare's plays (downloaded once)",
            "tiny-shakespeare",
            lambda notify: read_download(TINY_SHAKESPEARE, notify),
        ),
    )
}


def named_corpus(spec: str) -> NamedCorpus | None:
    """The corpus with a name that `spec` means; a file or folder of the user's that is called so comes first."""
    if spec.startswith(BUILT_IN):
        return NAMED.get(spec.removeprefix(BUILT_IN))
    return None if spec in NAMED and os.path.lexists(spec) else NAMED.get(spec)


def built_in(name: str) -> str:
    """How to write the name of a corpus here so that it is the one that comes with charloom."""
    return name if named_corpus(name) else BUILT_IN + name
