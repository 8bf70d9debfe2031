"""Which engine runs a network: the compiled kernel, wherever its library lies or can be made, else numpy."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from charloom.errors import CharloomError, UsageError
from charloom.kernel import build
from charloom.kernel.native import MICRO_VARIABLE, NUMPY, Library, kernel
from charloom.kernel.network import Network, _report_numpy, open_network
from charloom.kernel.reference import ReferenceNetwork
from tests.kernel.networks import make_ids, make_shape, make_state, make_weights, same_bits

SHAPE = make_shape("lstm", 2, 17, 9)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charloom.kernel.native.compile_library", refuse)
    kernel.cache_clear()
    _report_numpy.cache_clear()
    monkeypatch.delenv(MICRO_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def the_kernel_again() -> Iterator[None]:
    yield
    kernel.cache_clear()


def refuse() -> Path:
    raise CharloomError("there is no compiler")


def test_the_compiled_kernel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MICRO_VARIABLE, raising=False)
    assert isinstance(open_network(SHAPE, make_weights(SHAPE), threads=2), Network)


def test_numpy_can_be_asked_for_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weights, state, ids = make_weights(SHAPE), make_state(SHAPE, 3), make_ids(SHAPE, 4, 3)
    expected, expected_after = open_network(SHAPE, weights).read(ids, state)
    monkeypatch.setenv(MICRO_VARIABLE, NUMPY)
    slow = open_network(SHAPE, weights)
    assert isinstance(slow, ReferenceNetwork)
    found, after = slow.read(ids, state)
    assert same_bits((found, *after), (expected, *expected_after))
    assert not caplog.records


@pytest.mark.usefixtures("no_compiler")
def test_numpy_takes_its_place_and_that_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert isinstance(open_network(SHAPE, make_weights(SHAPE), "float32"), ReferenceNetwork)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("charloom", "WARNING")
    assert record.getMessage() == "numpy runs the network, many times slower: there is no compiler"


@pytest.mark.usefixtures("no_compiler")
def test_a_micro_kernel_that_was_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MICRO_VARIABLE, "portable")
    with pytest.raises(CharloomError, match="there is no compiler"):
        open_network(SHAPE, make_weights(SHAPE))


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MICRO_VARIABLE, "quick")
    with pytest.raises(UsageError, match=r"CHARLOOM_KERNEL = quick: this processor runs .*, numpy$"):
        open_network(SHAPE, make_weights(SHAPE))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The package as pip lays it out, without a compiled library."""
    package = Path(build.__file__).parents[1]
    ignored = shutil.ignore_patterns("build", "__pycache__")
    shutil.copytree(package, tmp_path / "site/charloom", ignore=ignored)
    return tmp_path / "site"


def compiled(site: Path, cache: Path, **variables: str) -> Path:
    """Where a process of its own finds the library of a package in `site`."""
    stub = site.parent / "bin/cc"
    if not stub.exists():  # compiling takes seconds: a compiler that gives what the real one once gave
        stub.parent.mkdir()
        stub.write_text(f"#!/bin/sh\nfor to; do :; done\ncp '{build.compile_library()}' \"$to\"\n")
        stub.chmod(0o755)
    environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "PYTHONPATH": str(site), "CHARLOOM_CACHE": str(cache)}
    code = (
        "from charloom.kernel.native import kernel; from charloom.kernel import build;"
        "path = build.compile_library(); kernel(); print(path)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return Path(ran.stdout.strip())


def test_an_installed_package_compiles_into_the_cache(installed: Path, tmp_path: Path) -> None:
    path = compiled(installed, tmp_path / "cache")
    assert path.parent == tmp_path / "cache/kernel"
    assert [path] == list(path.parent.iterdir())
    assert not (installed / "charloom/kernel/build").exists()
    assert compiled(installed, tmp_path / "cache", PATH="/nothing") == path


def test_a_library_that_came_with_the_package_comes_first(installed: Path, tmp_path: Path) -> None:
    came = installed / "charloom/kernel/build" / build.library_name(build.platform_name())
    came.parent.mkdir()
    shutil.copy(build.compile_library(), came)
    assert compiled(installed, tmp_path / "cache", PATH="/nothing") == came
    assert not (tmp_path / "cache").exists()


def test_where_no_folder_can_be_written_it_is_compiled_for_one_process(installed: Path, tmp_path: Path) -> None:
    cache, own = tmp_path / "cache", tmp_path / "own"
    cache.write_text("a file is no folder")
    own.mkdir()
    assert own in compiled(installed, cache, TMPDIR=str(own)).parents
    assert not list(own.iterdir())


@pytest.mark.parametrize("damage", [b"", b"no library", b"\x7fELF and nothing more"])
def test_a_damaged_library_in_the_cache_is_replaced(installed: Path, tmp_path: Path, damage: bytes) -> None:
    path = compiled(installed, tmp_path / "cache")
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert compiled(installed, tmp_path / "cache") == path
    assert path.read_bytes() == whole


def test_a_folder_in_the_place_of_the_library(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache/kernel" / build.library_name(build.platform_name())).mkdir(parents=True)
    (tmp_path / "own").mkdir()
    assert tmp_path / "own" in compiled(installed, tmp_path / "cache", TMPDIR=str(tmp_path / "own")).parents


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root gives files away")
def test_a_library_of_another_user_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "kernel" / build.library_name("linux-riscv64")
    library.parent.mkdir()
    library.write_bytes(b"a library")
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "platform_name", lambda: "linux-riscv64")
    assert build.compile_library() == library
    os.chown(library, 12345, -1)
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CharloomError, match=r"no compiled kernel for linux-riscv64 came with charloom.*: install one$"):
        build.compile_library()


def test_a_changed_source_has_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = build.library_name("linux-x86_64")
    assert before.endswith("-linux-x86_64.so")
    assert build.library_name("windows-x86_64").endswith(".dll")
    assert build.library_name("macos-aarch64").endswith(".dylib")
    changed = tmp_path / "kernel.c"
    changed.write_text("int x;\n")
    monkeypatch.setattr(build, "SOURCES", (changed,))
    assert build.library_name("linux-x86_64") != before


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(CharloomError, match="cannot be loaded"):
        Library(broken)


@pytest.mark.slow
def test_processes_that_compile_at_the_same_time(installed: Path, tmp_path: Path) -> None:
    compiled(installed, tmp_path / "other")  # makes the stub
    code = "from charloom.kernel.native import kernel; kernel()"
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(installed),
        "CHARLOOM_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    running = [subprocess.Popen([sys.executable, "-P", "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert len(list((tmp_path / "cache/kernel").iterdir())) == 1
