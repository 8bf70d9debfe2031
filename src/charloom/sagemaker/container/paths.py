"""Where a job finds its data and leaves its results: SageMaker's variables, or its folders where they are absent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charloom.errors import UsageError
from charloom.folders import holds_prepared

BASE = "/opt/ml"
CHANNEL = "SM_CHANNEL_"


@dataclass(frozen=True)
class ContainerPaths:
    """The folders of one job on one machine.

    Attributes:
        data: the channels' folders are in it, unless a variable says where one is.
        model: what becomes `model.tar.gz`.
        records: what becomes part of `output.tar.gz`.
        checkpoints: kept in S3 while the job runs, and there again when it is restarted.
        environ: the environment, which names channels.
    """

    data: Path
    model: Path
    records: Path
    checkpoints: Path
    environ: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ContainerPaths:
        """The folders that an environment names."""
        base = base_folder(environ)
        return cls(
            data=base / "input" / "data",
            model=Path(environ.get("SM_MODEL_DIR") or base / "model"),
            records=Path(environ.get("SM_OUTPUT_DATA_DIR") or base / "output" / "data"),
            checkpoints=base / "checkpoints",
            environ=environ,
        )

    def channel(self, name: str) -> Path | None:
        """The folder of a channel, or None where the job has no such channel."""
        named = self.environ.get(CHANNEL + name.upper())
        folder = Path(named) if named else self.data / name
        return folder if named or folder.exists() else None


def base_folder(environ: Mapping[str, str]) -> Path:
    """What is /opt/ml in a container."""
    return Path(environ.get("SAGEMAKER_BASE_DIR") or BASE)


def writes(environ: Mapping[str, str]) -> bool:
    """Whether this process is the one of its job that writes: rank 0 of torchrun's, or the only one."""
    return "TORCHELASTIC_RUN_ID" not in environ or environ.get("RANK") == "0"


def text_in(folder: Path) -> Path:
    """What a channel's folder gives to read: a prepared corpus, its only file, or all its texts.

    A prepared corpus may be one level down, as it does where a whole folder was uploaded.
    """
    if holds_prepared(folder):
        return folder
    try:
        with os.scandir(folder) as found:
            entries = sorted(Path(entry.path) for entry in found if not entry.name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read the channel's folder {folder}: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir() and holds_prepared(entry) and len(entries) > 1:
            raise UsageError(f"{entry} is a prepared corpus, which must be alone in its channel")
    if len(entries) == 1 and (entries[0].is_file() or holds_prepared(entries[0])):
        return entries[0]
    return folder
