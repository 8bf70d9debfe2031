"""The /opt/ml tree that a training job finds, in a folder of this machine."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from charloom.errors import CloudError, CorpusError, UsageError
from charloom.events import Notify
from charloom.files import atomic_write, storage_errors
from charloom.sagemaker.names import S3Uri, is_s3

_HOST = "localhost"
_GROUP = "homogeneousCluster"  # what SageMaker calls the one group of a job's machines


def build_tree(
    base: Path, channels: Mapping[str, str], hyperparameters: Mapping[str, str], instances: int, notify: Notify
) -> None:
    """Make the tree of a job: configuration, data, code, and empty folders for what comes out.

    What an earlier job of that tree left goes, but for its checkpoints.

    Args:
        base: what is /opt/ml in a container.
        channels: the data by channel: a path, or an address in S3.
        hyperparameters: as SageMaker has them, JSON in strings.
        instances: how many processes share the work.
        notify: receives how far downloads are.

    Raises:
        UsageError: an address is not a valid one.
        CorpusError: a path leads nowhere.
        CloudError: S3 has not what was named.
        StorageError: the tree cannot be written.
    """
    with storage_errors(base):
        for name in ("input", "model", "output", "code"):
            shutil.rmtree(base / name, ignore_errors=True)
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints", "code"):
            (base / name).mkdir(parents=True, exist_ok=True)
    for file, content in _configuration(channels, hyperparameters, instances).items():
        with atomic_write(base / "input" / "config" / file) as opened:
            opened.write(json.dumps(content, ensure_ascii=False, indent=1).encode())
    for name, source in channels.items():
        _fill(base / "input" / "data" / _channel(name), source, notify)
    _unpack_code(base / "code")


def _configuration(
    channels: Mapping[str, str], hyperparameters: Mapping[str, str], instances: int
) -> dict[str, dict[str, Any]]:
    several = {"sagemaker_torch_distributed_enabled": "true"} if instances > 1 else {}
    group = {"instance_group_name": _GROUP, "instance_type": "local", "hosts": [_HOST]}
    return {
        "hyperparameters.json": {**hyperparameters, **several},
        "inputdataconfig.json": {name: {"TrainingInputMode": "File"} for name in channels},
        "resourceconfig.json": {
            "current_host": _HOST,
            "hosts": [_HOST],
            "network_interface_name": "lo",
            "current_instance_type": "local",
            "current_group_name": _GROUP,
            "instance_groups": [group],
        },
    }


def _channel(name: str) -> str:
    if not name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum() or name.startswith("."):
        raise UsageError(f"{name[:80]!r} is no name of a channel: letters, digits, and . _ - between them")
    return name


def _fill(folder: Path, source: str, notify: Notify) -> None:
    """Put the data of a channel in its place: downloaded, or a link to where it is."""
    if is_s3(source):
        _download(S3Uri.parse(source), folder, notify)
        return
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise CorpusError(f"{source}: there is no such file or folder to train on")
    with storage_errors(folder):
        if path.is_dir():
            folder.symlink_to(path, target_is_directory=True)
        else:
            folder.mkdir()
            (folder / path.name).symlink_to(path)


def _download(uri: S3Uri, folder: Path, notify: Notify) -> None:
    from charloom.sagemaker.account import connect
    from charloom.sagemaker.storage import download_file, objects_under

    account, found = connect(), False
    below = uri.key.rstrip("/") + "/" if uri.key else ""
    for address in objects_under(account, uri):
        if address.key.endswith("/"):  # a marker of a folder, which consoles make
            continue
        if address.key == uri.key:
            name = PurePosixPath(address.key).name
        elif address.key.startswith(below):
            name = address.key.removeprefix(below)
        else:  # its name only begins alike
            continue
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise CloudError(f"{address} has a name that no file can have here: rename it", "Name")
        download_file(account, address, folder / name, notify)
        found = True
    if not found:
        raise CloudError(f"{uri}: there is nothing there", "404")


def _unpack_code(folder: Path) -> None:
    """Put the very archive that SageMaker is given in place."""
    from charloom.sagemaker.source_dir import pack_source

    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, storage_errors(folder):
        archive = pack_source(Path(temporary))
        with tarfile.open(archive, "r:gz") as packed:
            packed.extractall(folder, filter="data")


def pack_model(model: Path, archive: Path) -> None:
    """Write `model.tar.gz` as SageMaker does when a job has ended: all that stands in the model folder.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(archive) as file, tarfile.open(fileobj=file, mode="w:gz") as packed:
        for entry in sorted(model.iterdir()):
            packed.add(entry, entry.name)
