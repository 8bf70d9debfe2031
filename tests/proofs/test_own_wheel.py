"""The wheel that charloom makes of itself is the one that the build makes, and what is packed with it installs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from charloom.kernel.build import library_name
from charloom.sagemaker.images import write_context
from charloom.sagemaker.kernels import kernel_files
from charloom.sagemaker.packaging import build_wheel, write_code
from charloom.sagemaker.requirements import Container
from charloom.version import __version__
from tests.proofs.test_clean_machine import run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds of the checkout, with all kernels that can be compiled here."""
    kernel_files()
    folder = tmp_path_factory.mktemp("built")
    ran = run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_it_holds_what_the_build_puts_into_it(built: Path, tmp_path: Path) -> None:
    ours = build_wheel(tmp_path)
    assert ours.name == built.name
    assert names(ours) == names(built)


@pytest.mark.parametrize("wanted", ["", "linux-aarch64,wasm32"])
def test_the_build_compiles_what_it_is_asked_for(wanted: str, tmp_path: Path) -> None:
    """Without a C compiler: none is needed, and where nothing is asked for, the wheel is whole without a kernel."""
    assert run("git", "clone", "-q", ROOT, "clone", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-v", "--wheel-dir", tmp_path, tmp_path / "clone"]
    built = subprocess.run(
        [str(word) for word in command],
        env={"PATH": "/nothing", "HOME": os.environ["HOME"], "CHARLOOM_KERNELS": wanted},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    there = {name for name in names(wheel) if name.startswith("charloom/kernel/build/")}
    assert there == {f"charloom/kernel/build/{library_name(target)}" for target in wanted.split(",") if target}
    assert ("the wheel has no kernel for this machine" in built.stdout + built.stderr) == (not wanted)


def test_an_installed_charloom_makes_the_same_again(built: Path, tmp_path: Path) -> None:
    """Without the checkout: its wheel is like the one it came from, and its image's context is whole."""
    python = fresh(tmp_path)
    pip(python, built, cwd=tmp_path)
    assert run(python.with_name("charloom"), "--version", cwd=tmp_path).stdout.strip() == __version__
    code = (
        "from pathlib import Path; from charloom.sagemaker.packaging import build_wheel;"
        "from charloom.sagemaker.images import write_context; Path('context').mkdir();"
        "print(build_wheel(Path())); write_context(Path('context'))"
    )
    ran = run(python, "-c", code, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert names(tmp_path / ran.stdout.strip()) == names(built)
    there = (tmp_path / "context/docker/serve.Dockerfile").read_bytes()
    assert there == (ROOT / "docker/serve.Dockerfile").read_bytes()


def test_the_images_context_installs(tmp_path: Path) -> None:
    """What the second stage of the Dockerfile does, in a fresh environment."""
    (tmp_path / "context").mkdir()
    write_context(tmp_path / "context")
    python = fresh(tmp_path)
    (wheel,) = (tmp_path / "context").glob("*.whl")
    pip(python, f"{wheel}[serve]", "--constraint", tmp_path / "context/constraints.txt", cwd=tmp_path)
    assert run(python.with_name("charloom"), "--version", cwd=tmp_path).stdout.strip() == __version__
    assert run(python, "-c", "import charloom.serving.app", cwd=tmp_path).returncode == 0


def test_vendored_wheels_install_without_an_index(tmp_path: Path) -> None:
    """For this very Python, so that they can be installed here; from another folder, as the toolkit does."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    write_code(tmp_path / "code", vendor=True, container=Container(version))
    python = fresh(tmp_path)
    requirements = tmp_path / "code/requirements.txt"
    assert requirements.read_text().startswith("--no-index\n--find-links wheels\n")
    pip(python, "-r", requirements, cwd=Path("/"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'code')!r}); import inference, charloom.serving.app"
    ran = run(python, "-c", code, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_wheels_for_another_python(tmp_path: Path) -> None:
    write_code(tmp_path, vendor=True, container=Container("3.13", "manylinux_2_28_x86_64"))
    found = [path.name for path in (tmp_path / "wheels").iterdir()]
    assert [name for name in found if name.startswith("numpy-") and "cp313" in name]
    assert not [name for name in found if "cp311" in name or "win" in name or "macos" in name]


def fresh(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=300)
    return folder / "venv/bin/python"


def pip(python: Path, *what: object, cwd: Path) -> None:
    ran = run(python, "-m", "pip", "install", "-q", *[str(part) for part in what], cwd=cwd)
    assert ran.returncode == 0, ran.stderr
