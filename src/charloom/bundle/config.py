"""`config.json`: what the model is, what it was trained on, how good it is, and the checksums of its files."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from charloom import folders
from charloom.errors import ModelDirectoryError
from charloom.settings import Cell, Protocol, StepName, ValidationSplit, VocabularyKind
from charloom.wrong_values import explain, shorten

FORMAT_VERSION: Final = 1

CONFIG: Final = folders.CONFIG
VOCABULARY: Final = "vocabulary.json"
WEIGHTS: Final = "model.safetensors"
GRAPH: Final = "model.onnx"
STEP_GRAPH: Final = "model.int8.onnx"
GENERATION: Final = "generation_config.json"
CARD: Final = "README.md"
METRICS: Final = folders.METRICS
PICTURE: Final = "loss.svg"
KNOWN_ITEMS: Final = "known-items.bin"
TRAINING: Final = folders.TRAINING
TENSORBOARD: Final = "tensorboard"
MLRUNS: Final = "mlruns"

FileName = Literal[
    "vocabulary.json",
    "model.safetensors",
    "model.onnx",
    "model.int8.onnx",
    "generation_config.json",
    "README.md",
    "metrics.jsonl",
    "loss.svg",
    "known-items.bin",
]
EDITABLE: Final = frozenset({GENERATION, CARD})
REQUIRED: Final = frozenset({VOCABULARY, WEIGHTS})

INT8_TOLERANCE: Final = 0.005  # share of the float32 loss that int8 may lose and still be the default

GATES: Final[dict[Cell, int]] = {"rnn": 1, "gru": 3, "lstm": 4}


class _Record(BaseModel):
    """Read strictly (no silent conversions); what a later minor version adds is passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)


class ModelShape(_Record):
    """The network: cell, layers L, hidden units H, embedding E (0 = one-hot), vocabulary V."""

    cell: Cell
    num_layers: int = Field(ge=1, le=32)
    hidden_size: int = Field(ge=1, le=16_384)
    embedding_size: int = Field(ge=0, le=16_384)
    dropout: float = Field(ge=0, lt=1)
    vocab_size: int = Field(ge=2, le=1_200_000)

    @property
    def input_size(self) -> int:
        """Values that stand for a character at the first layer: E, or V when one-hot."""
        return self.embedding_size or self.vocab_size

    @property
    def states_per_layer(self) -> int:
        """An LSTM carries a hidden and a cell state, the others a hidden state alone."""
        return 2 if self.cell == "lstm" else 1

    @property
    def parameters(self) -> int:
        """The number of trained weights."""
        gates, hidden = GATES[self.cell], self.hidden_size
        total = self.vocab_size * self.embedding_size + (hidden + 1) * self.vocab_size
        for layer in range(self.num_layers):
            below = self.input_size if layer == 0 else hidden
            total += gates * hidden * (below + hidden + 2)
        return total


class CorpusRecord(_Record):
    """What the model was trained on and how the text was prepared."""

    sources: list[str]
    characters: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    cleaning: list[StepName]
    encoding: str
    vocabulary: VocabularyKind
    min_count: int = Field(ge=1)
    validation_split: ValidationSplit
    validation_fraction: float = Field(gt=0, le=0.5)
    validation_characters: int | None = Field(None, ge=1, description="None, as in older models: no bound")
    validation: str | None
    items: bool = Field(
        False, description="A list of short items, each learned by itself from the state after a line end"
    )


class Loss(_Record):
    """A loss and the protocol it was measured by; see docs/explanation/evaluation.md."""

    loss: float
    bits_per_char: float
    perplexity: float
    characters: int


class PrecisionRecord(_Record):
    """What int8 costs: the losses in float32 and in int8 on the same part of the validation text.

    Measured with `windows-256`, in nats a symbol.
    """

    float32: float = Field(ge=0)
    int8: float = Field(ge=0)
    characters: int = Field(ge=1)

    @property
    def int8_is_faithful(self) -> bool:
        """Whether int8 loses so little that it is the better default."""
        return self.int8 <= self.float32 * (1 + INT8_TOLERANCE)


class RecitedRecord(_Record):
    """What `charloom recite` says of the training text: passages continued greedily without a fault.

    `mean_matched`, `prompt_length` and `length` are characters (bytes with a bytes vocabulary).
    """

    samples: int = Field(ge=1)
    exact: int = Field(ge=0)
    mean_matched: float = Field(ge=0)
    prompt_length: int = Field(ge=1)
    length: int = Field(ge=1)


class CopiedRecord(_Record):
    """What `charloom novelty` says of a text: how much of it occurs word for word in the training text.

    `copied_fraction` is the share of the characters that are in copies of at least 20, 50 and 100.
    """

    characters: int = Field(ge=1)
    longest: int = Field(ge=0)
    copied_fraction: dict[Literal["20", "50", "100"], Annotated[float, Field(ge=0, le=1)]]


class ListedRecord(_Record):
    """How many of the items that the model writes are on the list that it learned."""

    written: int = Field(ge=1, description="different ones, drawn one by one")
    listed: int = Field(ge=0)


class LikenessRecord(_Record):
    """Bits a symbol by a 3-gram of the text that is learned: of the held-out end, and what is usual before it."""

    held_out: float = Field(ge=0)
    learned: float = Field(ge=0)
    unlike: bool = Field(description="whether the end differs by more than stretches of the text do")


class MemoryRecord(_Record):
    """How much of its training text the model repeats, measured at the end of training.

    Attributes:
        searched: the characters of the training text that were looked at, from its beginning.
        recited: what it has memorized.
        written: how much of what it writes is copied.
        unseen: the same for text that was held out; None where the model was validated on a file of its own.
    """

    searched: int = Field(ge=1)
    recited: RecitedRecord
    written: CopiedRecord
    unseen: CopiedRecord | None


class ModelConfig(_Record):
    """The content of `config.json`."""

    format_version: int = FORMAT_VERSION
    library_version: str
    model: ModelShape
    corpus: CorpusRecord
    training: dict[str, Any] = Field(description="settings and figures of the run that made the model")
    losses: dict[Protocol, Loss]
    precision: PrecisionRecord | None = Field(None, description="None where it was not measured, as in older models")
    memory: MemoryRecord | None = Field(None, description="None where it was not measured, as in older models")
    listed: ListedRecord | None = Field(None, description="None for a text")
    likeness: LikenessRecord | None = Field(
        None, description="None where the held-out part is not the text's end, and in older models"
    )
    files: dict[FileName, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @model_validator(mode="after")
    def _has_what_readers_need(self) -> ModelConfig:
        missing = sorted(REQUIRED - set(self.files))
        if missing:
            raise ValueError(f"files does not name {', '.join(missing)}")
        return self

    def to_json(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def parse_config(content: bytes, name: str = CONFIG) -> ModelConfig:
    """Read a `config.json`, trusting nothing in it."""
    data = parse_json(content, name)
    if isinstance(data, dict) and "format_version" not in data:
        raise ModelDirectoryError(f"{name} is another program's, not a charloom model's: it has no format_version")
    version = data.get("format_version") if isinstance(data, dict) else None
    if type(version) is not int or version < 1:  # not isinstance: neither true nor 1.0 is a version
        raise ModelDirectoryError(f"{name} is not a charloom model's: format_version is {shorten(version)}")
    if version > FORMAT_VERSION:
        raise ModelDirectoryError(
            f"this model has format version {shorten(version)} and this charloom reads up to {FORMAT_VERSION}: "
            f"upgrade with pip install -U charloom"
        )
    try:
        config = ModelConfig.model_validate(data)
    except ValidationError as error:
        raise ModelDirectoryError(f"{name} is damaged: {explain(error, in_file=True)}") from None
    _check_values(data, config, name)
    return config


def _check_values(data: object, config: ModelConfig, name: str) -> None:
    """Refuse what is JSON to read and cannot be written as JSON again: its values are shown in many places."""
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        config.model_dump(mode="json")
    except UnicodeEncodeError:
        raise ModelDirectoryError(f"{name} is damaged: a text in it has half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise ModelDirectoryError(f"{name} is damaged: a value in it is nested too deeply or not finite") from None


def parse_json(content: bytes, name: str) -> Any:
    """Parse a small JSON file of a model directory."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelDirectoryError(f"{name} is damaged: it is not JSON ({error})") from None
