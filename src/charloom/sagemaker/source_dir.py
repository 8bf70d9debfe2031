"""The folder of code that a training job runs, which the SageMaker SDK calls an estimator's `source_dir`.

charloom is in it unpacked, beside `train.py`: Python finds it there wherever the folder is put, also where an
estimator deploys with the same folder. pip installs only what charloom needs, so nothing is asked for by its name.
"""

from __future__ import annotations

from pathlib import Path

from charloom.errors import UsageError
from charloom.files import expand_home, storage_errors
from charloom.sagemaker.packaging import library_files, write_archive
from charloom.sagemaker.requirements import ranges

ARCHIVE = "sourcedir.tar.gz"
"""The name that SageMaker's tools want for such a folder, packed."""

ENTRY_POINT = "train.py"

_TRAIN = '''\
"""The entry point of a training job. An endpoint that an estimator deploys finds its four functions here.

charloom is the folder of that name beside this file; requirements.txt says what it needs.
"""

import sys

if sys.version_info < (3, 11):
    raise RuntimeError("charloom needs Python 3.11 or newer: take framework_version='2.6' and py_version='py312'")

from charloom.sagemaker.inference import input_fn, model_fn, output_fn, predict_fn  # noqa: E402

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]

if __name__ == "__main__":
    from charloom.sagemaker.container.training import main

    raise SystemExit(main())
'''


def write_source(folder: Path | str) -> Path:
    """Write the code that a training job runs, for the SageMaker SDK: `PyTorch("train.py", source_dir=folder, ...)`.

    A folder that has this very code already is left as it is.

    Args:
        folder: the folder to write: empty, or not there yet.

    Returns:
        The folder.

    Raises:
        UsageError: something else is in the folder.
        CharloomError: charloom is not installed.
        StorageError: it cannot be written.
    """
    folder, contents = expand_home(folder), _contents()
    with storage_errors(folder):
        _refuse_other_files(folder, contents)
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def pack_source(output: Path | str) -> Path:
    """Pack the code that a training job runs; the same installation gives the same bytes.

    Args:
        output: the archive to write, or the folder to write `sourcedir.tar.gz` into.

    Returns:
        The archive's path.

    Raises:
        CharloomError: charloom is not installed.
        StorageError: the archive cannot be written.
    """
    output = expand_home(output)
    output = output / ARCHIVE if output.is_dir() else output
    write_archive(output, _contents())
    return output


def _contents() -> dict[str, bytes]:
    """The folder's files. torch is the image's own: it is in the range that charloom asks for."""
    requirements = "".join(f"{line}\n" for line in ranges("train", "serve"))
    return {**library_files(), "requirements.txt": requirements.encode(), ENTRY_POINT: _TRAIN.encode()}


def _refuse_other_files(folder: Path, contents: dict[str, bytes]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        same = path.is_file() and name in contents and path.read_bytes() == contents[name]
        if path.is_symlink() or not (same or path.is_dir() or path.suffix == ".pyc"):
            raise UsageError(f"{folder} holds {name}, which is not of this charloom: name a new or empty folder")
