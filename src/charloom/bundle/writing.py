"""Write a model directory: all files beside, then renamed, `config.json` last.

What people wrote into the folder stays: files of other names, and those of the model's own that they may edit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from charloom.bundle.config import CONFIG, EDITABLE, GENERATION, METRICS, VOCABULARY, FileName, ModelConfig
from charloom.bundle.reading import ModelDirectory
from charloom.errors import UsageError
from charloom.files import link_to_nothing, sha256_of_file, storage_errors, write_together
from charloom.folders import holds_run, model_records, why_not
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Vocabulary

_NAMES: frozenset[str] = frozenset(get_args(FileName))


def write_model_directory(
    path: Path,
    config_for: Callable[[dict[FileName, str]], ModelConfig],
    vocabulary: Vocabulary,
    sampling: SamplingSettings,
    files: Mapping[FileName, bytes],
) -> ModelConfig:
    """Commit a model.

    Args:
        path: the folder; it exists. Files in it that are not the model's are left alone, and so are those that
            `edited_files` names.
        config_for: makes the configuration from the checksums of all files.
        vocabulary: becomes `vocabulary.json`.
        sampling: the default sampling, becomes `generation_config.json`.
        files: the other files' contents. A `metrics.jsonl` that is not among them is taken as it is in the folder.
    """
    contents: dict[FileName, bytes] = {
        VOCABULARY: _json(vocabulary.to_json()),
        GENERATION: _json(sampling.model_dump(exclude={"seed"})),
        **files,
    }
    checksums: dict[FileName, str] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if METRICS not in contents and (path / METRICS).is_file():
        checksums[METRICS] = sha256_of_file(path / METRICS)
    config = config_for(checksums)
    stale = set(_recorded_files(path)) - {*checksums}
    kept = edited_files(path)
    everything: dict[str, bytes] = {str(name): content for name, content in contents.items() if name not in kept}
    write_together(path, {**everything, CONFIG: config.to_json()}, CONFIG, stale=stale - kept)
    return config


def move_model(made: Path, config: ModelConfig, path: Path) -> None:
    """Commit a model whose files are in a folder on the same disk; they are moved.

    Args:
        made: that folder.
        config: what its `config.json` says.
        path: the folder to commit it to; it exists. What people wrote there stays, as in `write_model_directory`.
    """
    _commit(path, config, {name: made / name for name in (*config.files, CONFIG)})


def copy_model(directory: ModelDirectory, path: Path) -> None:
    """Commit a copy of a model to a folder that exists, as `move_model` does."""
    with storage_errors(path):
        contents = {name: (directory.path / name).read_bytes() for name in (*directory.config.files, CONFIG)}
    _commit(path, directory.config, contents)


def _commit(path: Path, config: ModelConfig, files: Mapping[str, bytes | Path]) -> None:
    kept = edited_files(path)
    stale = set(_recorded_files(path)) - {*config.files}
    taken = {name: content for name, content in files.items() if name not in kept}
    write_together(path, taken, CONFIG, stale=stale - kept)


def remove_model(path: Path) -> None:
    """Remove a model's own files, `config.json` last, and the folder if nothing else is in it."""
    kept = edited_files(path)
    with storage_errors(path):
        for name in (*sorted(set(_recorded_files(path)) - kept), CONFIG):
            (path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something of the user's is in it
            path.rmdir()


def edited_files(path: Path) -> frozenset[str]:
    """Which files of a folder people wrote, of those that people may edit: they are not what charloom wrote there."""
    recorded = _recorded_files(path)
    with storage_errors(path):
        return frozenset(
            name
            for name in EDITABLE
            if (path / name).exists()
            and not ((path / name).is_file() and sha256_of_file(path / name) in recorded.get(name, ()))
        )


def model_refusal(path: Path, *, overwrite: bool, resume: bool = False) -> str | None:
    """Why no model may be written into the folder; None where one may."""
    refusal, name = why_not(path, "model", overwrite=overwrite, resume=resume), _in_the_way(path)
    if refusal is None and name is not None:
        return f"{path / name} would be replaced, and it is not of the model in {path}: move it elsewhere"
    return refusal


def _in_the_way(path: Path) -> str | None:
    """The name of a file that a model would replace and that no charloom wrote there; None where there is none.

    A run that is not finished has its history there before there is a model.
    """
    names = _NAMES - EDITABLE - set(_recorded_files(path)) - ({METRICS} if holds_run(path) else set())
    return next((name for name in sorted(names) if (path / name).exists()), None)


def _recorded_files(path: Path) -> dict[str, set[str]]:
    """The names of the model files that charloom wrote into a folder, each with its checksums."""
    found: dict[str, set[str]] = {}
    for record in model_records(path):
        for name, checksum in record["files"].items():
            if name in _NAMES:
                found.setdefault(name, set()).add(str(checksum))
    return found


def _json(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()


def check_target(directory: ModelDirectory, file: Path, overwrite: bool) -> None:
    """Refuse to write a file made of a model over what must stay."""
    sentence = link_to_nothing(file)
    if sentence is not None:
        raise UsageError(sentence)
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a file")
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is a pipe or a device: name a file")
    if file.name in {CONFIG, *directory.config.files} and file.parent.resolve() == directory.path.resolve():
        raise UsageError(f"{file} is a file of the model itself: choose another name")
    if any(file.name in {CONFIG, *record["files"]} for record in model_records(file.parent)):
        raise UsageError(f"{file} is a file of another model: choose another name")
    if os.path.lexists(file) and not overwrite:
        raise UsageError(f"{file} is there already: choose another name, or replace it with --overwrite")
