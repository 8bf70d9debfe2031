"""A folder with a file a class, or a folder a class: which there are, by name."""

from __future__ import annotations

from pathlib import Path

from charloom.errors import CorpusError
from charloom.files import expand_home

_COMPRESSED = frozenset({".gz", ".zst", ".bz2", ".xz"})


def class_of(path: Path) -> str:
    """The class that a file or folder is named after: its name, a file's without what says its kind."""
    name = path.name
    if path.is_dir():
        return name
    if path.suffix in _COMPRESSED:
        name = Path(name).stem
    return Path(name).stem


def is_class_name(name: str) -> bool:
    """Whether a folder can have the name on every system, and a line can show it."""
    return name.isprintable() and not name.startswith(".") and not {"/", "\\"} & set(name)


def find_classes(folder: str | Path) -> dict[str, Path]:
    """The classes in a folder, sorted by name: each a text file, or a folder of them. Hidden ones are passed over.

    Raises:
        CorpusError: there is no such folder, there are fewer than two classes, two of one name, one whose name no
            folder of models could have, or a link that leads out of the folder.
    """
    path = expand_home(folder)
    if not path.is_dir():
        raise CorpusError(f"no such folder: {path} (a folder with a file a class is needed)")
    try:
        found = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error
    classes: dict[str, Path] = {}
    for each in found:
        if each.is_symlink() and not (each.exists() and each.resolve().is_relative_to(path.resolve())):
            raise CorpusError(f"{each} is a link out of {path}: put the text itself there, or remove the link")
        name = class_of(each)
        if not is_class_name(name):
            raise CorpusError(f"{each} cannot name a class: rename it, without line breaks and backslashes")
        if name in classes:
            raise CorpusError(f"{classes[name]} and {each} are both called {name}: rename one, or put both in a folder")
        classes[name] = each
    if len(classes) < 2:
        files = "1 file" if len(classes) == 1 else f"{len(classes)} files"
        raise CorpusError(f"{path} has {files}: a file, or a folder, for each of two classes is needed")
    return dict(sorted(classes.items()))
