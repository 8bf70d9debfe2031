"""A model, packed for SageMaker with the code that serves it: `model.tar.gz`, and charloom's own wheel.

charloom is on no index, so a wheel of what is installed here travels with what needs it. Archives depend on nothing but
what is in them, so that unchanged ones are not sent again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import charloom
from charloom.bundle import ModelDirectory, open_model_directory
from charloom.bundle.writing import check_target
from charloom.errors import CharloomError, MissingExtraError, ModelDirectoryError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import atomic_write, expand_home, sha256_of_file, storage_errors
from charloom.kernel.build import BUILT
from charloom.sagemaker.kernels import kernel_files, report_missing_kernel
from charloom.sagemaker.requirements import Container, fetch_wheels, pins
from charloom.sagemaker.unpacking import unpack_model
from charloom.version import __version__

_LEVEL = 6
_ALWAYS = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
_READABLE = 0o100644 << 16

_PACKAGE = Path(charloom.__file__).parent
# What the build puts into the package from elsewhere (pyproject.toml, force-include): in a checkout it is there.
_FROM_ELSEWHERE = {"charloom/sagemaker/serve.Dockerfile": "docker/serve.Dockerfile"}


def write_archive(path: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a `.tar.gz` of files under their names, in the order of the names; it appears when it is whole."""
    with (
        atomic_write(path) as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(members):
            _add(archive, name, members[name])


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip of contents under their names, in the order they are given; it appears when it is whole."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _ALWAYS)
            member.external_attr = _READABLE
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    member = tarfile.TarInfo(name)  # its time, owner and group are 0
    member.mode = 0o644
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        member.size = source.seek(0, io.SEEK_END)
        source.seek(0)
        archive.addfile(member, source)


def files_under(folder: Path, prefix: str = "") -> dict[str, Path]:
    """A folder's files by their names in an archive."""
    return {prefix + path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def build_wheel(folder: Path) -> Path:
    """Write the wheel of the installed charloom into a folder; the same installation gives the same bytes.

    Returns:
        The wheel's path.
    """
    path = folder / f"charloom-{__version__}-py3-none-any.whl"
    write_zip(path, library_files())
    return path


def library_files() -> dict[str, bytes]:
    """The installed charloom, with its metadata, by the names that its files have in a wheel."""
    found = _installed_charloom()
    info = f"charloom-{__version__}.dist-info"
    contents = {name: path.read_bytes() for name, path in _package_files()}
    contents |= {f"{info}/{name}": content for name, content in _about(found)}
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    return contents


def carried_file(name: str) -> Path:
    """A file that the build puts into the package, such as `charloom/sagemaker/serve.Dockerfile`, wherever it is."""
    for path in (_PACKAGE.parent / name, _PACKAGE.parents[1] / _FROM_ELSEWHERE[name]):
        if path.is_file():
            return path
    raise CharloomError(f"this installation of charloom lacks {Path(name).name}: install it again")


def _installed_charloom() -> Distribution:
    try:
        found = distribution("charloom")
    except PackageNotFoundError:
        raise CharloomError("charloom is not installed here, so it cannot be packed: pip install it first") from None
    if found.version != __version__:
        raise CharloomError(f"charloom {__version__} is installed as {found.version}: install it again")
    return found


def _package_files() -> Iterator[tuple[str, Path]]:
    """The package's files by their names in a wheel, in order."""
    found = {
        path.relative_to(_PACKAGE.parent).as_posix(): path
        for path in _PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts and BUILT not in path.parents
    }
    found |= kernel_files() | {name: carried_file(name) for name in _FROM_ELSEWHERE}
    return iter(sorted(found.items()))


def _about(found: Distribution) -> Iterator[tuple[str, bytes]]:
    """What a wheel says of itself."""
    for name in ("METADATA", "entry_points.txt"):
        yield name, (found.read_text(name) or "").encode()
    yield "WHEEL", b"Wheel-Version: 1.0\nGenerator: charloom\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    for name in sorted(str(path) for path in found.files or () if "licenses" in path.parts):
        text = found.read_text(name.partition("/")[2])
        if text is not None:
            yield name.partition("/")[2], text.encode()


def _record(contents: dict[str, bytes], own: str) -> bytes:
    """Every file's checksum and size, as the format wants them; its own line has none."""
    lines = []
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{own},,\n"]).encode()


_CODE, _WHEELS = "code", "wheels"
# A relative path in requirements.txt is relative to wherever pip is started, so the wheel is not named there.
_INFERENCE = '''\
"""The four functions that SageMaker's images call; charloom itself is beside this file, as a wheel."""

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
    """Write what makes a model serve in an image of four functions: those, charloom's wheel, pinned requirements."""
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
    model: ModelDirectory | Path | str,
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
    directory = model if isinstance(model, ModelDirectory) else open_model_directory(model)
    output = expand_home(output)
    if output.is_dir():
        raise UsageError(f"{output} is a folder: name the archive to write, such as {output / 'model.tar.gz'}")
    check_target(directory, output, overwrite)
    members: dict[str, Path | bytes] = {**directory.sound_files()}
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary, storage_errors(output):
        code, archive = Path(temporary, _CODE), Path(temporary, "model.tar.gz")
        write_code(code, vendor=vendor, container=container)
        report_missing_kernel(notify, container.machine)
        members |= files_under(code, f"{_CODE}/")
        output.parent.mkdir(parents=True, exist_ok=True)
        write_archive(archive, members)
        if check:
            _check(archive, Path(temporary, "model"))
            notify(Notice("the package was unpacked, and answered a request"))
        _copy_archive(archive, output)
    return Package(output, output.stat().st_size, sha256_of_file(output))


def has_wheels(archive: Path) -> bool:
    """Whether a model's archive brings the packages that its code needs."""
    try:
        with tarfile.open(archive, "r:gz") as members:
            return any(member.name.startswith(f"{_CODE}/{_WHEELS}/") for member in members)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ModelDirectoryError(f"{archive} is not a model's archive: {error}") from None


def _check(archive: Path, folder: Path) -> None:
    """Let the package answer one request."""
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


def _copy_archive(archive: Path, output: Path) -> None:
    """Let the archive appear under its name, also where that is another disk."""
    with archive.open("rb") as source, atomic_write(output) as file:
        shutil.copyfileobj(source, file)
