"""A model as one HTML file that runs it in any browser, without a network or a server."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from charloom.bundle import ModelDirectory
from charloom.files import atomic_write
from charloom.runtime.browser_page import assembled_page
from charloom.runtime.browser_weights import pack_weights, read_arrays
from charloom.runtime.exporting import check_target
from charloom.text.cleaning import STEPS
from charloom.text.vocabulary import CharacterVocabulary

_LONGEST = 20_000  # characters that the page writes at a time


@dataclass(frozen=True)
class ExportedPage:
    """What was written.

    Attributes:
        path: the file.
        bytes: its size.
        sha256: its checksum.
        weights: how many of the bytes are weights, before base64 adds a third to them.
    """

    path: str
    bytes: int
    sha256: str
    weights: int


def export_html(directory: ModelDirectory, file: Path, *, overwrite: bool = False) -> ExportedPage:
    """Write a page that holds the model, its weights as int8, and runs it; the same model gives the same bytes.

    Args:
        directory: the model.
        file: what to write; it appears whole or not at all.
        overwrite: replace a file that is there.

    Raises:
        UsageError: the file is there, or is the model's own.
        ModelDirectoryError: the weights are missing, altered or not the network's.
        StorageError: the file cannot be written.
    """
    check_target(directory, file, overwrite)
    packed = pack_weights(directory.config.model, read_arrays(directory))
    name = directory.path.resolve().name
    description = {**_description(directory), "tensors": [asdict(tensor) for tensor in packed.tensors]}
    content = assembled_page(name, description, packed.content).encode("utf-8")
    with atomic_write(file) as stream:
        stream.write(content)
    return ExportedPage(str(file), len(content), hashlib.sha256(content).hexdigest(), len(packed.content))


def _description(directory: ModelDirectory) -> dict[str, object]:
    vocabulary, sampling = directory.vocabulary, directory.sampling
    known = vocabulary.characters if isinstance(vocabulary, CharacterVocabulary) else ()
    return {
        "shape": directory.config.model.model_dump(),
        "vocabulary": {"kind": vocabulary.kind, "characters": "".join(known)},
        "unknown_id": vocabulary.unknown_id,
        "opening_id": vocabulary.opening_id,
        "cleaning": [step for step in directory.config.corpus.cleaning if STEPS[step].character_level],
        "sampling": {
            "length": min(sampling.length, _LONGEST),
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            **({} if sampling.seed is None else {"seed": sampling.seed}),
        },
        "facts": _facts(directory),
    }


def _facts(directory: ModelDirectory) -> list[tuple[str, str]]:
    """What the model card says first, in pairs of a name and a value."""
    config = directory.config
    shape, corpus = config.model, config.corpus
    embedding = f"embedding {shape.embedding_size}" if shape.embedding_size else "one-hot input"
    facts = [
        ("Network", f"{shape.cell.upper()}, {shape.num_layers} × {shape.hidden_size}, {embedding}"),
        ("Parameters", f"{shape.parameters:,}, here in 8 bits each"),
        ("Trained on", f"{', '.join(corpus.sources)}: {corpus.characters:,} characters, and nothing else"),
        ("Symbols", f"{shape.vocab_size:,} ({corpus.vocabulary})"),
        ("Cleaning", ", ".join(corpus.cleaning) or "none"),
    ]
    for protocol, loss in config.losses.items():
        figures = f"{loss.bits_per_char:.3f} bits per character ({loss.loss:.4f} nats, float32, {protocol})"
        facts.append(("On text kept back", figures))
    if config.memory is not None:
        recited = config.memory.recited
        facts.append(
            ("Known by heart", f"{recited.exact} of {recited.samples} passages of {recited.length} characters")
        )
    facts.append(("Made by", f"charloom {config.library_version}"))
    facts.append(("Mind", "It knows spelling and rhythm, not facts, and may repeat its text word for word."))
    return facts
