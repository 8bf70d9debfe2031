from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charloom.errors import StorageError
from charloom.files import (
    atomic_write,
    sha256_of_file,
    storage_errors,
    temporary_beside,
    write_together,
)

FILES = {"a.bin": b"new a", "b.bin": b"new b", "commit.json": b"new commit"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(number: int, code: int = errno.ENOSPC) -> Callable[[int], None]:
    """An fsync that fails at its `number`-th call."""
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(code, os.strerror(code))

    return fsync


def test_atomic_write(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old", "not before the end"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_inside_leaves_the_old(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:  # noqa: PT012
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(1))
    with pytest.raises(StorageError, match=r"a\.txt: the disk is full"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"), atomic_write(tmp_path / "no" / "a.txt"):
        pass


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "a folder that you may write to"),
        (errno.EROFS, "a folder that you may write to"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_messages(code: int, match: str) -> None:
    with pytest.raises(StorageError, match=match), storage_errors(Path("x")):
        raise OSError(code, os.strerror(code))


def test_write_together(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old a")
    (tmp_path / "mine").write_bytes(b"mine")
    write_together(tmp_path, FILES, commit="commit.json")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert names(tmp_path) == ["a.bin", "b.bin", "commit.json", "mine"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    old = dict.fromkeys(FILES, b"old")
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(number))
        with pytest.raises(StorageError, match="disk is full"):
            write_together(tmp_path, FILES, commit="commit.json")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == old
    assert names(tmp_path) == sorted(FILES)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_rename_that_fails_leaves_nothing_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whatever is there then, old or new, it does not look complete; what waits for its name says whose it is."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"old")
    honest = Path.replace
    calls = 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(errno.EIO, "broken")
        calls -= not self.exists()
        return honest(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(StorageError, match="broken"):
            write_together(tmp_path, FILES, commit="commit.json")
    assert not (tmp_path / "commit.json").exists()
    assert {name for name in names(tmp_path) if not name.endswith(".part")} == {"a.bin", "b.bin"}
    assert (tmp_path / f".commit.json.{os.getpid()}.part").read_bytes() == b"new commit"
    write_together(tmp_path, FILES, commit="commit.json")
    assert (tmp_path / "commit.json").read_bytes() == b"new commit"
    assert names(tmp_path) == sorted(FILES)


def test_what_was_written_is_looked_for_before_the_old_commit_goes(tmp_path: Path) -> None:
    (tmp_path / "commit.json").write_bytes(b"old")
    with pytest.raises(StorageError, match="another program removed"), temporary_beside(tmp_path / "big.bin") as file:  # noqa: PT012
        next(tmp_path.glob(".big.bin.*")).unlink()
        write_together(tmp_path, FILES, "commit.json", {"big.bin": file})
    assert names(tmp_path) == ["commit.json"]
    assert (tmp_path / "commit.json").read_bytes() == b"old"


def test_files_are_moved_in_and_stale_ones_go(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("commit.json", "stale.bin", "mine"):
        (tmp_path / "out" / name).write_bytes(b"old")
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    write_together(tmp_path / "out", {name: tmp_path / name for name in FILES}, "commit.json", stale=["stale.bin"])
    assert names(tmp_path / "out") == sorted([*FILES, "mine"])
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_temporary_file_goes_unless_it_is_committed(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "big.bin") as file:
        file.write(b"big")
        assert len(names(tmp_path)) == 1
        write_together(tmp_path, FILES, "commit.json", {"big.bin": file})
    assert names(tmp_path) == ["a.bin", "b.bin", "big.bin", "commit.json"]
    assert (tmp_path / "big.bin").read_bytes() == b"big"
    with pytest.raises(KeyboardInterrupt), temporary_beside(tmp_path / "big.bin") as file:  # noqa: PT012
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.bin", "b.bin", "big.bin", "commit.json"]
    assert (tmp_path / "big.bin").read_bytes() == b"big"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_full_disk_commits_no_large_file_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "commit.json").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(StorageError, match="disk is full"), temporary_beside(tmp_path / "big.bin") as file:
        write_together(tmp_path, FILES, "commit.json", {"big.bin": file})
    assert names(tmp_path) == ["commit.json"]
    assert (tmp_path / "commit.json").read_bytes() == b"old"
