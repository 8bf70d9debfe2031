"""A model's graph as one file of its own, for programs without charloom: the vocabulary travels in its metadata.

A serialized ONNX model is a protocol-buffers message. Two of them one after another are their union
(https://protobuf.dev/programming-guides/encoding/#last-one-wins), so metadata is added by appending it: no ONNX
library is needed, and the graph stays what was checked and measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charloom.bundle import ModelDirectory
from charloom.bundle.config import GRAPH, STEP_GRAPH
from charloom.bundle.writing import check_target
from charloom.errors import UsageError
from charloom.files import atomic_write
from charloom.kernel.weights import read_weights
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_graph import bytes_field
from charloom.runtime.onnx_session import check_graph
from charloom.text.cleaning import STEPS

_METADATA = 14  # ModelProto.metadata_props, a message, may be repeated
_KEY, _VALUE = 1, 2  # StringStringEntryProto.key and .value


@dataclass(frozen=True)
class ExportedGraph:
    """What was written.

    Attributes:
        path: the file.
        bytes: its size.
        sha256: its checksum.
        precision: `float32` or `int8`.
        vocab_size: the symbols it knows.
    """

    path: str
    bytes: int
    sha256: str
    precision: Literal["float32", "int8"]
    vocab_size: int


def export_onnx(
    directory: ModelDirectory,
    file: Path,
    *,
    precision: Literal["float32", "int8"] = "float32",
    overwrite: bool = False,
) -> ExportedGraph:
    """Write a model's graph, checked, with what is needed to use it as metadata of the file.

    `charloom.vocabulary` is the content of `vocabulary.json`, `charloom.opening_id` the id to read where nothing
    precedes, `charloom.cleaning` the steps that a prompt passes first; all three in JSON.

    Args:
        directory: the model.
        file: what to write; it appears whole or not at all.
        precision: which of the model's graphs.
        overwrite: replace a file that is there.
    """
    check_target(directory, file, overwrite)
    graph = _graph_of(directory, precision)
    content = with_metadata(graph, _description(directory))
    with atomic_write(file) as stream:
        stream.write(content)
    checksum = hashlib.sha256(content).hexdigest()
    return ExportedGraph(str(file), len(content), checksum, precision, directory.vocabulary.size)


def _graph_of(directory: ModelDirectory, precision: Literal["float32", "int8"]) -> bytes:
    """The graph that the model has, or one made of its weights."""
    shape, is_int8 = directory.config.model, precision == "int8"
    graph = directory.read_graph(STEP_GRAPH if is_int8 else GRAPH)
    if graph is None:
        weights = read_weights(directory)
        graph = build_int8_graph(shape, weights) if is_int8 else build_graph(shape, weights)
    if graph is None:
        raise UsageError("precision = 'int8': this model has too many symbols for an int8 graph; use float32")
    check_graph(graph, shape, STEP_GRAPH if is_int8 else GRAPH)
    return graph


def with_metadata(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """A serialized ONNX model with more metadata."""
    entries = (
        bytes_field(_METADATA, bytes_field(_KEY, key) + bytes_field(_VALUE, value)) for key, value in metadata.items()
    )
    return graph + b"".join(entries)


def _description(directory: ModelDirectory) -> dict[str, str]:
    cleaning = [step for step in directory.config.corpus.cleaning if STEPS[step].character_level]
    return {
        "charloom.vocabulary": json.dumps(directory.vocabulary.to_json()),
        "charloom.opening_id": json.dumps(directory.vocabulary.opening_id),
        "charloom.cleaning": json.dumps(cleaning),
    }
