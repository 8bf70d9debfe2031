"""MLflow: a run on the tracking server that the environment names, or in `mlruns/` of the model directory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charloom.bundle.config import CARD, MLRUNS, PICTURE, TRAINING
from charloom.files import atomic_write
from charloom.folders import MLFLOW_RUN

EXPERIMENT = "charloom"

_SEND_EVERY = 10.0  # seconds between two deliveries
_RETRY_AFTER = 60.0  # seconds before the next one when one has failed
_BATCH = 500  # figures in one delivery; MLflow takes up to 1,000
_LONGEST = 500  # characters of a setting's value; older servers take no more
_ENVIRONMENT = {
    # Where the environment says nothing else. Recent versions of MLflow want leave to use local files, and its
    # databases need libraries that mlflow-skinny lacks; a private text does not belong in telemetry; a server that is
    # down must not hold up the training for minutes.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflowTracker:
    """One MLflow run; a resumed training goes on with the same. Figures wait here until they are delivered."""

    def __init__(self, folder: Path) -> None:
        """Record runs of `folder`."""
        with _environment():
            import mlflow
            from mlflow.entities import Metric, Param

            self._mlflow: Any = mlflow
            self._local = not self._mlflow.is_tracking_uri_set()
            uri = (folder.resolve() / MLRUNS).as_uri() if self._local else mlflow.get_tracking_uri()
        self._metric: Any = Metric
        self._param: Any = Param
        self._uri = uri
        self._folder = folder
        self._client: Any = None
        self._run: str | None = None
        self._facts: dict[str, object] | None = None
        self._waiting: list[Any] = []
        self._next_delivery = 0.0

    def begin(self, facts: dict[str, object], resumed_from_step: int) -> None:
        """Begin a run, or go on with the one that the unfinished training had; another one if it starts again."""
        self._facts = facts
        if self._run is not None:
            self._waiting.clear()
            with _environment():
                self._client.set_terminated(self._run, "KILLED")
                self._run = self._start()
        self._deliver()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Put figures by, and deliver them now and then."""
        now = round(time.time() * 1000)
        self._waiting += [self._metric(name, value, now, step) for name, value in values.items()]
        if time.monotonic() >= self._next_delivery:
            self._deliver()

    def sample(self, step: int, text: str) -> None:
        """MLflow takes no texts by step."""

    def saved(self, model: Path) -> None:
        """Add the picture and the card to the run."""
        self._deliver()
        with _environment():
            for name in (PICTURE, CARD):
                self._client.log_artifact(self._run, str(model / name))

    def end(self, outcome: str) -> None:
        """Deliver what waits and say how the run ended."""
        if self._facts is None:
            return
        self._deliver()
        with _environment():
            self._client.set_terminated(self._run, outcome)

    def _deliver(self) -> None:
        self._next_delivery = time.monotonic() + _RETRY_AFTER
        with _environment():
            if self._run is None:
                self._client = self._mlflow.MlflowClient(tracking_uri=self._uri)
                self._run = self._go_on() or self._start()
            while self._waiting:
                self._client.log_batch(self._run, metrics=self._waiting[:_BATCH])
                del self._waiting[:_BATCH]
        self._next_delivery = time.monotonic() + _SEND_EVERY

    def _start(self) -> str:
        run = self._client.create_run(self._experiment_id(), run_name=self._folder.resolve().name)
        settings = [self._param(name, str(value)[:_LONGEST]) for name, value in (self._facts or {}).items()]
        self._client.log_batch(run.info.run_id, params=settings)
        with atomic_write(self._folder / TRAINING / MLFLOW_RUN) as file:
            file.write(json.dumps({"run_id": run.info.run_id}).encode())
        return str(run.info.run_id)

    def _experiment_id(self) -> str:
        """The experiment's, made if need be; another one where a moved folder's would put files in the old place."""
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        for count in itertools.count(1):
            name = wanted if count == 1 else f"{wanted} {count}"
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                return str(self._client.create_experiment(name))
            if self._is_here(experiment.artifact_location):
                return str(experiment.experiment_id)
        raise AssertionError("unreachable")

    def _is_here(self, location: str) -> bool:
        """MLflow keeps full paths: those of its local files are wrong once the folder has been moved."""
        return not self._local or location.startswith(self._uri + "/")

    def _go_on(self) -> str | None:
        """The unfinished training's run; None where there is none, not on this server, or the folder was moved."""
        try:
            run_id = json.loads((self._folder / TRAINING / MLFLOW_RUN).read_bytes())["run_id"]
            run = self._client.get_run(run_id)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        except self._mlflow.MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        if not self._is_here(run.info.artifact_uri):
            return None
        self._client.update_run(run_id, status="RUNNING")
        return str(run_id)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Our defaults of MLflow's variables, for the time of a call."""
    ours = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
