"""A model, packed for SageMaker with the code that serves it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from charloom.bundle import open_model_directory
from charloom.errors import CharloomError, MissingExtraError, ModelDirectoryError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import atomic_write, sha256_of_file, storage_errors
from charloom.runtime.exporting import check_target
from charloom.sagemaker.archives import files_under, write_archive
from charloom.sagemaker.requirements import Container, fetch_wheels, pins
from charloom.sagemaker.unpacking import unpack_model
from charloom.sagemaker.wheel import build_wheel

_CODE, _WHEELS = "code", "wheels"
# A relative path in requirements.txt is relative to wherever pip is started, so the wheel is not named there.
_INFERENCE = '''\
"""The four functions that SageMaker's images call; charloom itself stands beside this file, as a wheel."""

import atexit
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

_unpacked = tempfile.mkdtemp(prefix="charloom-")
atexit.register(shutil.rmtree, _unpacked, ignore_errors=True)
zipfile.ZipFile(next(Path(__file__).parent.glob("charloom-*.whl"))).extractall(_unpacked)
sys.path.insert(0, _unpacked)

from charloom.sagemaker.inference import input_fn, model_fn, output_fn, predict_fn  # noqa: E402

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]
'''


@dataclass(frozen=True)
class Package:
    """A model, packed.

    Attributes:
        path: the archive.
        bytes: its size.
        sha256: its checksum, in hexadecimal.
    """

    path: Path
    bytes: int
    sha256: str


def write_code(folder: Path, *, vendor: bool = False, container: Container = Container()) -> None:  # noqa: B008
    """Write what makes a model serve in an image of four functions: those, charloom's wheel, pinned requirements.

    Args:
        folder: the `code` folder of a model's archive; created if it is not there.
        vendor: put the required packages' wheels beside them, for networks without an index.
        container: where they will run.

    Raises:
        CharloomError: charloom is not installed, or a wheel cannot be had.
        StorageError: the folder cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lines = pins("serve", container)
        if vendor:
            fetch_wheels(lines, folder / _WHEELS, container)
        head = ["--no-index", f"--find-links {_WHEELS}"] if vendor else []  # pip looks beside the file that says so
        (folder / "requirements.txt").write_text("\n".join([*head, *lines, ""]), "utf-8")
        (folder / "inference.py").write_text(_INFERENCE, "utf-8")
        build_wheel(folder)


def package(
    model: Path | str,
    output: Path | str,
    *,
    vendor: bool = False,
    check: bool = True,
    overwrite: bool = False,
    container: Container = Container(),  # noqa: B008
    notify: Notify = ignore,
) -> Package:
    """Pack a model and the code that serves it, as SageMaker wants them, and see that the package answers.

    The same model and installation give the same bytes. Only the model's own files are packed.

    Args:
        model: the model directory.
        output: the archive to write, as in model.tar.gz.
        vendor: put the required packages' wheels into it, for networks without an index.
        check: unpack it elsewhere and let it answer one request before it is called good.
        overwrite: replace an archive that is there.
        container: where it will run.
        notify: receives what happens.

    Raises:
        UsageError: `output` is a folder, a pipe, a file of a model, or there already.
        ModelDirectoryError: the model is not whole, or does not answer.
        MissingExtraError: it cannot be checked without the 'serve' extra.
        CharloomError: charloom is not installed, or a wheel cannot be had.
        StorageError: the archive cannot be written.
    """
    directory, output = open_model_directory(model), Path(output).expanduser()
    if output.is_dir():
        raise UsageError(f"{output} is a folder: name the archive to write, such as {output / 'model.tar.gz'}")
    check_target(directory, output, overwrite)
    members: dict[str, Path | bytes] = {**directory.sound_files()}
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary, storage_errors(output):
        code, archive = Path(temporary, _CODE), Path(temporary, "model.tar.gz")
        write_code(code, vendor=vendor, container=container)
        members |= files_under(code, f"{_CODE}/")
        output.parent.mkdir(parents=True, exist_ok=True)
        write_archive(archive, members)
        if check:
            _check(archive, Path(temporary, "model"))
            notify(Notice("the package was unpacked, and answered a request"))
        _copied(archive, output)
    return Package(output, output.stat().st_size, sha256_of_file(output))


def has_wheels(archive: Path) -> bool:
    """Whether a model's archive brings the packages that its code needs.

    Raises:
        ModelDirectoryError: it is not an archive.
    """
    try:
        with tarfile.open(archive, "r:gz") as members:
            return any(member.name.startswith(f"{_CODE}/{_WHEELS}/") for member in members)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ModelDirectoryError(f"{archive} is not a model's archive: {error}") from None


def _check(archive: Path, folder: Path) -> None:
    """Let the package answer one request.

    Raises:
        ModelDirectoryError: it does not.
        MissingExtraError: the server is not installed.
    """
    from charloom.sagemaker import inference

    unpack_model(archive, folder)
    try:
        with inference.model_fn(str(folder)) as served:
            asked = inference.input_fn(b'{"prompt":"","max_tokens":1}', "application/json")
            inference.output_fn(inference.predict_fn(asked, served), "application/json")
    except MissingExtraError:
        raise
    except CharloomError as error:
        raise ModelDirectoryError(f"the package does not serve: {error}") from error


def _copied(archive: Path, output: Path) -> None:
    """Let the archive appear under its name, also where that is another disk."""
    with archive.open("rb") as source, atomic_write(output) as file:
        shutil.copyfileobj(source, file)
