from __future__ import annotations

import email
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from charloom.errors import CharloomError, ModelDirectoryError, UsageError
from charloom.sagemaker import packaging
from charloom.sagemaker.packaging import build_wheel, package, write_code
from charloom.sagemaker.requirements import Container, fetch_wheels, pins
from charloom.sagemaker.unpacking import unpack_model
from charloom.version import __version__

WHEEL = f"charloom-{__version__}-py3-none-any.whl"


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_is_ours_and_the_same_every_time(tmp_path: Path) -> None:
    first = build_wheel(tmp_path)
    content = first.read_bytes()
    os.utime(Path(packaging.__file__))
    assert build_wheel(tmp_path).read_bytes() == content
    assert first.name == WHEEL
    with zipfile.ZipFile(first) as wheel:
        names = set(wheel.namelist())
        record = wheel.read(f"charloom-{__version__}.dist-info/RECORD").decode().splitlines()
        about = email.message_from_bytes(wheel.read(f"charloom-{__version__}.dist-info/METADATA"))
    assert len(record) == len(names)
    assert {"train", "serve", "sagemaker"} <= set(about.get_all("Provides-Extra", []))
    for data in ("py.typed", "recipes/tiny.yaml", "serving/playground/main.js", "runtime/browser/index.html"):
        assert f"charloom/{data}" in names
    assert "charloom/sagemaker/serve.Dockerfile" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_pip_installs_the_wheel(tmp_path: Path) -> None:
    """Into a folder that sees this environment's packages, whose charloom it comes before."""
    wheel = build_wheel(tmp_path)
    installed = tmp_path / "installed"
    ran = run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "-t", installed, wheel, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import charloom; print(charloom.__file__)"
    assert run(sys.executable, "-c", code, cwd=tmp_path).stdout.startswith(str(installed))
    assert (installed / "bin/charloom").is_file()


def test_a_charloom_that_is_not_installed_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charloom.sagemaker.packaging.__version__", "9.9")
    with pytest.raises(CharloomError, match="is installed as"):
        build_wheel(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pins_go_all_the_way_down() -> None:
    lines = pins("serve")
    names = [line.partition("==")[0] for line in lines]
    assert {"numpy", "pydantic-core", "fastapi", "starlette", "uvicorn", "h11"} <= set(names)
    assert names == sorted(names)
    assert not {"charloom", "torch", "onnxruntime", "boto3", "pytest", "colorama"} & set(
        names
    )  # colorama: only on Windows


def test_what_is_not_installed_is_given_by_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> Distribution:
        if name == "fastapi":
            raise PackageNotFoundError(name)
        return distribution(name)

    monkeypatch.setattr("charloom.sagemaker.requirements.distribution", without)
    (line,) = [line for line in pins("serve") if line.startswith("fastapi")]
    assert "==" not in line
    assert ">=" in line
    with pytest.raises(CharloomError, match="not installed here"):
        fetch_wheels([line], Path("nowhere"), Container())


def test_another_container() -> None:
    assert Container("3.13").environment["python_version"] == "3.13"
    assert Container(platform="manylinux_2_28_aarch64").environment["platform_machine"] == "aarch64"
    assert Container().platforms[0] == "manylinux_2_28_x86_64"
    assert Container().platforms[-1] == "manylinux2014_x86_64"
    for wrong in ({"python": "three"}, {"platform": "win_amd64"}, {"platform": "manylinux_2_x_y"}):
        with pytest.raises(UsageError, match="such as"):
            Container(**wrong)


def test_a_package_is_the_model_and_the_code(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained, model)
    (model / "secret.txt").write_text("not the model's")
    (model / "training").mkdir(exist_ok=True)
    (model / "training" / "state.json").write_text("{}")
    packed = package(model, tmp_path / "model.tar.gz")
    content = packed.path.read_bytes()
    assert (packed.bytes, packed.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert package(model, tmp_path / "again.tar.gz", check=False).sha256 == packed.sha256
    with tarfile.open(packed.path) as archive:
        names = set(archive.getnames())
    assert {"config.json", "model.onnx", "loss.svg", "code/inference.py", "code/requirements.txt"} <= names
    assert f"code/{WHEEL}" in names
    assert not [name for name in names if name.startswith(("training", "secret"))]
    unpack_model(packed.path, tmp_path / "back")
    assert (tmp_path / "back/model.onnx").read_bytes() == (trained / "model.onnx").read_bytes()
    assert not (tmp_path / "back/code").exists()


def test_the_packed_code_answers_by_itself(trained: Path, tmp_path: Path) -> None:
    """charloom and its compiled kernel come out of the wheel beside inference.py, not from anywhere else."""
    write_code(tmp_path / "code")
    code = (
        "import inference, charloom; print(charloom.__file__)\n"
        "from charloom.kernel.build import compile_library; print(compile_library())\n"
        f"model = inference.model_fn({str(trained)!r})\n"
        "data = inference.input_fn(bytearray(b'30-The '), 'text/plain')\n"
        "print(inference.output_fn(inference.predict_fn(data, model), 'text/plain')[0].decode()[:4])\n"
    )
    ran = run(sys.executable, "-c", f"import sys; sys.path.insert(0, 'code')\n{code}", cwd=tmp_path)
    where, kernel, text = ran.stdout.splitlines()[:3]
    assert not where.startswith(str(Path(packaging.__file__).parents[1]))
    assert Path(where).parent in Path(kernel).parents
    assert text == "The "


def test_a_model_that_is_not_whole_is_not_packed(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.tar.gz"
    (tmp_path / "run/training").mkdir(parents=True)
    with pytest.raises(ModelDirectoryError, match="without a finished model"):
        package(tmp_path / "run", output)
    with pytest.raises(ModelDirectoryError, match="no such model directory"):
        package(tmp_path / "nothing", output)
    shutil.copytree(trained, tmp_path / "altered")
    with (tmp_path / "altered/model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelDirectoryError, match=r"model\.safetensors is altered"):
        package(tmp_path / "altered", output)
    assert not output.exists()


def test_a_package_is_not_written_over_a_folder(trained: Path, tmp_path: Path) -> None:
    for output in (tmp_path, Path()):
        with pytest.raises(UsageError, match=r"is a folder: name the archive to write, such as .*model\.tar\.gz"):
            package(trained, output, check=False)


def test_a_package_that_does_not_serve_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/model.safetensors").write_bytes(b"no weights")
    config["files"]["model.safetensors"] = hashlib.sha256(b"no weights").hexdigest()
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    with pytest.raises(ModelDirectoryError, match="does not serve"):
        package(tmp_path / "m", tmp_path / "model.tar.gz")
    assert not (tmp_path / "model.tar.gz").exists()


def test_archives_say_nothing_of_when_or_where(trained: Path, tmp_path: Path) -> None:
    path = package(trained, tmp_path / "model.tar.gz", check=False).path
    with tarfile.open(path) as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    with gzip.open(path) as packed:
        packed.peek(1)
        assert packed.mtime == 0
    assert io.BytesIO(path.read_bytes()[:10]).read()[3] == 0  # no name in it


@pytest.mark.slow
def test_code_of_the_current_folder_does_not_run(trained: Path, tmp_path: Path) -> None:
    """Its names are those of modules that charloom starts or imports."""
    for name in ("pip", "charloom", "torch", "packaging", "requests"):
        (tmp_path / f"{name}.py").write_text(f"open('ran-{name}', 'w').close()\n")
    command = ["sagemaker", "package", str(trained), "-o", "model.tar.gz", "--vendor", "--no-check"]
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_RETRIES": "0"}
    environment.pop("PYTHONSAFEPATH", None)
    charloom = Path(sys.executable).with_name("charloom")
    ran = subprocess.run(
        [charloom, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "pip cannot download" in ran.stderr, "pip itself was asked"
    assert list(tmp_path.glob("ran-*")) == []


def test_neither_scripts_nor_images_import_from_the_folder_they_stand_in() -> None:
    root = Path(__file__).resolve().parents[2]
    texts = {path: path.read_text("utf-8") for path in (*root.glob("scripts/*"), *root.glob("docker/*.Dockerfile"))}
    starts = [(path, one) for path, text in texts.items() for one in re.findall(r'python\S* [^\n]*?-m"?,? "?\w+', text)]
    assert len(starts) >= 5
    ours = ("pytest", "reference", "figures", "tests")  # these are in the folder, or import from it
    assert [(path, one) for path, one in starts if "-P" not in one and not one.endswith(ours)] == []
