"""A training job without SageMaker's toolkit: what our own image and the runner of this machine start.

`docker run IMAGE train` finds a tree at /opt/ml and no variables: this reads the one and makes the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charloom.errors import CharloomError, StorageError, UsageError
from charloom.interrupts import INTERRUPTED
from charloom.sagemaker.container.hyperparameters import read_hyperparameters
from charloom.sagemaker.container.paths import CHANNEL, base_folder, writes
from charloom.sagemaker.container.report import make_streams_safe, print_failure, reason
from charloom.sagemaker.container.training import launch_command, run

_LARGEST = 4 << 20  # bytes of a configuration file: 100 hyperparameters of 2,500 characters are far below
_REASON = 1024  # characters that SageMaker shows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job of /opt/ml (or SAGEMAKER_BASE_DIR), on all GPUs of all hosts; `train` is the only argument."""
    make_streams_safe()
    given = list(sys.argv[1:] if arguments is None else arguments)
    base = base_folder(os.environ)
    if given not in ([], ["train"]):
        return _report_failure(base, UsageError(f"{' '.join(given)[:200]!r}: the only thing to do here is train"))
    try:
        environ = job_environment(base, os.environ)
        device = str(read_hyperparameters(environ, ()).get("device", "auto"))
        command = launch_command(environ, device, __spec__.name, ["train"])
    except CharloomError as error:
        return _report_failure(base, error)
    if command is not None:
        os.execve(command[0], command, dict(environ))  # in place of this process: signals must reach torchrun
    return run_job(base)


def run_job(base: Path) -> int:
    """Run the training job whose tree is in a folder, in this process, and leave its outcome there.

    SIGTERM and SIGINT make it save a checkpoint, write the best model so far and end. Several processes that torchrun
    started may run the same job: rank 0 writes.

    Args:
        base: what is /opt/ml in a container: `input/config/*.json` and `input/data` are read, `checkpoints`,
            `model` and `output` written.

    Returns:
        The exit status: 0 with `output/success` written, 130 where it was stopped (neither file), else with the
        reason in `output/failure`.
    """
    try:
        environ = job_environment(base, os.environ)
        status = run(environ)
        if status == 0 and writes(environ):
            _leave(base, "success", "")
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _report_failure(base, error)


def job_environment(base: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """An environment with the variables that SageMaker's toolkit would set for the tree in `base`."""
    hyperparameters = {name: _decode(value) for name, value in _read(base, "hyperparameters.json").items()}
    channels = _read(base, "inputdataconfig.json")
    resources = _read(base, "resourceconfig.json")
    data = base / "input" / "data"
    return {
        **{name: value for name, value in environ.items() if not name.startswith("SM_")},
        **{CHANNEL + name.upper(): str(data / name) for name in channels},
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_HPS": json.dumps(hyperparameters),
        "SM_MODEL_DIR": str(base / "model"),
        "SM_OUTPUT_DATA_DIR": str(base / "output" / "data"),
        "SM_HOSTS": json.dumps(resources.get("hosts") or ["localhost"]),
        "SM_CURRENT_HOST": str(resources.get("current_host") or ""),
        "SM_NUM_GPUS": str(len(list(Path("/dev").glob("nvidia[0-9]*")))),
    }


def _read(base: Path, name: str) -> dict[str, Any]:
    path = base / "input" / "config" / name
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_LARGEST))
    except FileNotFoundError:
        return {}  # a job need not have hyperparameters or channels
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: it must hold a JSON object")
    return data


def _decode(value: Any) -> Any:
    """A hyperparameter is JSON in a string; what is not JSON is meant literally."""
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return value


def _report_failure(base: Path, error: Exception) -> int:
    print_failure(error)
    with contextlib.suppress(StorageError):
        _leave(base, "failure", reason(error)[:_REASON])
    return error.exit_code if isinstance(error, CharloomError) else 1


def _leave(base: Path, name: str, text: str) -> None:
    """Write a file of the outcome, unless another process of this job has said it already."""
    path = base / "output" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


if __name__ == "__main__":
    raise SystemExit(main())
