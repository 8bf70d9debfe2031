"""A model as one HTML file that runs it in any browser, without a network or a server.

The page is the sources in `browser/`, which the server's playground shares, joined, without comments and what only a
server has. An ES module cannot be imported from inside the same file, so modules are joined: those that others import
come first, and the words `import` and `export` go. The page's own policy allows these very scripts and styles, by their
hashes, a worker made of the page's own text, and WebAssembly in it; every address is forbidden.

The network is charloom's kernel as WebAssembly, and its weights are the tensors that the kernel takes: int8 matrices
with scales. JavaScript that gives the same bits is there for browsers that do not run it.
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

from charloom.bundle import ModelDirectory, ModelShape
from charloom.bundle.writing import check_target
from charloom.errors import CharloomError
from charloom.files import atomic_write
from charloom.kernel.build import compile_wasm
from charloom.kernel.reference import quantize
from charloom.kernel.weights import Weights, lay_tensors, read_weights
from charloom.runtime.introduction import describe, introduce, reading_rules
from charloom.runtime.model import Model

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export ", re.M)
_COMMENT = re.compile(r"^ *//[^\n]*\n| +// [^\n\"'`]*$|/\*(?:(?!\*/).)*\*/\s?", re.M | re.S)
_INDENT = re.compile(r"^ +", re.M)
_SERVER_ONLY = re.compile(r" *<!-- server -->\n.*?<!-- /server -->\n", re.S)

_LONGEST = 20_000  # characters that the page writes at a time


def browser_source(name: str) -> str:
    """A file of `runtime/browser/`."""
    return files("charloom.runtime").joinpath("browser", name).read_text("utf-8")


def join_modules(entry: str) -> str:
    """A module and all that it imports, directly or not, as one script without comments and indents."""
    source = "\n".join(_IMPORT.sub("", browser_source(name)) for name in _in_order(entry, []))
    return _EXPORT.sub("", _without_comments(source))


def _without_comments(source: str) -> str:
    """A script or a style without its comments and indents; no text in them goes over several lines."""
    return _INDENT.sub("", _COMMENT.sub("", source))


def _in_order(name: str, before: list[str]) -> list[str]:
    """`before` and then a module's imports and the module itself, each once."""
    for imported in _imports(name):
        if imported not in before:
            _in_order(imported, before)
    before.append(name)
    return before


def _imports(name: str) -> Iterator[str]:
    return (found[1] for found in _IMPORT.finditer(browser_source(name)))


def assemble_page(title: str, intro: str, description: Mapping[str, object], kernel: bytes, weights: bytes) -> str:
    """The whole page.

    Args:
        title: of the page.
        intro: a sentence that says what it is; also what other sites show of a link to it.
        description: what the page knows of the model, put in as JSON.
        kernel: for WebAssembly; put in as base64.
        weights: put in as base64.
    """
    style = _without_comments("".join(map(browser_source, ("colours.css", "style.css", "text.css", "drawings.css"))))
    script = join_modules("standalone.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)} 'wasm-unsafe-eval'; style-src {_hash(style)}; "
        "worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    start, body, end = re.split(r"(?=</head>|</body>)", _SERVER_ONLY.sub("", browser_source("index.html")))
    return f"""{start}<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="description" content="{html.escape(intro)}">
<meta property="og:type" content="website">
<meta property="og:title" content="{html.escape(title)}">
<meta property="og:description" content="{html.escape(intro)}">
<title>{html.escape(title)}</title>
<style>{style}</style>
{body}<script type="application/json" id="description">{_json(description)}</script>
<script type="text/plain" id="kernel">{_base64(kernel)}</script>
<script type="text/plain" id="weights">{_base64(weights)}</script>
<script type="text/plain" id="worker">{join_modules("worker.js")}</script>
<script type="module">{script}</script>
{end}"""


def _json(data: Mapping[str, object]) -> str:
    """JSON that ends no script and begins no comment, whatever is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def pack_weights(shape: ModelShape, weights: Weights) -> bytes:
    """The weights of a network as the kernel takes them: int8 matrices with float32 scales, little-endian.

    Tensors lie in the order of `lay_tensors`; each begins at a multiple of four bytes.
    """
    content = bytearray()
    for tensor in lay_tensors(shape, weights, "int8", quantize):
        if tensor is not None:
            content += tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
            content += bytes(-len(content) % 4)
    return bytes(content)


@dataclass(frozen=True)
class ExportedPage:
    """What was written.

    Attributes:
        path: the file.
        bytes: its size.
        sha256: its checksum.
        weights: how many of the bytes are weights, before base64 adds a third to them.
        compiled: whether the kernel is in it, as WebAssembly; otherwise JavaScript alone runs the network.
    """

    path: str
    bytes: int
    sha256: str
    weights: int
    compiled: bool


def export_html(
    directory: ModelDirectory,
    file: Path,
    *,
    title: str = "",
    intro: str = "",
    prompt: str = "",
    overwrite: bool = False,
) -> ExportedPage:
    """Write a page that holds the model, its weights as int8, and runs it; the same model gives the same bytes.

    Args:
        directory: the model.
        file: what to write; it appears whole or not at all.
        title: of the page; the model's name if empty.
        intro: a sentence above the text; what the model is and what it learned from if empty.
        prompt: what the first text begins with.
        overwrite: replace a file that is there.
    """
    check_target(directory, file, overwrite)
    weights = pack_weights(directory.config.model, read_weights(directory))
    kernel = _kernel()
    title = title or directory.path.resolve().name
    intro = intro or describe(directory.config)
    description = {**_description(directory), "title": title, "intro": intro, "prompt": prompt}
    content = assemble_page(title, intro, description, kernel, weights).encode("utf-8")
    with atomic_write(file) as stream:
        stream.write(content)
    return ExportedPage(str(file), len(content), hashlib.sha256(content).hexdigest(), len(weights), bool(kernel))


def _kernel() -> bytes:
    """The kernel for WebAssembly; nothing where none came with the package and none can be compiled."""
    try:
        return compile_wasm().read_bytes()
    except CharloomError:
        return b""


def _description(directory: ModelDirectory) -> dict[str, object]:
    sampling = directory.sampling
    return {
        "name": directory.path.resolve().name,
        "shape": directory.config.model.model_dump(),
        **reading_rules(directory),
        "unknown_id": directory.vocabulary.unknown_id,
        "opening_id": directory.vocabulary.opening_id,
        "sampling": {**sampling.model_dump(mode="json"), "length": min(sampling.length, _LONGEST)},
        "longest": _LONGEST,
        "corpus": directory.config.corpus.model_dump(mode="json", include={"vocabulary", "characters", "items"}),
        "losses": {protocol: loss.model_dump() for protocol, loss in directory.config.losses.items()},
        "introduction": asdict(introduce(Model(directory))),
        "curve": asdict(directory.read_curve()),
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
        figures = f"{loss.bits_per_char:.3f} bits per character ({loss.loss:.4f} nats, float32)"
        facts.append((f"Held out, {protocol}", figures))
    if config.memory is not None:
        recited = config.memory.recited
        facts.append(("Memorized", f"{recited.exact} of {recited.samples} passages of {recited.length} characters"))
    if config.listed is not None:
        facts.append(("On its list", f"{config.listed.listed:,} of {config.listed.written:,} items that it wrote"))
    facts.append(("Made by", f"charloom {config.library_version}"))
    facts.append(("Note", "It knows spelling and rhythm, not facts, and may repeat its text word for word."))
    return facts
