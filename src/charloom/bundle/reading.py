"""Open a model directory and verify what is read from it, also while somebody replaces the model in it.

A writer puts all files beside the old ones, sets `config.json` aside, renames the files into place and `config.json`
last (`charloom.files.write_together`). While the same `config.json` is there, the files are its own; while it is gone
and its successor waits beside, the reader waits too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from charloom.bundle.config import (
    CARD,
    CONFIG,
    EDITABLE,
    GATES,
    GENERATION,
    GRAPH,
    KNOWN_ITEMS,
    METRICS,
    STEP_GRAPH,
    TRAINING,
    VOCABULARY,
    WEIGHTS,
    ModelConfig,
    parse_config,
    parse_json,
)
from charloom.bundle.history import EvaluationRecord, LearningCurve, evaluations, learning_curve, read_recent_history
from charloom.bundle.hub import HubAddress, fetch
from charloom.bundle.open_files import OpenFiles, is_link_elsewhere, read_shown
from charloom.display import typed
from charloom.errors import ModelDirectoryError, UsageError
from charloom.files import TEMPORARY_SUFFIX, expand_home, sha256_of_file
from charloom.folders import holds_prepared
from charloom.settings import SamplingSettings, validate
from charloom.text.known_items import MOST_KNOWN, KnownItems
from charloom.text.vocabulary import Vocabulary, vocabulary_from_json

PATIENCE = 2.0  # seconds; the renames themselves take a few milliseconds
_PAUSE = 0.005

Opened = TypeVar("Opened")

_SMALL = 1 << 20  # bytes: config.json and generation_config.json are a few kilobytes
_CARD_LIMIT = 1 << 18  # characters of the card are for people to read
_VOCABULARY_LIMIT = 64 << 20
_SHOWN_BESIDE = 5  # models that are named where one is not found


def unless_replaced(path: Path, read: Callable[[], Opened]) -> Opened:
    """Call `read` until the model in the folder was the same before and after it, for two seconds at most."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = _config_identity(path)
        failure: ModelDirectoryError | None = None
        try:
            found = read()
        except ModelDirectoryError as error:
            failure = error
        else:
            if before is not None and _config_identity(path) == before:
                return found
        if failure is not None and not _is_being_replaced(path, before):
            raise failure
        if time.monotonic() > deadline:
            raise failure or ModelDirectoryError(f"{path}: the model is being replaced again and again; try later")
        time.sleep(_PAUSE)


def _config_identity(path: Path) -> tuple[int, ...] | None:
    """What tells one `config.json` from another that took its place; None while there is none."""
    try:
        facts = (path / CONFIG).stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _is_being_replaced(path: Path, before: tuple[int, ...] | None) -> bool:
    """Whether another `config.json` has come, or one waits beside to come."""
    now = _config_identity(path)
    if now is not None:
        return now != before
    try:
        names = [file.name for file in path.iterdir()]
    except OSError:
        return False
    waiting = any(name.startswith(f".{CONFIG}.") and name.endswith(TEMPORARY_SUFFIX) for name in names)
    # Between the two looks the renames may have ended.
    return waiting or _config_identity(path) is not None


@dataclass(frozen=True)
class FileCheck:
    """What a look at one file of a model directory found.

    Attributes:
        name: the file's.
        state: `ok`; `edited`, another content where people may write; `altered`, another content where they may not;
            `missing`; `extra`, not one of the model's own.
        bytes: its size; 0 where it is missing.
    """

    name: str
    state: Literal["ok", "edited", "altered", "missing", "extra"]
    bytes: int

    @property
    def harmless(self) -> bool:
        """Whether the model can be trusted in spite of this file."""
        return self.state in ("ok", "edited", "extra")


@dataclass(frozen=True)
class ModelDirectory:
    """A model directory whose configuration and vocabulary have been read and found sound.

    Attributes:
        path: the folder.
        config: the content of `config.json`.
        vocabulary: what its ids mean.
        sampling: the default sampling, from `generation_config.json`.
        address: where on the hub it was fetched from, with the commit; None: it was opened as a folder.
    """

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    sampling: SamplingSettings
    _files: OpenFiles = field(repr=False, compare=False)
    address: HubAddress | None = None

    @property
    def name(self) -> str:
        """What the model is called: its folder's name, or its own on the hub."""
        return self.path.resolve().name if self.address is None else self.address.name

    @property
    def place(self) -> str:
        """What opens the same model again, on another machine too where it is on the hub."""
        return str(self.path.absolute() if self.address is None else self.address)

    def read_graph(self, name: Literal["model.onnx", "model.int8.onnx"]) -> bytes | None:
        """The ONNX graph of that name, its checksum verified; None where the model has none."""
        if name not in self.config.files:
            return None
        shape = self.config.model
        table = 4 * shape.vocab_size * max(shape.vocab_size, GATES[shape.cell] * shape.hidden_size)
        return self._files.read_verified(name, self.config.files[name], 4 * shape.parameters + table + (16 << 20))

    def read_weights(self) -> bytes:
        """The weights as a safetensors file, its checksum verified."""
        limit = 4 * self.config.model.parameters + (1 << 20)
        return self._files.read_verified(WEIGHTS, self.config.files[WEIGHTS], limit)

    def read_known_items(self) -> KnownItems | None:
        """Which items the list has that the model learned; None where it keeps none."""
        if KNOWN_ITEMS not in self.config.files:
            return None
        return KnownItems(self._files.read_verified(KNOWN_ITEMS, self.config.files[KNOWN_ITEMS], 4 * MOST_KNOWN))

    def read_card(self) -> str | None:
        """The beginning of the model card; None where there is none that may be shown."""
        content = read_shown(self.path / CARD, self.config.files.get(CARD), _CARD_LIMIT)
        return None if content is None else content.decode("utf-8", "replace")

    def read_evaluations(self) -> list[EvaluationRecord]:
        """The evaluations at the end of the history; none where there is none that may be shown."""
        return evaluations(read_recent_history(self.path / METRICS, self.config.files.get(METRICS)))

    def read_curve(self) -> LearningCurve:
        """Bits a character while training; without points where there is no history that may be shown."""
        return learning_curve(read_recent_history(self.path / METRICS, self.config.files.get(METRICS)))

    def check_files(self) -> Iterator[FileCheck]:
        """Compare every file with its recorded checksum."""
        most = self._most_bytes
        for name, expected in self.config.files.items():
            path = self.path / name
            if not path.is_file():
                yield FileCheck(name, "missing", 0)
                continue
            size = path.stat().st_size
            changed = size > most or sha256_of_file(path) != expected
            edited = name in EDITABLE and not is_link_elsewhere(path)  # which may lead to a file of anyone's
            yield FileCheck(name, "ok" if not changed else "edited" if edited else "altered", size)
        for path in sorted(self.path.iterdir()):
            if path.is_file() and path.name not in self.config.files and path.name != CONFIG:
                yield FileCheck(path.name, "extra", path.stat().st_size)

    def sound_files(self) -> dict[str, Path]:
        """The model's own files by their names, config.json last: what may be packed, copied or sent."""
        for file in self.check_files():
            if not file.harmless:
                raise ModelDirectoryError(f"{self.path}: {file.name} is {file.state}; copy the model again")
        return {name: self.path / name for name in (*self.config.files, CONFIG)}

    @property
    def _most_bytes(self) -> int:
        """More than any file of such a model has."""
        return 8 * self.config.model.parameters + 4 * self.config.model.vocab_size**2 + (1 << 30)


def holds_model(path: Path) -> bool:
    """Whether the folder holds a committed model."""
    return (path / CONFIG).exists()


def open_model_directory(path: Path | str) -> ModelDirectory:
    """Read a model directory's configuration, vocabulary and default sampling, and hold its large files.

    A model that is being replaced is read whole all the same, the old one or the new one. One on the hub
    (`hf://user/name`) is fetched first, unless it is in the cache.
    """
    address = HubAddress.parse(path)
    if address is not None:
        path, fixed = fetch(address)
        return replace(open_model_directory(path), address=fixed)
    path = expand_home(path)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError:  # too long for a name
        raise ModelDirectoryError(f"no such model directory: {path}") from None
    if not is_folder:
        raise ModelDirectoryError(_why_no_folder(path) if is_there else _nothing(path))
    return unless_replaced(path, lambda: _open(path))


def _open(path: Path) -> ModelDirectory:
    if not holds_model(path):
        raise ModelDirectoryError(_why_no_model(path))
    files = OpenFiles(path, (CONFIG, VOCABULARY, GRAPH, STEP_GRAPH, WEIGHTS, KNOWN_ITEMS))
    config = parse_config(files.read(CONFIG, _SMALL), str(path / CONFIG))
    content = files.read_verified(VOCABULARY, config.files[VOCABULARY], _VOCABULARY_LIMIT)
    vocabulary = vocabulary_from_json(parse_json(content, VOCABULARY))
    if vocabulary.size != config.model.vocab_size or vocabulary.kind != config.corpus.vocabulary:
        raise ModelDirectoryError(
            f"{path}: {VOCABULARY} ({vocabulary.size} {vocabulary.kind}) and {CONFIG} "
            f"({config.model.vocab_size} {config.corpus.vocabulary}) do not belong together"
        )
    return ModelDirectory(path, config, vocabulary, _read_sampling(path, config.files.get(GENERATION)), files)


def _nothing(path: Path) -> str:
    try:
        beside = sorted(str(each) for each in path.parent.iterdir() if holds_model(each))[:_SHOWN_BESIDE]
    except OSError:
        beside = []
    there = f"; models there: {', '.join(beside)}" if beside else ""
    return f"no such model directory: {path} (charloom train TEXT -o {typed(path)} writes one){there}"


def _why_no_folder(path: Path) -> str:
    inside = f": name its folder, {path.parent}" if holds_model(path.parent) else ", and a model is a folder"
    return f"{path} is a file{inside}"


def _why_no_model(path: Path) -> str:
    if (path / TRAINING).is_dir():
        return (
            f"{path} holds a training run without a finished model: "
            f"wait for it, or continue it with charloom train ... -o {typed(path)} --resume"
        )
    if holds_prepared(path):
        return f"{path} holds no model: it is a prepared corpus, to train on with charloom train {typed(path)} -o MODEL"
    try:
        inside = next((each for each in sorted(path.iterdir()) if holds_model(each)), None)
    except OSError:
        inside = None
    return f"{path} holds no model: " + (
        f"there is no {CONFIG} in it" if inside is None else f"name one in it, as {inside}"
    )


def _read_sampling(path: Path, recorded: str | None) -> SamplingSettings:
    """People may edit this file: it is validated, not checksummed. Without it the defaults hold."""
    if not (path / GENERATION).exists():
        return SamplingSettings()
    content = read_shown(path / GENERATION, recorded, _SMALL)
    if content is None:
        raise ModelDirectoryError(f"cannot read {path / GENERATION}: it is not a file, or a link to another file")
    data = parse_json(content, GENERATION)
    if not isinstance(data, dict):
        raise ModelDirectoryError(f"{path / GENERATION} must hold a JSON object")
    try:
        return validate(SamplingSettings, data, origin=f"{path / GENERATION}: ")
    except UsageError as error:
        raise ModelDirectoryError(str(error)) from None
