from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import charloom
from charloom.errors import MissingExtraError, TrainingError, UsageError
from charloom.events import Event, Notice, StepTaken
from charloom.training.tracking import POINTS, Tracking
from tests.training.test_run import OPTIONS, Crash, after, losses, nan_after

SCALARS = {"train_loss", "validation_loss", "bits_per_char", "learning_rate", "characters_per_second"}


@pytest.fixture(scope="module")
def text(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(small_text.read_text("utf-8")[:4_000], "utf-8")
    return path


@pytest.fixture(autouse=True)
def _no_server_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


@pytest.fixture
def notices() -> list[str]:
    return []


def listener(notices: list[str]) -> Any:
    def notify(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.message)

    return notify


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def scalar(folder: Path, tag: str) -> dict[int, float]:
    points = events(folder).Scalars(tag)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


class Reader:
    """MLflow's client, made when it is first used: it makes the folder that it reads."""

    def __init__(self, store: str) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(MlflowClient(tracking_uri=self._store), name)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Reads the local store of the model directory `m`."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return cast(MlflowClient, Reader((tmp_path / "m/mlruns").as_uri()))


def runs(client: MlflowClient, experiment: str = "charloom") -> list[Run]:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))


def metric(client: MlflowClient, run: Run, name: str) -> dict[int, float]:
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}


def test_tensorboard_holds_the_whole_run(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, track=["tensorboard"], **OPTIONS)
    assert set(events(folder).Tags()["scalars"]) == SCALARS
    assert scalar(folder, "validation_loss") == pytest.approx(losses(folder), rel=1e-6)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    trained = {record["step"]: record for record in records if "train_loss" in record}
    assert scalar(folder, "train_loss") == pytest.approx({s: r["train_loss"] for s, r in trained.items()}, rel=1e-5)
    rates = {step: record["learning_rate"] for step, record in trained.items()}
    assert scalar(folder, "learning_rate") == pytest.approx(rates, rel=1e-6)
    samples = {event.step: event.tensor_proto.string_val[0] for event in events(folder).Tensors("sample/text_summary")}
    written = {record["step"]: record["sample"] for record in records if "sample" in record}
    assert {step: sample.decode().replace("\n    ", "\n")[4:] for step, sample in samples.items()} == written
    (settings,) = events(folder).Tensors("settings/text_summary")
    assert b"| hidden_size | 24 |" in settings.tensor_proto.string_val[0]


def test_files_and_their_names_tell_nothing_of_the_machine(text: Path, tmp_path: Path) -> None:
    import socket

    charloom.train(text, tmp_path / "m", track=["tensorboard"], **OPTIONS)
    (file,) = (tmp_path / "m/tensorboard").iterdir()
    assert socket.gethostname() not in file.name
    assert str(tmp_path).encode() not in file.read_bytes()


@pytest.mark.parametrize("steps", [5, 17])
def test_a_resumed_run_goes_on_in_the_same_places(text: Path, tmp_path: Path, client: MlflowClient, steps: int) -> None:
    """Crashed after a step, with a checkpoint of step 10 or none: what lies beyond it is recorded once."""
    folder = tmp_path / "m"
    remaining = steps

    def crash() -> bool:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            raise Crash
        return False

    with pytest.raises(Crash):
        charloom.train(text, folder, should_stop=crash, track=["tensorboard", "mlflow"], **OPTIONS)
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    charloom.train(text, folder, resume=True)
    assert scalar(folder, "validation_loss") == pytest.approx(losses(folder), rel=1e-6)
    assert set(scalar(folder, "train_loss")) == set(range(1, 31))
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    assert metric(client, run, "validation_loss") == pytest.approx(losses(folder))
    assert set(metric(client, run, "train_loss")) == set(range(1, 31))


def test_mlflow_holds_the_whole_run(text: Path, tmp_path: Path, client: MlflowClient) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, track=["mlflow"], **OPTIONS)
    (run,) = runs(client)
    assert run.info.run_name == "m"
    assert run.info.status == "FINISHED"
    assert set(run.data.metrics) == SCALARS
    assert metric(client, run, "validation_loss") == losses(folder)
    assert run.data.params["hidden_size"] == "24"
    assert run.data.params["vocab_size"] == str(json.loads((folder / "config.json").read_text())["model"]["vocab_size"])
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"loss.svg", "README.md"}
    assert (
        Path(client.download_artifacts(run.info.run_id, "loss.svg")).read_bytes() == (folder / "loss.svg").read_bytes()
    )
    assert not (folder / "training").exists()


@pytest.mark.slow
def test_an_interrupted_run_is_killed_and_then_goes_on(text: Path, tmp_path: Path, client: MlflowClient) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, should_stop=after(12), track=["mlflow"], **OPTIONS)
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    charloom.train(text, folder, resume=True)
    (run,) = runs(client)
    assert run.info.status == "FINISHED"


def test_a_diverged_run_has_failed(
    text: Path, tmp_path: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan_after(20, monkeypatch)
    with pytest.raises(TrainingError):
        charloom.train(text, tmp_path / "m", track=["mlflow"], **OPTIONS)
    (run,) = runs(client)
    assert run.info.status == "FAILED"


@pytest.mark.slow
def test_a_moved_folder_begins_another_mlflow_run(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    charloom.train(text, tmp_path / "old", should_stop=after(12), track=["mlflow"], **OPTIONS)
    (tmp_path / "old").rename(tmp_path / "m")
    charloom.train(text, tmp_path / "m", resume=True)
    assert not (tmp_path / "old").exists()
    client = MlflowClient(tracking_uri=(tmp_path / "m/mlruns").as_uri())
    (before,), (since,) = runs(client), runs(client, "charloom 2")
    assert [before.info.status, since.info.status] == ["KILLED", "FINISHED"]
    assert {file.path for file in client.list_artifacts(since.info.run_id)} == {"loss.svg", "README.md"}


def test_the_environment_names_the_server(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "central").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "plays")
    charloom.train(text, tmp_path / "m", track=["mlflow"], **OPTIONS)
    assert not (tmp_path / "m/mlruns").exists()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (run,) = runs(MlflowClient(tracking_uri=(tmp_path / "central").as_uri()), "plays")
    assert run.info.run_name == "m"


@pytest.mark.slow
def test_overwriting_forgets_event_files_and_keeps_mlflow_runs(
    text: Path, tmp_path: Path, client: MlflowClient
) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, track=["tensorboard", "mlflow"], **OPTIONS)
    (folder / "tensorboard/mine.txt").write_text("mine")
    charloom.train(text, folder, overwrite=True, track=["tensorboard", "mlflow"], **{**OPTIONS, "steps": 20})
    assert len(list((folder / "tensorboard").glob("events*"))) == 1
    assert max(scalar(folder, "train_loss")) == 20
    assert [run.data.params["steps"] for run in runs(client)] == ["30", "20"]
    charloom.train(text, folder, overwrite=True, **OPTIONS)
    assert [path.name for path in (folder / "tensorboard").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_tracking_does_not_change_what_is_learned(text: Path, tmp_path: Path) -> None:
    charloom.train(text, tmp_path / "plain", **OPTIONS)
    charloom.train(text, tmp_path / "m", track=["tensorboard", "mlflow"], **OPTIONS)
    plain, tracked = (tmp_path / name / "model.safetensors" for name in ("plain", "m"))
    assert plain.read_bytes() == tracked.read_bytes()


@pytest.mark.slow
def test_tracking_can_be_changed_when_resumed(text: Path, tmp_path: Path, client: MlflowClient) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, should_stop=after(12), track=["tensorboard"], **OPTIONS)
    charloom.train(text, folder, resume=True, track=["mlflow"])
    assert max(scalar(folder, "train_loss")) == 12
    assert min(metric(client, runs(client)[0], "train_loss")) == 13


@pytest.mark.slow
def test_a_server_that_is_down_is_reported_once(
    text: Path, tmp_path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    charloom.train(text, tmp_path / "m", notify=listener(notices), track=["mlflow"], **OPTIONS)
    (notice,) = notices
    assert notice.startswith("mlflow has gaps, training goes on: ")
    assert "\n" not in notice
    assert charloom.load(tmp_path / "m")


def test_what_a_server_missed_is_delivered_later(
    text: Path, tmp_path: Path, notices: list[str], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses three times; at the end nothing is missing."""
    refusals = 3
    original = MlflowClient.log_batch

    def log_batch(self: MlflowClient, *arguments: Any, **named: Any) -> Any:
        nonlocal refusals
        if "metrics" in named and refusals > 0:
            refusals -= 1
            raise ConnectionError("nobody there")
        return original(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    monkeypatch.setattr("charloom.training.tracking_mlflow._RETRY_AFTER", 0.0)
    monkeypatch.setattr("charloom.training.tracking_mlflow._SEND_EVERY", 0.0)
    charloom.train(text, tmp_path / "m", notify=listener(notices), track=["mlflow"], **OPTIONS)
    assert notices == ["mlflow has gaps, training goes on: nobody there"]
    (run,) = runs(client)
    assert set(metric(client, run, "train_loss")) == set(range(1, 31))


def test_a_disk_that_is_full_for_event_files_is_reported_once(
    text: Path, tmp_path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    original, written = RecordWriter.write, 0

    def write(self: Any, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > 15:
            raise OSError(28, "No space left on device")
        original(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    charloom.train(text, tmp_path / "m", notify=listener(notices), track=["tensorboard"], **OPTIONS)
    assert len(notices) == 1
    assert "No space left" in notices[0]
    assert 0 < max(scalar(tmp_path / "m", "train_loss")) < 30


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_library_is_reported_before_anything_is_written(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"--track {name} needs the 'track' extra"):
        charloom.train(text, tmp_path / "m", **{**OPTIONS, "track": [name]})
    assert not (tmp_path / "m").exists()


def test_an_unknown_tracker(text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="track"):
        charloom.train(text, tmp_path / "m", **{**OPTIONS, "track": ["notebook"]})


class Counter:
    """A tracker that counts."""

    def __init__(self) -> None:
        self.points: dict[int, dict[str, float]] = {}

    def begin(self, facts: dict[str, object], resumed_from_step: int) -> None:
        pass

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.points[step] = values

    def sample(self, step: int, text: str) -> None:
        pass

    def saved(self, model: Path) -> None:
        pass

    def end(self, outcome: str) -> None:
        pass


def test_a_long_run_writes_some_thousand_points_with_mean_losses(tmp_path: Path) -> None:
    tracking, counter = Tracking(tmp_path, [], None, lambda event: None), Counter()
    tracking._trackers["tensorboard"] = counter
    for step in range(1, 10_001):
        tracking(StepTaken(step, 10_000, 0.0, float(step), 0.1, 1.0, 0.0))
    assert len(counter.points) == POINTS
    assert counter.points[10]["train_loss"] == pytest.approx(5.5)
    assert counter.points[10_000]["train_loss"] == pytest.approx(9995.5)
