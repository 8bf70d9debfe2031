"""What is packed for SageMaker has compiled kernels for the machines it goes to, or that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from charloom.errors import CharloomError
from charloom.events import Event
from charloom.kernel import build
from charloom.kernel.build import library_name, platform_name
from charloom.sagemaker import kernels
from charloom.sagemaker.packaging import library_files

FOLDER = "charloom/kernel/build"


@pytest.fixture
def compilers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Targets that can be compiled here, where nothing is compiled yet."""
    can: list[str] = []

    def cross_compile(target: str) -> Path:
        if target not in can:
            raise CharloomError(f"nothing here compiles {target}")
        path = tmp_path / library_name(target)
        path.write_bytes(b"a library")
        return path

    monkeypatch.setattr(build, "_places", lambda: [tmp_path])
    monkeypatch.setattr(kernels, "cross_compile", cross_compile)
    return can


def packed() -> set[str]:
    return {name for name in library_files() if name.startswith(f"{FOLDER}/")}


def test_a_checkout_packs_what_is_compiled_from_its_source_and_nothing_older() -> None:
    build.compile_library()
    older = build.BUILT / "kernel-0123456789abcdef-linux-x86_64.so"
    older.write_bytes(b"of another source")
    try:
        found = packed()
    finally:
        older.unlink()
    assert f"{FOLDER}/{library_name(platform_name())}" in found
    assert f"{FOLDER}/{older.name}" not in found


def test_both_kinds_of_linux_machines_are_served_where_that_can_be(compilers: list[str]) -> None:
    compilers += ["linux-x86_64", "linux-aarch64"]
    assert packed() == {f"{FOLDER}/{library_name(target)}" for target in compilers}
    events: list[Event] = []
    for machine in ("x86_64", "aarch64"):
        kernels.report_missing_kernel(events.append, machine)
    assert events == []


def test_what_cannot_be_compiled_is_reported(compilers: list[str]) -> None:
    compilers += ["linux-x86_64"]
    assert len(packed()) == 1
    events: list[Event] = []
    kernels.report_missing_kernel(events.append)
    assert events == []
    kernels.report_missing_kernel(events.append, "aarch64")
    (event,) = events
    assert "for Linux on aarch64" in str(event)
    assert "pip install ziglang" in str(event)


def test_a_package_for_graviton_says_what_it_lacks(compilers: list[str], trained: Path, tmp_path: Path) -> None:
    from charloom.sagemaker.packaging import package
    from charloom.sagemaker.requirements import Container

    events: list[Event] = []
    container = Container(platform="manylinux_2_28_aarch64")
    package(trained, tmp_path / "model.tar.gz", check=False, container=container, notify=events.append)
    assert "for Linux on aarch64" in str(events)
