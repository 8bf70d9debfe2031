"""Write a model directory: all files beside, then renamed, `config.json` last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from charloom.bundle.config import CONFIG, GENERATION, METRICS, VOCABULARY, FileName, ModelConfig
from charloom.files import sha256_of_file, storage_errors, write_together
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Vocabulary


def write_model_directory(
    path: Path,
    config_for: Callable[[dict[FileName, str]], ModelConfig],
    vocabulary: Vocabulary,
    sampling: SamplingSettings,
    files: Mapping[FileName, bytes],
) -> ModelConfig:
    """Commit a model.

    Args:
        path: the folder; it exists. Files in it that are not the model's are left alone.
        config_for: makes the configuration from the checksums of all files.
        vocabulary: becomes `vocabulary.json`.
        sampling: the default sampling, becomes `generation_config.json`.
        files: the other files' contents. `metrics.jsonl` is the exception: it already stands in the
            folder, where training appended to it.

    Raises:
        StorageError: a file could not be written; nothing was changed.
    """
    contents: dict[FileName, bytes] = {
        VOCABULARY: _json(vocabulary.to_json()),
        GENERATION: _json(sampling.model_dump(exclude={"seed"})),
        **files,
    }
    checksums: dict[FileName, str] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if (path / METRICS).is_file():
        checksums[METRICS] = sha256_of_file(path / METRICS)
    config = config_for(checksums)
    everything: dict[str, bytes] = {str(name): content for name, content in contents.items()}
    write_together(path, {**everything, CONFIG: config.to_json()}, commit=CONFIG)
    return config


def remove_model(path: Path) -> None:
    """Remove a model's own files, `config.json` first so that no half of it looks whole.

    Raises:
        StorageError: a file cannot be removed.
    """
    with storage_errors(path):
        for name in (CONFIG, *get_args(FileName)):
            (path / name).unlink(missing_ok=True)


def _json(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()
