"""The entry point of a training job, on a tree such as /opt/ml, in this process and in one of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.bundle import open_model_directory
from charloom.errors import UsageError
from charloom.sagemaker.container import job, training
from charloom.sagemaker.container.hyperparameters import check_hyperparameters, read_hyperparameters
from charloom.sagemaker.container.job import job_environment, run_job
from charloom.sagemaker.container.paths import text_in
from charloom.sagemaker.container.training import launch_command
from charloom.settings import ReadingSettings
from charloom.text.preparing import prepare_corpus
from tests.faults.processes import finish, newest_step, wait_until

SMALL: dict[str, Any] = {
    "hidden_size": 16, "embedding-size": 8, "batch-size": 8, "bptt": 32, "steps": 12, "evaluate-every": 6,
    "learning-rate": 0.01, "threads": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SM_", "SAGEMAKER_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)


@pytest.fixture
def text(small_text: Path) -> str:
    return small_text.read_text("utf-8")[:4_000]


def tree(base: Path, hyperparameters: Mapping[str, Any], **channels: Mapping[str, str]) -> Path:
    """What SageMaker lays out for a job."""
    for folder in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    files = {
        "hyperparameters": {name: json.dumps(value) for name, value in hyperparameters.items()},
        "inputdataconfig": {name: {"TrainingInputMode": "File"} for name in channels},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, content in files.items():
        (base / f"input/config/{name}.json").write_text(json.dumps(content), "utf-8")
    for channel, contents in channels.items():
        (base / "input/data" / channel).mkdir()
        for name, content in contents.items():
            (base / "input/data" / channel / name).write_text(content, "utf-8")
    return base


def failure(base: Path) -> str:
    return (base / "output/failure").read_text("utf-8")


def test_a_job_trains_and_leaves_a_model_that_deploys(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tree(tmp_path, SMALL, training={"a.txt": text}, validation={"b.txt": text[:500]})
    assert run_job(base) == 0
    assert (base / "output/success").exists()
    assert not (base / "output/failure").exists()
    model = charloom.load(base / "model")
    assert len(model.generate("The ", length=5).text) == 5
    config = open_model_directory(base / "model").config
    assert (config.model.hidden_size, config.corpus.sources, config.corpus.validation) == (16, ["a.txt"], "b.txt")
    assert {"inference.py", "requirements.txt"} <= {path.name for path in (base / "model/code").iterdir()}
    assert not (base / "model/training").exists()
    assert {path.name for path in (base / "output/data").iterdir()} == {"metrics.jsonl", "loss.svg"}
    out, err = capsys.readouterr()
    assert err == ""
    assert "step 12 · epoch" in out
    assert "bits/char" in out
    # A restart after the end: the same model again, nothing learned.
    shutil.rmtree(base / "model")
    assert run_job(base) == 0
    assert (base / "model/config.json").read_bytes() == (base / "checkpoints/config.json").read_bytes()
    assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_a_finished_model_that_is_not_whole_is_trained_again(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tree(tmp_path, {**SMALL, "steps": 6}, training={"a.txt": text})
    assert run_job(base) == 0
    (base / "checkpoints/model.onnx").write_bytes(b"half")
    assert run_job(base) == 0
    assert "is not whole: starting from the beginning" in capsys.readouterr().out
    assert charloom.load(base / "model").generate("a", length=2).characters == 2


@pytest.mark.parametrize(
    ("hyperparameters", "status", "said"),
    [
        (
            {"hiden-size": 3},
            2,
            r"no hyperparameter 'hiden-size' \(did you mean hidden-size\?\); .*batch-size, .*recipe",
        ),
        ({"hidden_size": 0}, 2, "hidden-size = 0: "),
        ({"recipe": 'no\'ne "x" 😀'}, 2, 'no such recipe: no\'ne "x" 😀'),
        ({"epochs": 1, "steps": 1}, 2, "epochs or steps, not both"),
        ({"hidden_size": 3, "hidden-size": 3}, 2, "hidden-size is given twice"),
        ({"encoding": "lat\nin"}, 2, "encoding"),
    ],
)
def test_what_cannot_work_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hyperparameters: dict[str, Any], status: int, said: str
) -> None:
    base = tree(tmp_path, hyperparameters, training={"a.txt": "text " * 200})
    assert run_job(base) == status
    err = capsys.readouterr().err
    assert err == f"charloom: {failure(base)} (ValueError)\n"
    assert re.search(said, failure(base))
    assert not any((base / "model").iterdir())
    assert not (base / "output/success").exists()


def test_a_job_without_text_or_with_broken_files_says_so(tmp_path: Path) -> None:
    base = tree(tmp_path / "a", {})
    assert run_job(base) == 2
    assert "give the job a channel called 'training'" in failure(base)
    base = tree(tmp_path / "b", {}, training={})
    assert run_job(base) == 1
    assert "there is no text in the folder" in failure(base)
    base = tree(tmp_path / "c", {})
    (base / "input/config/hyperparameters.json").write_text("{", "utf-8")
    assert run_job(base) == 2
    assert "hyperparameters.json: " in failure(base)


def test_hyperparameters_arrive_exactly() -> None:
    given = {"recipe": 'it\'s "so"\n😀', "budget": 90, "steps": "7", "sagemaker_program": "train.py", "seed": 2**62}
    given |= {"_tuning_objective_metric": "x", "epochs": None, "clean": ["nfc", "lowercase"], "window-dropout": False}
    assert read_hyperparameters({"SM_HPS": json.dumps(given)}, ["--seed", "5"]) == {
        "recipe": "it's \"so\"\n😀", "budget": 90, "steps": "7", "seed": 2**62, "clean": ["nfc", "lowercase"],
        "window_dropout": False,
    }  # fmt: skip
    by_hand = ["--hidden-size", "8", "--encoding=a b", "--window-dropout", "--seed", "3"]
    assert read_hyperparameters({}, by_hand) == {
        "hidden_size": "8", "encoding": "a b", "window_dropout": "true", "seed": "3",
    }  # fmt: skip
    for wrong in (["text.txt"], ["-x"]):
        with pytest.raises(UsageError, match="is not a hyperparameter"):
            read_hyperparameters({}, wrong)
    for hps in ("[1]", "{", "1", "[" * 100_000):
        with pytest.raises(UsageError, match=r"SM_HPS = .* must be a JSON object"):
            read_hyperparameters({"SM_HPS": hps}, [])
    with pytest.raises(UsageError, match="no hyperparameter"):
        check_hyperparameters({"output": "/"})


def test_the_environment_is_the_toolkits(tmp_path: Path) -> None:
    base = tree(tmp_path, {"recipe": "it's", "steps": 3}, training={})
    config = base / "input/config/hyperparameters.json"
    config.write_text(json.dumps({"steps": "3", "recipe": "it's", "cell": '"gru"'}), "utf-8")
    environ = job_environment(base, {"SM_HPS": "old", "PATH": "/bin"})
    assert json.loads(environ["SM_HPS"]) == {"steps": 3, "recipe": "it's", "cell": "gru"}
    assert environ["SM_CHANNEL_TRAINING"] == str(base / "input/data/training")
    assert (environ["SM_HOSTS"], environ["SM_CURRENT_HOST"], environ["PATH"]) == ('["algo-1"]', "algo-1", "/bin")


def test_a_channel_gives_a_prepared_corpus_a_file_or_all_texts(small_text: Path, tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    prepare_corpus([str(small_text)], channel / "mine", ReadingSettings())
    assert text_in(channel) == channel / "mine"
    assert text_in(channel / "mine") == channel / "mine"
    (channel / "more.txt").write_text("more", "utf-8")
    with pytest.raises(UsageError, match="must be alone in its channel"):
        text_in(channel)
    shutil.rmtree(channel / "mine")
    assert text_in(channel) == channel / "more.txt"
    (channel / ".hidden").touch()
    assert text_in(channel) == channel / "more.txt"
    (channel / "b.txt").touch()
    assert text_in(channel) == channel
    with pytest.raises(UsageError, match="cannot read the channel's folder"):
        text_in(tmp_path / "absent")


def test_a_prepared_corpus_trains(small_text: Path, tmp_path: Path) -> None:
    base = tree(tmp_path, {**SMALL, "steps": 4}, training={})
    prepare_corpus([str(small_text)], base / "input/data/training/mine", ReadingSettings())
    assert run_job(base) == 0
    assert open_model_directory(base / "model").config.corpus.characters == 20_000


@pytest.mark.slow
def test_it_goes_on_from_a_model_in_a_channel(
    trained: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"steps": 2, "device": "cpu", "batch-size": 8, "threads": 1}
    base = tree(tmp_path / "a", options, training={"a.txt": text}, model={})
    shutil.copytree(trained, base / "input/data/model/small")
    assert run_job(base) == 0
    assert open_model_directory(base / "model").config.training["init_from"]["name"] == "small"
    # What an earlier job left is an archive.
    base = tree(tmp_path / "b", options, training={"a.txt": text}, model={})
    archive = shutil.make_archive(str(tmp_path / "model"), "gztar", trained)
    shutil.copy(archive, base / "input/data/model/model.tar.gz")
    assert run_job(base) == 0
    assert "init_from" in open_model_directory(base / "model").config.training


def test_by_hand(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(text, "utf-8")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "ml"))
    arguments = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
    assert training.main([*arguments, "--corpus", str(tmp_path / "a.txt")]) == 0
    assert charloom.load(tmp_path / "ml/model").generate("a", length=3).characters == 3
    assert training.main(["--epoch", "3"]) == 2


def start(base: Path) -> subprocess.Popen[str]:
    """What an image's entry point starts."""
    return subprocess.Popen(
        [sys.executable, "-m", "charloom.sagemaker.container.job", "train"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_job_that_is_killed_or_stopped_goes_on_from_its_checkpoint(text: str, tmp_path: Path) -> None:
    endless = {**SMALL, "steps": 100_000, "evaluate-every": 50_000, "checkpoint-every": "0.2s"}
    base = tree(tmp_path, endless, training={"a.txt": text})
    process = start(base)
    wait_until(lambda: newest_step(base / "checkpoints") > 0, process)
    process.kill()
    process.communicate()
    assert not any((base / "output").glob("[sf]*"))
    reached = newest_step(base / "checkpoints")
    process = start(base)  # SIGTERM: the best so far is the model, and nothing is called a failure
    wait_until(lambda: newest_step(base / "checkpoints") > reached, process)
    process.send_signal(signal.SIGTERM)
    status, out, err = finish(process)
    assert (status, err) == (130, "")
    assert "the model is in" in out
    assert not any((base / "output").glob("[sf]*"))
    result = open_model_directory(base / "model").config.training["result"]
    assert result["interrupted"]
    assert result["resumed_from_step"] >= reached


def test_several_processes_are_started_where_there_are_several_gpus_or_hosts() -> None:
    def options(device: str = "auto", **variables: str) -> str:
        command = launch_command(variables, device, "m", ["train"])
        return "" if command is None else " ".join(command[1:])

    assert options() == options(SM_NUM_GPUS="1") == options("cpu", SM_NUM_GPUS="4") == ""
    assert options(SM_NUM_GPUS="4", TORCHELASTIC_RUN_ID="x") == ""
    one = options(SM_NUM_GPUS="4")
    assert one.startswith("-P -m torch.distributed.run "), "nothing is imported from the folder it starts in"
    assert "--nnodes 1 --nproc-per-node 4 --standalone" in one
    assert one.endswith("-m m train")
    two = options("cpu", SM_HOSTS='["algo-1", "algo-2"]', SM_CURRENT_HOST="algo-2", SM_NUM_GPUS="8")
    assert "--nnodes 2 --nproc-per-node 1 --node-rank 1 --master-addr algo-1" in two
    for wrong in ({"SM_HOSTS": "{}"}, {"SM_HOSTS": "x"}, {"SM_NUM_GPUS": "x"}, {"SM_CURRENT_HOST": "x"}):
        with pytest.raises(UsageError, match="SM_"):
            options(**wrong)


def test_only_train_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert job.main(["serve"]) == 2
    assert failure(tmp_path) == "'serve': the only thing to do here is train"


def test_an_unforeseen_error_has_a_traceback_after_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*anything: object, **more: object) -> None:
        raise KeyError("x\ny")

    monkeypatch.setattr(job, "run", broken)
    assert run_job(tmp_path) == 1
    assert failure(tmp_path) == "unexpected KeyError: 'x\\ny'"
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert (first, second) == (
        "charloom: unexpected KeyError: 'x\\ny' (RuntimeError)", "Traceback (most recent call last):",
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_of_the_page_runs_as_written(text: str, tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs/explanation/training-jobs.md"
    (block,) = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    exports, command = block.splitlines()
    variables = dict(part.split("=") for part in exports.split()[1:])
    (tmp_path / "your-texts").mkdir()
    (tmp_path / "your-texts/a.txt").write_text(text, "utf-8")
    program, *arguments = command.replace("--steps 200", "--steps 5").split()
    assert program == "python"
    ran = subprocess.run(
        [sys.executable, *arguments, "--device", "cpu"],
        cwd=tmp_path,
        env={**os.environ, **variables, "PYTHONPATH": str(Path(charloom.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert open_model_directory(tmp_path / "ml/model").config.model.cell == "gru"
