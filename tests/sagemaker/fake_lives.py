"""Jobs and endpoints that take their time: each look at one shows its next state, and the last one stays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: the spot instance was reclaimed",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}
_ENDED = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
_QUIET = ("Starting", "Downloading", "Creating", "Updating")  # nothing of ours runs yet, so nothing is logged


@dataclass
class Life:
    """One resource's states, and what it says while it goes through them."""

    states: list[str]
    failure: str = ""
    logs: list[str] = field(default_factory=list)
    seconds: int = 90
    metrics: dict[str, float] = field(default_factory=dict)
    artifact: bytes | Path | None = None
    address: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    shown: list[tuple[str, float]] = field(default_factory=list)

    @property
    def state(self) -> str:
        return self.shown[-1][0] if self.shown else self.states[0]

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    def look(self) -> tuple[str, list[str]]:
        """The next state, and the lines that are written in it."""
        state = self.states[min(len(self.shown), len(self.states) - 1)]
        if not self.shown or state != self.state or len(self.shown) < len(self.states):
            self.shown.append((state, time.time()))
        left = max(1, len(self.states) - len(self.shown) + 1)
        count = 0 if state in _QUIET else -(-len(self.logs) // left)
        lines, self.logs = self.logs[:count], self.logs[count:]
        return state, lines

    def turn(self, *states: str) -> None:
        """From now on, these states."""
        self.states = [state for state, _ in self.shown] + list(states)


def job_life(states: Sequence[str] | None, failure: str) -> list[str]:
    if states is not None:
        return list(states)
    return ["Starting", "Downloading", "Training", *(["Failed"] if failure else ["Uploading", "Completed"])]


def training_fields(life: Life) -> dict[str, Any]:
    """What DescribeTrainingJob says of the state a job is in."""
    state, now = life.state, time.time()
    fields: dict[str, Any] = {
        "TrainingJobStatus": primary(state),
        "SecondaryStatus": state,
        "SecondaryStatusTransitions": _transitions(life),
        "LastModifiedTime": now,
        "AlgorithmSpecification": life.request["AlgorithmSpecification"],
        "OutputDataConfig": {"KmsKeyId": "", **life.request["OutputDataConfig"]},
        "FinalMetricDataList": [
            {"MetricName": name, "Value": value, "Timestamp": now} for name, value in life.metrics.items()
        ],
    }
    if life.failure and state == "Failed":
        fields["FailureReason"] = life.failure
    if any(name == "Training" for name, _ in life.shown):
        fields["TrainingStartTime"] = life.shown[0][1]
    if life.ended:
        spot = life.request.get("EnableManagedSpotTraining", False)
        fields |= {
            "TrainingTimeInSeconds": life.seconds,
            "BillableTimeInSeconds": int(life.seconds * 0.3) if spot else life.seconds,
            "TrainingEndTime": now,
        }
    if life.ended and state != "Failed":
        fields["ModelArtifacts"] = {"S3ModelArtifacts": artifact_address(life.request)}
    return fields


def artifact_address(request: dict[str, Any]) -> str:
    place = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    return f"{place}/{request['TrainingJobName']}/output/model.tar.gz"


def primary(state: str) -> str:
    """The status that a secondary status belongs to."""
    if state in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        return "Stopped"
    return state if state in ("Completed", "Failed", "Stopped", "Stopping") else "InProgress"


def _transitions(life: Life) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for state, began in life.shown:
        if found and found[-1]["Status"] == state:
            continue
        if found:
            found[-1]["EndTime"] = began
        found.append({"Status": state, "StartTime": began, "StatusMessage": _MESSAGES.get(state, state)})
    if life.ended and found:
        found[-1]["EndTime"] = found[-1]["StartTime"]
    return found
