"""What a user has named as a model or a corpus, recognized once and carried as what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from charloom.bundle import HubAddress, ModelDirectory, open_model_directory
from charloom.errors import ModelDirectoryError, UsageError
from charloom.files import expand_home, storage_errors
from charloom.sagemaker.names import S3Uri, check_name, is_s3
from charloom.text.sources import list_specs

_GZIP = b"\x1f\x8b"

Corpus = str | Path | Sequence[str | Path]
"""One text or several, as a user names them."""


@dataclass(frozen=True)
class ModelSource:
    """A model.

    Attributes:
        text: as it was named.
        place: a path of a model directory or an archive, the address of an archive in S3, or a job's name.
        directory: the model directory, opened, where it is one.
    """

    text: str
    place: Path | S3Uri | str
    directory: ModelDirectory | None = None

    @classmethod
    def parse(cls, model: str | Path) -> ModelSource:
        """Recognize a model, without asking Amazon."""
        text, path = str(model), expand_home(model)
        if is_s3(text):
            return cls(text, _archive_uri(text))
        if (address := HubAddress.parse(model)) is not None:
            directory = open_model_directory(model)
            return cls(str(address), directory.path, directory)
        if not text:
            raise UsageError("the model has an empty name: is it a shell variable that is not set?")
        with contextlib.suppress(OSError):  # too long for a path
            if path.is_dir():
                return cls(text, path, open_model_directory(path))
            if path.is_file():
                _check_archive(path)
                return cls(text, path)
        with contextlib.suppress(UsageError):
            return cls(text, check_name(text, "job"))
        raise ModelDirectoryError(
            f"{text}: no such model directory or archive; the name of a training job or an address in S3 works too"
        )

    @property
    def stem(self) -> str:
        """What is made from it may be called after this."""
        if isinstance(self.place, S3Uri):
            folders = [part for part in self.place.key.split("/")[:-1] if part not in ("", "output")]
            return folders[-1] if folders else "charloom"
        if self.directory is not None and self.directory.address is not None:
            return self.directory.name
        name = self.place if isinstance(self.place, str) else self.place.absolute().name
        return name.removesuffix(".tar.gz").removesuffix(".tgz") or "charloom"


def _archive_uri(text: str) -> S3Uri:
    uri = S3Uri.parse(text)
    if not uri.key.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{uri} is not an archive such as s3://bucket/folder/model.tar.gz")
    return uri


def _check_archive(path: Path) -> None:
    with storage_errors(path), path.open("rb") as file:
        begins = file.read(len(_GZIP))
    if begins != _GZIP:
        raise ModelDirectoryError(f"{path} is no archive: give a model directory, or its model.tar.gz")


@dataclass(frozen=True)
class CorpusSource:
    """What a job is trained on.

    Attributes:
        specs: the texts, as they were named.
        uri: where they are in S3 already; None: they are prepared and sent from here.
    """

    specs: tuple[str, ...]
    uri: S3Uri | None = None

    @classmethod
    def parse(cls, corpus: Corpus) -> CorpusSource:
        """Recognize a corpus."""
        specs = tuple(list_specs(corpus))
        if "" in specs:
            raise UsageError("a text has an empty name: is it a shell variable that is not set?")
        if not specs:
            raise UsageError("name a corpus to train on: an address in S3, or what charloom train takes")
        if not any(map(is_s3, specs)):
            return cls(specs)
        if len(specs) > 1:
            raise UsageError("an address in S3 must be named alone: a folder there may hold several texts")
        return cls(specs, S3Uri.parse(specs[0]))


Origin = Path | S3Uri
"""The model that a training starts from: its directory, or the address of one or of an archive."""


def parse_origin(model: str | Path | None) -> Origin | None:
    """Recognize the model to start from; None where the training starts from nothing."""
    if model is None:
        return None
    if isinstance(model, str) and is_s3(model):
        return S3Uri.parse(model)
    directory = open_model_directory(model)
    directory.sound_files()
    return directory.path
