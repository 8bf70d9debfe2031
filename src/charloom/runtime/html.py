"""A model as one HTML file that runs it in any browser, without a network or a server.

The page is the sources in `browser/`, which the server's playground shares, joined, without comments and what only a
server has. An ES module cannot be imported from inside the same file, so modules are joined: those that others import
come first, and the words `import` and `export` go. The page's own policy allows these very scripts and styles, by their
hashes, and a worker made of the page's own text; every address is forbidden.

Weights are int8 with scales, all tensors in one piece of bytes. The matrices that multiply are stored by output,
(O, I), with a scale for each output; the characters' vectors, (V, E) or, one-hot, (V, G·H), with a scale for each
column. Values go from -127 to 127: the int8 graph's seven bits spare processors an overflow that does not exist here.
Biases stay float32.
Legend: V vocabulary, E embedding, H hidden units, G gates, I inputs, O outputs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from charloom.bundle import ModelDirectory, ModelShape
from charloom.bundle.config import GATES, WEIGHTS
from charloom.errors import ModelDirectoryError
from charloom.files import atomic_write
from charloom.runtime.export import check_target
from charloom.runtime.int8_graph import EIGHT_BITS, quantize_columns
from charloom.text.cleaning import STEPS
from charloom.text.vocabulary import CharacterVocabulary

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export ", re.M)
_COMMENT = re.compile(r"^ *//[^\n]*\n|(?:^ *)?/\*\*(?:(?!\*/).)*\*/\s?", re.M | re.S)
_SERVER_ONLY = re.compile(r" *<!-- server -->\n.*?<!-- /server -->\n", re.S)

_LONGEST = 20_000  # characters that the page writes at a time


def browser_source(name: str) -> str:
    """A file of `runtime/browser/`."""
    return files("charloom.runtime").joinpath("browser", name).read_text("utf-8")


def join_modules(entry: str) -> str:
    """A module and all that it imports, directly or not, as one script without comments."""
    source = "\n".join(_IMPORT.sub("", browser_source(name)) for name in _in_order(entry, []))
    return _EXPORT.sub("", _COMMENT.sub("", source))


def _in_order(name: str, before: list[str]) -> list[str]:
    """`before` and then a module's imports and the module itself, each once."""
    for imported in _imports(name):
        if imported not in before:
            _in_order(imported, before)
    before.append(name)
    return before


def _imports(name: str) -> Iterator[str]:
    return (found[1] for found in _IMPORT.finditer(browser_source(name)))


def assemble_page(name: str, description: Mapping[str, object], weights: bytes) -> str:
    """The whole page.

    Args:
        name: the model's, for people.
        description: what the page knows of the model, put in as JSON.
        weights: put in as base64.
    """
    style = "".join(map(browser_source, ("colours.css", "style.css", "text.css")))
    script = join_modules("standalone.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; worker-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    start, body, end = re.split(r"(?=</head>|</body>)", _SERVER_ONLY.sub("", browser_source("index.html")))
    return f"""{start}<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<title>{html.escape(name)} – a character-level language model</title>
<style>{style}</style>
{body}<script type="application/json" id="description">{_json(description)}</script>
<script type="text/plain" id="weights">{base64.b64encode(weights).decode("ascii")}</script>
<script type="text/plain" id="worker">{join_modules("worker.js")}</script>
<script type="module">{script}</script>
{end}"""


def _json(data: Mapping[str, object]) -> str:
    """JSON that ends no script and begins no comment, whatever is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class PackedTensor:
    """Where a tensor lies among the bytes: `length` numbers of a `kind`, from byte `offset` on."""

    name: str
    kind: Literal["int8", "float32"]
    offset: int
    length: int


@dataclass(frozen=True)
class PackedWeights:
    """All tensors, one after another, little-endian, float32 first so that they begin at multiples of four."""

    content: bytes
    tensors: tuple[PackedTensor, ...]


def read_arrays(directory: ModelDirectory) -> Arrays:
    """The float32 weights of a model directory by PyTorch's names, their checksum verified."""
    try:
        arrays = load(directory.read_weights())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelDirectoryError(f"{WEIGHTS} is damaged: {error}") from None
    for name, shape in _expected_shapes(directory.config.model).items():
        found = arrays.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
            raise ModelDirectoryError(f"{WEIGHTS} is damaged: {name} is not {shape} finite float32 numbers")
    return arrays


def pack_weights(shape: ModelShape, weights: Arrays) -> PackedWeights:
    """Quantize and lay out the weights of a network, given by PyTorch's names."""
    arrays: dict[str, NDArray[Any]] = {}

    def put(name: str, matrix: NDArray[np.float32], *, by_output: bool) -> None:
        """A matrix (I, O) and its scales (O,)."""
        whole, arrays[f"{name}.scales"] = quantize_columns(matrix, EIGHT_BITS)
        arrays[name] = whole.T if by_output else whole

    first = weights["recurrent.weight_ih_l0"].T  # of one-hot characters, what each gives the gates
    put("characters", weights["embedding.weight"] if shape.embedding_size else first, by_output=False)
    for layer in range(shape.num_layers):
        if layer or shape.embedding_size:
            put(f"below{layer}", weights[f"recurrent.weight_ih_l{layer}"].T, by_output=True)
        put(f"recurrent{layer}", weights[f"recurrent.weight_hh_l{layer}"].T, by_output=True)
        arrays |= _biases(shape, weights, layer)
    put("output", weights["output.weight"].T, by_output=True)
    arrays["output_bias"] = weights["output.bias"]
    return _pack(arrays)


def _biases(shape: ModelShape, weights: Arrays, layer: int) -> Arrays:
    """Both biases in one, (G·H,); a GRU's are apart, for one of them is inside its product."""
    below, recurrent = (weights[f"recurrent.bias_{kind}_l{layer}"] for kind in ("ih", "hh"))
    if shape.cell == "gru":
        return {f"bias{layer}": below, f"recurrent_bias{layer}": recurrent}
    return {f"bias{layer}": below + recurrent}


def _pack(arrays: dict[str, NDArray[Any]]) -> PackedWeights:
    content = bytearray()
    tensors = []
    for name, array in sorted(arrays.items(), key=lambda item: item[1].dtype == np.int8):
        kind: Literal["int8", "float32"] = "int8" if array.dtype == np.int8 else "float32"
        tensors.append(PackedTensor(name, kind, len(content), array.size))
        content += array.astype("i1" if kind == "int8" else "<f4").tobytes()
    return PackedWeights(bytes(content), tuple(tensors))


def _expected_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """The tensors of a network by PyTorch's names."""
    hidden, gates = shape.hidden_size, GATES[shape.cell] * shape.hidden_size
    expected: dict[str, tuple[int, ...]] = {
        "output.weight": (shape.vocab_size, hidden),
        "output.bias": (shape.vocab_size,),
    }
    if shape.embedding_size:
        expected["embedding.weight"] = (shape.vocab_size, shape.embedding_size)
    for layer in range(shape.num_layers):
        expected[f"recurrent.weight_ih_l{layer}"] = (gates, hidden if layer else shape.input_size)
        expected[f"recurrent.weight_hh_l{layer}"] = (gates, hidden)
        expected[f"recurrent.bias_ih_l{layer}"] = expected[f"recurrent.bias_hh_l{layer}"] = (gates,)
    return expected


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
    """
    check_target(directory, file, overwrite)
    packed = pack_weights(directory.config.model, read_arrays(directory))
    description = {**_description(directory), "tensors": [asdict(tensor) for tensor in packed.tensors]}
    name = directory.path.resolve().name
    content = assemble_page(name, description, packed.content).encode("utf-8")
    with atomic_write(file) as stream:
        stream.write(content)
    return ExportedPage(str(file), len(content), hashlib.sha256(content).hexdigest(), len(packed.content))


def _description(directory: ModelDirectory) -> dict[str, object]:
    vocabulary, sampling = directory.vocabulary, directory.sampling
    known = vocabulary.characters if isinstance(vocabulary, CharacterVocabulary) else ()
    return {
        "name": directory.path.resolve().name,
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
        "longest": _LONGEST,
        "corpus": directory.config.corpus.model_dump(mode="json", include={"vocabulary", "characters"}),
        "losses": {protocol: loss.model_dump() for protocol, loss in directory.config.losses.items()},
        "card": _card(directory),
    }


def _card(directory: ModelDirectory) -> list[tuple[str, str]]:
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
        facts.append(("On held-out text", figures))
    if config.memory is not None:
        recited = config.memory.recited
        facts.append(("Memorized", f"{recited.exact} of {recited.samples} passages of {recited.length} characters"))
    facts.append(("Made by", f"charloom {config.library_version}"))
    facts.append(("Mind", "It knows spelling and rhythm, not facts, and may repeat its text word for word."))
    return facts
