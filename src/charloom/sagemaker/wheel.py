"""charloom's own wheel, made of what is installed here: charloom is on no index, so it travels with what needs it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import charloom
from charloom.errors import CharloomError
from charloom.sagemaker.archives import write_zip
from charloom.version import __version__

_PACKAGE = Path(charloom.__file__).parent
# What the build puts into the package from elsewhere (pyproject.toml, force-include): in a checkout it stands there.
_FROM_ELSEWHERE = {"charloom/sagemaker/serve.Dockerfile": "docker/serve.Dockerfile"}


def build_wheel(folder: Path) -> Path:
    """Write the wheel of the installed charloom into a folder; the same installation gives the same bytes.

    Returns:
        The wheel's path.

    Raises:
        CharloomError: charloom is not installed, but run from its source alone.
        StorageError: it cannot be written.
    """
    path = folder / f"charloom-{__version__}-py3-none-any.whl"
    write_zip(path, library_files())
    return path


def library_files() -> dict[str, bytes]:
    """The installed charloom, with its metadata, by the names that its files have in a wheel.

    Raises:
        CharloomError: charloom is not installed, but run from its source alone.
    """
    found = _installed()
    info = f"charloom-{__version__}.dist-info"
    contents = {name: path.read_bytes() for name, path in _package_files()}
    contents |= {f"{info}/{name}": content for name, content in _about(found)}
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    return contents


def carried_file(name: str) -> Path:
    """A file that the build puts into the package, such as `charloom/sagemaker/serve.Dockerfile`, wherever it is.

    Raises:
        CharloomError: it is nowhere.
    """
    for path in (_PACKAGE.parent / name, _PACKAGE.parents[1] / _FROM_ELSEWHERE[name]):
        if path.is_file():
            return path
    raise CharloomError(f"this installation of charloom lacks {Path(name).name}: install it again")


def _installed() -> Distribution:
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
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }
    found |= {name: carried_file(name) for name in _FROM_ELSEWHERE}
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
