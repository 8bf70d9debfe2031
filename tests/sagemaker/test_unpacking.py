"""What a hostile archive may try."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.errors import CharloomError, ModelDirectoryError, UsageError
from charloom.sagemaker.packaging import files_under, write_archive
from charloom.sagemaker.unpacking import unpack_model


def entry(name: str, content: bytes = b"x", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in more.items():
        setattr(member, key, value)
    return member, content


def archive_of(model: Path, path: Path, *more: tuple[tarfile.TarInfo, bytes], first: bool = True) -> Path:
    """A good model's archive, and what else is in it."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member, content in more if first else ():
            archive.addfile(member, io.BytesIO(content))
        for name, file in files_under(model).items():
            archive.add(file, f"./{name}")
        for member, content in () if first else more:
            archive.addfile(member, io.BytesIO(content))
    return path


def refused(archive: Path, match: str) -> bool:
    """Whether it is for that reason, in one line; and nothing is left or written elsewhere."""
    beside = archive.parent
    before = {path: path.lstat().st_mtime_ns for path in beside.rglob("*")}
    with pytest.raises(ModelDirectoryError) as raised:
        unpack_model(archive, beside / "out")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert {path: path.lstat().st_mtime_ns for path in beside.rglob("*")} == before
    assert re.search(match, str(raised.value))
    return True


def test_a_good_one_is_unpacked_without_its_code(trained: Path, tmp_path: Path) -> None:
    extra = [entry("code/inference.py"), entry("notes.txt"), entry("sub", b"", type=tarfile.DIRTYPE)]
    archive = archive_of(trained, tmp_path / "model.tar.gz", *extra)
    (tmp_path / "out").mkdir()  # empty: it may be
    unpack_model(archive, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in trained.iterdir() if path.is_file()
    }
    assert {path.name for path in tmp_path.iterdir()} == {"model.tar.gz", "out"}
    with pytest.raises(UsageError, match="there already"):
        unpack_model(archive, tmp_path / "out")


HOSTILE: dict[str, tuple[tarfile.TarInfo, bytes]] = {
    "up": entry("../config.json"),
    "up inside": entry("code/../../evil"),
    "absolute": entry("/tmp/charloom-evil"),
    "backslash": entry("..\\evil"),
    "drive": entry("C:evil"),
    "control": entry("a\nb"),
    "symbolic link": entry("model.onnx", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": entry("model.onnx", b"", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "link in code": entry("code", b"", type=tarfile.SYMTYPE, linkname="/"),
    "device": entry("model.onnx", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": entry("config.json", b"", type=tarfile.FIFOTYPE),
    "twice": entry("config.json", b"{}"),
    "twice but for case": entry("Config.JSON", b"{}"),
    "twice by another way": entry("././config.json", b"{}"),
}


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members(trained: Path, tmp_path: Path, name: str, first: bool) -> None:
    assert refused(
        archive_of(trained, tmp_path / "model.tar.gz", HOSTILE[name], first=first),
        "leads elsewhere|neither a file nor a folder|is there twice",
    )
    assert not Path("/tmp/charloom-evil").exists()


def test_a_sparse_file_is_no_way_to_be_large(trained: Path, tmp_path: Path) -> None:
    member, _ = entry("model.onnx", b"")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40), "GNU.sparse.major": "0"}
    assert refused(archive_of(trained, tmp_path / "model.tar.gz", (member, b"")), "neither|not a model's archive")


def test_a_size_that_no_file_has(trained: Path, tmp_path: Path) -> None:
    member, _ = entry("code/large", b"")
    member.pax_headers = {"size": str(1 << 63)}
    assert refused(archive_of(trained, tmp_path / "model.tar.gz", (member, b"")), "claims to be larger than any model")


def bomb(path: Path, size: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as packed:
        member, _ = entry("code/zeros", b"")
        member.size = size
        packed.write(member.tobuf())
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))


def test_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    bomb(tmp_path / "model.tar.gz", 100 << 20)
    tracemalloc.start()
    assert refused(tmp_path / "model.tar.gz", "unpacks to more than")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_is_not_read_into_memory_whatever_it_says(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, 50 << 20
    with gzip.open(tmp_path / "model.tar.gz", "wb", compresslevel=1) as packed:
        packed.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(50 << 20))
    tracemalloc.start()
    assert refused(tmp_path / "model.tar.gz", "larger than any header")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_headers_within_headers(tmp_path: Path) -> None:
    member = tarfile.TarInfo("header")
    member.type, member.size = tarfile.XHDTYPE, 0
    with gzip.open(tmp_path / "model.tar.gz", "wb") as packed:
        packed.write(member.tobuf(tarfile.GNU_FORMAT) * 5000)
    assert refused(tmp_path / "model.tar.gz", "not a model's archive")


def test_too_many_members(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "model.tar.gz", "wb", compresslevel=1) as packed:
        for number in range(10_001):
            packed.write(entry(f"code/{number}", b"")[0].tobuf())
        packed.write(bytes(1024))
    assert refused(tmp_path / "model.tar.gz", "more than 10,000 members")


@pytest.mark.parametrize(
    "spoil",
    [lambda content: b"", lambda content: content[: len(content) // 2], lambda content: b"PK" + content, gzip.compress],
    ids=["empty", "half", "no gzip", "twice packed"],
)
def test_no_archive_at_all(trained: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = archive_of(trained, tmp_path / "model.tar.gz")
    path.write_bytes(spoil(path.read_bytes()))
    assert refused(path, "not a model's archive|holds no model")


def test_no_whole_model_in_it(trained: Path, tmp_path: Path) -> None:
    files = files_under(trained)
    for missing in ("config.json", "vocabulary.json", "model.safetensors"):
        path = tmp_path / "model.tar.gz"
        write_archive(path, {name: file for name, file in files.items() if name != missing})
        assert refused(path, missing.replace(".", r"\."))
        write_archive(path, {**files, missing: b"{}"})
        assert refused(path, r"model\.tar\.gz|config\.json")
    with pytest.raises(ModelDirectoryError, match="no such archive"):
        unpack_model(tmp_path / "none", tmp_path / "out")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_archives_give_a_model_or_one_line(trained: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes of the tar itself are changed: headers, names, sizes, contents."""
    plain = tmp_path / "plain.tar"
    if not plain.exists():
        with tarfile.open(plain, "w") as archive:
            for name, file in sorted(files_under(trained).items(), key=lambda item: item[1].stat().st_size):
                archive.add(file, name)
    content = bytearray(plain.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 8191) | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # a header whose checksum is right again
        try:
            member = tarfile.TarInfo.frombuf(bytes(content[:512]), "utf-8", "surrogateescape")
        except tarfile.TarError:
            member = tarfile.TarInfo("a")
        member.size = data.draw(st.integers(0, 1 << 66))
        member.type = bytes([data.draw(st.integers(0, 255))])
        content[:512] = member.tobuf(tarfile.GNU_FORMAT)[:512]
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(gzip.compress(bytes(content), 1))
    out = tmp_path / "out"
    try:
        unpack_model(damaged, out)
        said = ""
    except CharloomError as error:
        said = str(error)
    assert "\n" not in said
    assert "cannot write" not in said
    assert out.exists() == (not said)
    shutil.rmtree(out, ignore_errors=True)
    assert {path.name for path in tmp_path.iterdir()} == {"plain.tar", "damaged.tar.gz"}
