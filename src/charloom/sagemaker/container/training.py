"""The entry point of a training job: what SageMaker's toolkit, torchrun, a person or the local runner starts.

It trains in the checkpoint folder, which SageMaker keeps in S3, and resumes from what is there: a spot instance is
taken away without notice. At the end the model goes where SageMaker packs it. A job that needs several processes
starts torchrun.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import charloom
from charloom.bundle import history_file, holds_model, open_model_directory
from charloom.bundle.config import CONFIG, EDITABLE, METRICS, PICTURE, TRAINING, FileName
from charloom.errors import CharloomError, ModelDirectoryError, UsageError
from charloom.events import Notice
from charloom.files import storage_errors
from charloom.folders import contents_of, holds_run
from charloom.interrupts import INTERRUPTED, signals_as_request
from charloom.sagemaker.container.hyperparameters import read_hyperparameters
from charloom.sagemaker.container.paths import ContainerPaths, text_in, writes
from charloom.sagemaker.container.report import JobView, make_streams_safe, print_failure, say, say_result

_PORT = 7777  # what SageMaker's toolkit takes

_CHECKPOINT_EVERY = "30s"  # a spot instance gives no notice, and what SageMaker has not copied yet is lost as well
_ARCHIVE = "model.tar.gz"  # what an earlier job left is a channel with this in it


def launch_command(environ: Mapping[str, str], device: str, module: str, arguments: Sequence[str]) -> list[str] | None:
    """The command that starts `module` once for each GPU of each host; None where one process does it all."""
    if "TORCHELASTIC_RUN_ID" in environ:
        return None
    hosts, current, gpus = _machines(environ)
    each = max(1, gpus) if device in ("auto", "cuda") else 1
    if len(hosts) * each == 1:
        return None
    command = [
        sys.executable,
        "-P",
        "-m",
        "torch.distributed.run",
        "--nnodes",
        str(len(hosts)),
        "--nproc-per-node",
        str(each),
    ]
    if len(hosts) == 1:
        command += ["--standalone", "--local-addr", "127.0.0.1"]
    else:  # rank 0 is on the first host
        command += ["--node-rank", str(hosts.index(current)), "--master-addr", hosts[0], "--master-port", str(_PORT)]
    return [*command, "-m", module, *arguments]


def _machines(environ: Mapping[str, str]) -> tuple[list[str], str, int]:
    text = environ.get("SM_HOSTS") or '["localhost"]'
    try:
        hosts: Any = json.loads(text)
        gpus = int(environ.get("SM_NUM_GPUS") or 0)
    except ValueError:
        hosts, gpus = None, 0
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, str) for host in hosts):
        raise UsageError(
            f"SM_HOSTS = {text[:200]!r}, SM_NUM_GPUS = {environ.get('SM_NUM_GPUS')!r}: not as SageMaker has it"
        )
    current = environ.get("SM_CURRENT_HOST") or hosts[0]
    if current not in hosts:
        raise UsageError(f"SM_CURRENT_HOST = {current!r} is none of SM_HOSTS = {text[:200]}")
    return hosts, current, gpus


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the environment and the command line say; the exit status: 0, 1, 2 for usage, 130 interrupted."""
    make_streams_safe()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        device = str(read_hyperparameters(os.environ, given).get("device", "auto"))
        command = launch_command(os.environ, device, __spec__.name, given)
        if command is not None:
            # In place of this process: signals must reach torchrun. Its children do not import from the folder either.
            os.execve(command[0], command, {**os.environ, "PYTHONSAFEPATH": "1"})
        return run(os.environ, given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print_failure(error)
        return error.exit_code if isinstance(error, CharloomError) else 1


def run(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Train one job in this process; of several processes that share it, rank 0 writes.

    Returns:
        0, or `INTERRUPTED` if SIGTERM or SIGINT ended it early.
    """
    paths, options = ContainerPaths.of(environ), read_hyperparameters(environ, arguments)
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary, signals_as_request() as should_stop:
        code = Path(temporary, "code")
        if writes(environ):  # before training: if it cannot be had, better to fail now
            _write_code(code)
        corpus = _corpus(paths, options)
        init_from = _origin(paths, options, Path(temporary, "origin"))
        options.setdefault("checkpoint_every", _CHECKPOINT_EVERY)
        if writes(environ):
            _clear_remains(paths.checkpoints)
        resume = _can_resume(paths.checkpoints)
        try:
            result = charloom.train(
                corpus,
                paths.checkpoints,
                init_from=init_from,
                resume=resume,
                overwrite=not resume,
                notify=JobView(),
                should_stop=should_stop,
                **options,
            )
        finally:
            if writes(environ):
                _keep_records(paths)
        if writes(environ):
            say_result(result)
            _write_model(Path(result.model), paths, code)
        return INTERRUPTED if result.interrupted else 0


def _write_code(folder: Path) -> None:
    from charloom.sagemaker.packaging import write_code

    write_code(folder)


def _corpus(paths: ContainerPaths, options: dict[str, Any]) -> str:
    """What to train on; a validation channel becomes the setting."""
    named, channel = options.pop("corpus", None), paths.channel("training")
    validation = paths.channel("validation")
    if validation is not None:
        options["validation"] = str(text_in(validation))
    if channel is not None:
        return str(text_in(channel))
    if named is None:
        raise UsageError("there is no text: give the job a channel called 'training', or SM_CHANNEL_TRAINING a folder")
    return str(named)


def _origin(paths: ContainerPaths, options: dict[str, Any], folder: Path) -> Path | None:
    """The model to start from: the channel's model directory or `model.tar.gz`, or the hyperparameter's folder."""
    named, channel = options.pop("init_from", None), paths.channel("model")
    if channel is None:
        return None if named is None else Path(named)
    with storage_errors(channel):
        inside = [channel, *sorted(path for path in channel.iterdir() if path.is_dir())]
    standing = next((path for path in inside if holds_model(path)), None)
    if standing is not None or not (channel / _ARCHIVE).is_file():
        return standing or channel  # where there is none, reading it says so
    from charloom.sagemaker.unpacking import unpack_model

    unpack_model(channel / _ARCHIVE, folder)
    return folder


def _can_resume(checkpoints: Path) -> bool:
    """Whether to resume what is there: always but for a finished model whose copying to S3 was cut off."""
    if not holds_model(checkpoints) or holds_run(checkpoints):
        return True
    try:
        if all(file.harmless for file in open_model_directory(checkpoints).check_files()):
            return True
    except ModelDirectoryError:
        pass
    JobView()(Notice(f"the model in {checkpoints} is not whole: starting from the beginning"))
    return False


def _clear_remains(checkpoints: Path) -> None:
    """Remove what a copy to S3 that was cut off has brought back: files of a model or a run, and not what they are of.

    Names say enough here, because the folder is the job's own.
    """
    with storage_errors(checkpoints):
        found = [] if not contents_of(checkpoints).others else list(checkpoints.iterdir())
        if {path.name for path in found} <= {*get_args(FileName), TRAINING} - EDITABLE:
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_model(trained: Path, paths: ContainerPaths, code: Path) -> None:
    """The finished model without what resuming needed, and what makes it serve.

    Only its own files; `config.json` last, because it says that the others are there.
    """
    config = open_model_directory(trained).config
    with storage_errors(paths.model):
        paths.model.mkdir(parents=True, exist_ok=True)
        shutil.copytree(code, paths.model / "code", dirs_exist_ok=True)
        for name in (*config.files, CONFIG):
            shutil.copyfile(trained / name, paths.model / name)
    say(f"the model is in {paths.model}")


def _keep_records(paths: ContainerPaths) -> None:
    """The history and its picture, of a run that failed too."""
    with storage_errors(paths.records):
        paths.records.mkdir(parents=True, exist_ok=True)
        history = history_file(paths.checkpoints)
        for file in (history if history.is_file() else paths.checkpoints / METRICS, paths.checkpoints / PICTURE):
            if file.is_file():
                shutil.copyfile(file, paths.records / file.name)


if __name__ == "__main__":
    raise SystemExit(main())
