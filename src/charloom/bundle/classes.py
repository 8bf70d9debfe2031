"""`classes.json`: a folder of models, one a class, which `charloom train --classes` writes and `classify` reads.

A set that replaces another is trained in a folder within, `NEW`. When it is whole, its record takes the place of the
old one's. From then on it is the folder's: a class's model is in `NEW` until it has moved to its place.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from charloom.bundle.config import CONFIG, parse_json
from charloom.bundle.reading import open_model_directory
from charloom.bundle.writing import copy_model, remove_model
from charloom.errors import ModelDirectoryError
from charloom.files import atomic_write, storage_errors
from charloom.folders import holds_run
from charloom.text.classes import is_class_name
from charloom.wrong_values import explain, shorten

CLASSES: Final = "classes.json"
CLASSES_VERSION: Final = 1
NEW: Final = ".new"  # the folder of the set that is to replace the one beside it
_LIMIT = 16 << 20  # bytes of a `classes.json`


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)


class ClassRecord(_Record):
    """One class: its model is in the folder of its name."""

    name: str = Field(min_length=1, max_length=255)
    lines: int = Field(ge=0, description="of its text that are not empty: what --prior sizes goes by")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of its text")

    @field_validator("name")
    @classmethod
    def _is_a_folders_name(cls, name: str) -> str:
        if not is_class_name(name) or name == CLASSES:
            raise ValueError("must be the name of a folder beside it")
        return name


class ClassesRecord(_Record):
    """The content of `classes.json`."""

    format_version: int = CLASSES_VERSION
    library_version: str
    recipe: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="settings that all models are trained with")
    classes: list[ClassRecord] = Field(min_length=2)
    trained: list[str] = Field(description="the models that are finished, that of all classes together included")
    under_way: str | None = Field(None, description="the model that is being trained")
    moving: bool = Field(False, description="whether models have yet to move from NEW to their places")
    former: list[ClassRecord] = Field([], description="classes of the set before, whose models have yet to go")

    @property
    def finished(self) -> bool:
        """Whether every class has its model."""
        return all(one.name in self.trained for one in self.classes)


def holds_classes(folder: Path) -> bool:
    """Whether the folder holds models of classes, or the beginning of them."""
    return (folder / CLASSES).is_file()


def read_classes(folder: Path) -> ClassesRecord:
    """Read a folder's `classes.json`, trusting nothing in it.

    Raises:
        ModelDirectoryError: it is damaged, or of a later version.
    """
    path = folder / CLASSES
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise ModelDirectoryError(f"cannot read {path}: {error.strerror or error}") from None
    data = parse_json(content[: _LIMIT + 1], str(path))
    version = data.get("format_version") if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise ModelDirectoryError(f"{path} is another program's: its format_version is {shorten(version)}")
    if version > CLASSES_VERSION:
        raise ModelDirectoryError(f"{path} has format version {shorten(version)}: upgrade with pip install -U charloom")
    try:
        record = ClassesRecord.model_validate(data)
    except ValidationError as error:
        raise ModelDirectoryError(f"{path} is damaged: {explain(error, in_file=True)}") from None
    if len({one.name for one in record.classes}) != len(record.classes):
        raise ModelDirectoryError(f"{path} is damaged: it names a class twice")
    return record


def write_classes(folder: Path, record: ClassesRecord) -> None:
    """Write `classes.json`, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_write(folder / CLASSES) as file:
        file.write((record.model_dump_json(indent=2) + "\n").encode())


def model_folder(folder: Path, record: ClassesRecord, name: str) -> Path:
    """Where a class's model is."""
    new = folder / NEW / name
    return new if record.moving and (new / CONFIG).is_file() else folder / name


def former_classes(folder: Path, names: Collection[str]) -> list[ClassRecord]:
    """The classes whose models charloom wrote into a folder and that a set of the given names leaves without use."""
    if not holds_classes(folder):
        return []
    record = read_classes(folder)
    return [one for one in (*record.classes, *record.former) if one.name not in names]


def replace_classes(folder: Path) -> None:
    """Make the set in `NEW`, which is whole, the folder's own: killed at any time, it leaves the old set or the new.

    Raises:
        StorageError: it cannot be written.
    """
    record = read_classes(folder / NEW)
    former = former_classes(folder, [one.name for one in record.classes])
    write_classes(folder, record.model_copy(update={"moving": True, "former": former}))
    finish_replacement(folder)


def finish_replacement(folder: Path) -> None:
    """Move the models in `NEW` of a set that replaces another to their places, and remove those of former classes.

    What a killed process left undone is done; what people wrote into the folder of an old model stays.

    Raises:
        StorageError: they cannot be moved.
    """
    new = folder / NEW
    if not holds_classes(folder):
        return
    record = read_classes(folder)
    with storage_errors(folder):
        if record.moving:
            (new / CLASSES).unlink(missing_ok=True)
            for one in record.classes:
                if (new / one.name / CONFIG).is_file():
                    (folder / one.name).mkdir(exist_ok=True)
                    copy_model(open_model_directory(new / one.name), folder / one.name)
                    (new / one.name / CONFIG).unlink()
        if record.moving or (record.former and record.finished):
            for former in record.former:
                _remove_former(folder, record, former)
            write_classes(folder, record.model_copy(update={"moving": False, "former": []}))
        if new.is_dir() and not holds_classes(new):
            shutil.rmtree(new)


def _remove_former(folder: Path, record: ClassesRecord, former: ClassRecord) -> None:
    """Remove a class's model, unless the folder has another by now, or is that of a present class in another case."""
    path = folder / former.name
    if path.is_symlink() or not (path / CONFIG).is_file() or holds_run(path):
        return
    if any((folder / one.name).is_dir() and path.samefile(folder / one.name) for one in record.classes):
        return
    with contextlib.suppress(ModelDirectoryError):  # what cannot be read is not known to be ours
        if open_model_directory(path).config.corpus.sha256 == former.sha256:
            remove_model(path)
