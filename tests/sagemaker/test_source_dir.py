"""The folder of code that a training job runs: written by a command, started by SageMaker, imported by an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from charloom.bundle import open_model_directory
from charloom.sagemaker import pack_source, write_source
from tests.cli.conftest import Charloom

SMALL = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--bptt", "16", "--steps", "2"]


def python(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python as in a container: it finds this environment's packages, but charloom only where it is put."""
    cleared = ("SM_", "SAGEMAKER_", "TORCHELASTIC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(cleared)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**kept, "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("sdk") / "source")


def test_the_command_writes_the_folder_once(cli: Charloom, tmp_path: Path) -> None:
    first = cli("sagemaker", "package", "--source", tmp_path / "a/source")
    assert (first.status, f"source_dir='{tmp_path}/a/source'" in first.err) == (0, True)
    written = files(tmp_path / "a/source")
    assert {"train.py", "requirements.txt", "charloom/__init__.py", "charloom/recipes/article.yaml"} <= set(written)
    again = cli("sagemaker", "package", "--source", tmp_path / "a/source", "--json")
    assert json.loads(again.out) == {"source": str(tmp_path / "a/source"), "entry_point": "train.py"}
    assert files(tmp_path / "a/source") == written
    assert cli("sagemaker", "package", "--source", tmp_path / "dry", "--dry-run").status == 0
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize("name", ["train.py", "notes.txt", "charloom/mine.py", "src/train.py"])
def test_a_folder_with_files_of_somebody_is_left_alone(cli: Charloom, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    ran = cli("sagemaker", "package", "--source", tmp_path)
    assert (ran.status, f"holds {name}, which is not of this charloom" in ran.err) == (2, True)
    assert files(tmp_path) == {name: b"mine"}


def test_a_link_leads_nothing_out_of_the_folder(cli: Charloom, tmp_path: Path) -> None:
    (tmp_path / "project/sagemaker").mkdir(parents=True)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/charloom").symlink_to(tmp_path / "project")
    ran = cli("sagemaker", "package", "--source", tmp_path / "source")
    assert (ran.status, "holds charloom, which is not of this charloom" in ran.err) == (2, True)
    assert files(tmp_path / "project") == {}


def test_what_cannot_be_meant(cli: Charloom, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, said in (
        ([], "name the model directory to pack, or give --source"),
        (["model", "--source", tmp_path / "new"], "name no model, or leave --source out"),
        (["--source", tmp_path / "file"], "is a file: name a folder"),
        (["--source", ""], "--source is followed by an empty name"),
    ):
        ran = cli("sagemaker", "package", *arguments)
        assert (ran.status, said in ran.err) == (2, True), ran.err
    assert not (tmp_path / "new").exists()


def test_the_archive_holds_the_same_files(source: Path, tmp_path: Path) -> None:
    path = pack_source(tmp_path)
    assert path == tmp_path / "sourcedir.tar.gz"
    assert pack_source(tmp_path / "again.tar.gz").read_bytes() == path.read_bytes()
    with tarfile.open(path) as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert files(tmp_path / "unpacked") == files(source)


@pytest.mark.slow
def test_pip_is_asked_for_nothing_that_an_image_has(source: Path, tmp_path: Path) -> None:
    """torch above all; and never for charloom, which is on no index. pip is started in another folder on endpoints."""
    names = [
        line.split("[")[0].split(">")[0].split("<")[0] for line in files(source)["requirements.txt"].decode().split()
    ]
    assert {"torch", "numpy", "onnxruntime", "fastapi", "uvicorn"} <= set(names)
    assert not {"charloom", "boto3", "pytest"} & set(names)
    report = tmp_path / "report.json"
    asked = ["--dry-run", "--no-index", "-q", "-r", source / "requirements.txt", "--report", report]
    ran = python("-P", "-m", "pip", "install", *asked, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(report.read_text())["install"] == []


@pytest.mark.slow
def test_the_entry_point_trains_from_anywhere(source: Path, small_text: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_bytes(small_text.read_bytes()[:3000])
    places = {"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "SM_CHANNEL_TRAINING": str(tmp_path / "data")}
    ran = python(source / "train.py", *SMALL, "--device", "cpu", "--threads", "1", cwd=tmp_path, **places)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert open_model_directory(tmp_path / "ml/model").config.model.hidden_size == 8
    assert {"inference.py", "requirements.txt"} <= {path.name for path in (tmp_path / "ml/model/code").iterdir()}


@pytest.mark.slow
def test_importing_the_entry_point_trains_nothing_and_gives_the_four_functions(source: Path, trained: Path) -> None:
    """As an endpoint does that an estimator deployed: no channels, no hyperparameters, and train.py by its name."""
    code = (
        "import train, charloom\n"
        f"model = train.model_fn({str(trained)!r})\n"
        "data = train.input_fn(bytearray(b'30-The '), 'text/plain')\n"
        "answer = train.output_fn(train.predict_fn(data, model), 'text/plain')[0].decode()\n"
        "print(charloom.__file__, len(answer), answer[:4], sep='|')\n"
    )
    ran = python("-c", code, cwd=source)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{source}/charloom/__init__.py|30|The \n"
