"""What scripts/release makes is whole, and installs in fresh environments. `scripts/prove` runs this."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from charloom.kernel.build import TARGETS, WASM, library_name
from charloom.version import __version__

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
LINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")
TARGET: tuple[str, ...] = (
    *(word for name in LINUX for word in ("--platform", f"{name}_x86_64")),
    "--only-binary",
    ":all:",
)
FOREIGN = ("PYTHONPATH", "VIRTUAL", "OMP_", "PYENV_VERSION")
UNSHIPPED = (".ci/", ".gitignore")
VENV_OWN = ("pip", "setuptools", "pkg_resources", "_distutils_hack")  # what `python -m venv` brings by itself
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    words = [str(part) for part in command]
    ran = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert ran.returncode == 0, f"{words}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran


def interpreter(version: str) -> Path:
    """A Python of this version, on the path or among pyenv's; a skipped test where there is none."""
    named = shutil.which(f"python{version}")
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in ([named] if named else []) + [str(path) for path in pyenv]:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.startswith(f"Python {version}."):
            return Path(found)
    pytest.skip(f"there is no Python {version} here")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What scripts/release makes of a clean clone."""
    clone = tmp_path_factory.mktemp("release") / "charloom"
    run("git", "clone", "-q", ROOT, clone, cwd=ROOT)
    said = run("scripts/release", cwd=clone)
    assert said.stdout.count("PASSED") == 2
    return clone / "dist"


def wheel_of(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"charloom-{__version__}-py3-none-any.whl"
    return wheel


def test_the_source_distribution_has_all_that_is_in_the_repository(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        shipped = {name.partition("/")[2] for name in opened.getnames()}
    kept = run("git", "ls-files", cwd=dist.parent).stdout.splitlines()
    assert {name for name in kept if not name.startswith(UNSHIPPED)} <= shipped


def test_the_bill_of_materials_names_everything(dist: Path) -> None:
    bill = json.loads((dist / f"charloom-{__version__}.cdx.json").read_text("utf-8"))
    assert bill["metadata"]["component"]["version"] == __version__
    named = {each["name"].lower(): each["version"] for each in bill["components"]}
    assert {"numpy", "onnxruntime", "torch", "fastapi", "boto3", "mlflow-skinny"} <= set(named)
    pins = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()[1:])
    named.pop("setuptools", None)  # torch asks for one, whichever it is
    for name, version in named.items():
        assert version.split("+")[0] == pins[name], name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_installs_and_runs(dist: Path, version: str, trained: Path, tmp_path: Path) -> None:
    run(interpreter(version), "-m", "venv", "base", cwd=tmp_path)
    python = tmp_path / "base" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", wheel_of(dist), cwd=tmp_path)
    command = (tmp_path / "base/bin/charloom", "generate", trained, "--length", "50", "--seed", "1", "--json")
    assert len(json.loads(run(*command, cwd=tmp_path).stdout)["text"]) == 50
    run(python, "-m", "pip", "install", "-q", f"{wheel_of(dist)}[serve,sagemaker]", cwd=tmp_path)
    run(python, "-c", "import charloom.serving.app, charloom.sagemaker as s; s.connect", cwd=tmp_path)


def test_the_wheel_has_the_kernel_for_every_platform(dist: Path) -> None:
    with zipfile.ZipFile(wheel_of(dist)) as wheel:
        there = {name for name in wheel.namelist() if name.startswith("charloom/kernel/build/")}
    assert there == {f"charloom/kernel/build/{library_name(target)}" for target in (*TARGETS, WASM)}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_base_install_needs_no_compiler_and_leaves_nothing_behind(
    dist: Path, version: str, trained: Path, small_text: Path, tmp_path: Path
) -> None:
    run(interpreter(version), "-m", "venv", "base", cwd=tmp_path)
    run(tmp_path / "base/bin/python", "-m", "pip", "install", "-q", wheel_of(dist), cwd=tmp_path)
    for name in ("home", "temporary", "work"):
        (tmp_path / name).mkdir()
    variables = {"HOME": "home", "TMPDIR": "temporary", "PATH": "base/bin"}
    environment = {name: str(tmp_path / place) for name, place in variables.items()}

    def charloom(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in (tmp_path / "base/bin/charloom", *words, "--json")]
        ran = subprocess.run(
            command,
            cwd=tmp_path / "work",
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout.splitlines()[0])
        return ran

    before = files_in(tmp_path / "base")
    generate = ("generate", trained, "--length", "200", "--seed", "1", "--samples", "3", "--precision", "int8")
    generated = charloom(*generate)
    charloom("score", trained, small_text, "--lines", "--top", "3")
    charloom("evaluate", trained, small_text)
    charloom("inspect", trained)
    charloom("export", trained, "--html", "page.html")
    assert "numpy" not in generated.stderr
    for library in (tmp_path / "base").rglob("kernel-*.so"):
        library.unlink()
        before.remove(library.relative_to(tmp_path / "base"))
    by_numpy = charloom(*generate)
    assert by_numpy.stderr.count("note: numpy runs the network") == 1
    assert texts(by_numpy) == texts(generated)

    assert files_in(tmp_path / "base") == before
    assert files_in(tmp_path / "work") == {Path("page.html")}
    assert files_in(tmp_path / "temporary") == set()
    assert {path.parts[:2] for path in files_in(tmp_path / "home")} <= {(".cache", "charloom")}


def texts(ran: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["text"] for line in ran.stdout.splitlines()]


def files_in(folder: Path) -> set[Path]:
    """But for what pip compiled."""
    return {
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_it_trains_on_every_python(dist: Path, version: str, tmp_path: Path) -> None:
    """With PyTorch as the package registry has it, gigabytes of CUDA included where it has no other."""
    run(interpreter(version), "-m", "venv", "train", cwd=tmp_path)
    try:
        pip = (tmp_path / "train/bin/python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt")
        run(*pip, f"{wheel_of(dist)}[train]", cwd=tmp_path)
        charloom = tmp_path / "train/bin/charloom"
        (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 200, encoding="utf-8")
        run(charloom, "train", "text.txt", "-o", "model", "--recipe", "tiny", "--steps", "60", cwd=tmp_path)
        said = json.loads(run(charloom, "generate", "model", "--length", "50", "--json", cwd=tmp_path).stdout)
        assert len(said["text"]) == 50
        said = json.loads(run(charloom, "evaluate", "model", "text.txt", "--json", cwd=tmp_path).stdout)
        assert said["bits_per_char"] < 3
    finally:
        shutil.rmtree(tmp_path / "train")


def test_the_base_install_is_small_and_importing_it_is_quick(dist: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "base", cwd=tmp_path)
    python = tmp_path / "base" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel_of(dist), cwd=tmp_path)
    site = next((tmp_path / "base/lib").glob("python*/site-packages"))
    ours = [path for path in site.iterdir() if not path.name.startswith(VENV_OWN)]
    files = [file for path in ours for file in (path, *path.rglob("*")) if file.is_file()]
    size = sum(path.stat().st_size for path in files)

    def median(code: str) -> float:
        times = []
        for _ in range(9):
            started = time.perf_counter()
            run(python, "-c", code, cwd=tmp_path)
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    run(python, "-c", "import charloom", cwd=tmp_path)  # compiled once
    nothing, importing = median("pass"), median("import charloom")
    sys.stderr.write(
        f"base install {size / 1e6:.0f} MB; import charloom {importing - nothing:.3f} s ({nothing:.3f} s)\n"
    )
    assert size < 115e6
    assert importing - nothing < 0.3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("extras", ["", "[all]"])
def test_it_resolves_for_linux(dist: Path, version: str, extras: str, tmp_path: Path) -> None:
    """Wheels alone, no interpreter of that version needed: nothing is downloaded but what pip reads to decide."""
    wanted: tuple[str | Path, ...] = (
        "--dry-run",
        "--ignore-installed",
        "--target",
        tmp_path / "there",
        "--python-version",
        version,
        *TARGET,
    )
    said = run(
        sys.executable, "-m", "pip", "install", "-q", "--report", "-", *wanted, f"{wheel_of(dist)}{extras}", cwd=ROOT
    )
    names = {each["metadata"]["name"].lower() for each in json.loads(said.stdout)["install"]}
    assert {"charloom", "numpy"} <= names
    assert ({"torch", "onnxruntime"} <= names) == (extras == "[all]")
