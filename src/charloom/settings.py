"""Every choice a user has, declared once: command line, help, Python API, recipes and docs read it here.

Each field has a type, a bound and one sentence. The sentence is the help text of its option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from charloom.errors import UsageError
from charloom.wrong_values import did_you_mean, explain

Cell = Literal["rnn", "lstm", "gru"]
VocabularyKind = Literal["characters", "bytes"]
ValidationSplit = Literal["tail", "blocks", "row-tail"]
StepName = Literal[
    "gutenberg", "nfc", "lowercase", "mask-numbers", "drop-speaker-lines", "drop-empty-lines", "join-lines"
]
CleaningName = Literal[StepName, "article"]
Optimizer = Literal["muon", "adamw"]
TrackerName = Literal["tensorboard", "mlflow"]
Protocol = Literal["stateful", "windows-256", "cold-60"]
Precision = Literal["auto", "float32", "int8"]
LearningPrecision = Literal["auto", "float32", "bfloat16"]
SplitName = Literal["train", "validation", "all"]
Chosen = Literal[
    "num_layers",
    "hidden_size",
    "dropout",
    "input_dropout",
    "weight_decay",
    "batch_size",
    "bptt",
    "grow_windows",
    "learning_rate",
]  # by a budget, unless given

MAX_SEED = 2**63 - 1
LENGTHS = ("budget", "epochs", "steps")  # ways to say how long to train: one at a time


class Settings(BaseModel):
    """The common ground: immutable, unknown names refused, no infinities."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )  # built when it is used


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(float):
    """Seconds, of a time such as `90`, `30s`, `5m`, `1.5h` or `1d`; shown and recorded as it was written."""

    def __new__(cls, written: str | float) -> Duration:
        """Read a time.

        Raises:
            ValueError: it is none, or not above zero.
        """
        text = str(written) if isinstance(written, str | Duration) else f"{written}s"
        number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
        try:
            seconds = float(number) * _UNITS[unit]
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 1e9:
            raise ValueError("give a time above zero such as 30s, 5m or 1h")
        duration = super().__new__(cls, seconds)
        duration._text = text
        return duration

    _text: str

    def __str__(self) -> str:
        return self._text

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


def _as_typed(value: object) -> object:
    """A path is kept as text: it is recorded, and compared with what is said when a run is resumed."""
    return str(value) if isinstance(value, Path) else value


def _split_commas(value: object) -> object:
    """`--clean a,b` and `--clean a --clean b` mean the same."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Iterable):
        return [part for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
    return value


def _list_of_one(value: object) -> object:
    """One text is a list of one."""
    return [value] if isinstance(value, str) else value


class ReadingSettings(Settings):
    """How the text is read, cleaned and numbered."""

    clean: Annotated[list[CleaningName], BeforeValidator(_split_commas)] = Field(
        default_factory=list,
        description="Cleaning steps, joined by commas and applied in that order, gutenberg first; "
        "'article' is the article's whole pipeline.",
    )
    encoding: str = Field("utf-8", description="The encoding of the files.")
    vocabulary: VocabularyKind = Field(
        "characters", description="What the model reads: Unicode characters, or the 256 bytes of UTF-8."
    )
    min_count: int = Field(
        1, ge=1, le=2**40, description="Characters seen less often than this become the unknown character."
    )


class CorpusSettings(ReadingSettings):
    """How the text is read, cleaned, numbered and split."""

    validation_fraction: float = Field(0.1, gt=0, le=0.5, description="The share of the text held out for validation.")
    validation_characters: int = Field(
        1_000_000, ge=1, le=2**48, description="At most this many characters are held out for validation."
    )
    validation: Annotated[str | Path | None, BeforeValidator(_as_typed)] = Field(
        None, description="A file of its own to validate on; the whole corpus is then trained on."
    )
    items: bool | None = Field(
        None,
        description="The text is a list of short items, one a line: unique, shuffled, each learned by itself. If not "
        "given, many short lines without spaces are taken for one.",
    )
    known_items: bool = Field(
        True,
        description="Keep hashes of a list's items in the model, for `generate --new`: they let others check a guess.",
    )
    validation_split: ValidationSplit = Field(
        "tail",
        description="Which part is held out: the end of the text, up to 64 blocks scattered over it, or the end of "
        "each of 64 rows as in the article.",
    )


class ModelSettings(Settings):
    """The shape of the network."""

    cell: Cell = Field("lstm", description="The recurrent cell: plain (Elman) RNN, LSTM or GRU.")
    num_layers: int = Field(1, ge=1, le=32, description="Recurrent layers, one on top of another.")
    hidden_size: int = Field(512, ge=1, le=16_384, description="Units in each recurrent layer.")
    embedding_size: int = Field(
        64, ge=0, le=16_384, description="Numbers that stand for a character at the input; 0 = one-hot."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of values dropped between layers and before the output.")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="Share of values dropped at the input.")
    weight_drop: float = Field(0.0, ge=0, lt=1, description="Share of the recurrent weights dropped for each update.")
    window_dropout: bool = Field(
        True, description="Drop the same values for a whole window, or others for every character."
    )


class TrainingSettings(Settings):
    """How the network learns, and for how long."""

    budget: Duration | None = Field(
        None,
        description="Time to train, as in 90s, 10m or 2h: size, batch and window are chosen for it unless given.",
    )
    epochs: float | None = Field(None, gt=0, le=1_000_000, description="Passes over the text, instead of --budget.")
    steps: int | None = Field(None, ge=1, le=2**40, description="Weight updates, instead of --budget.")
    batch_size: int = Field(16, ge=1, le=65_536, description="Rows of text read side by side.")
    bptt: int = Field(
        100,
        ge=1,
        le=65_536,
        description="Characters a row advances between updates (the window of back-propagation).",
    )
    grow_windows: bool = Field(
        False,
        description="Learn thirds of a window at first, then halves, then whole ones; a --budget does so on a "
        "processor where --bptt is not given.",
    )
    optimizer: Optimizer = Field(
        "muon", description="Muon for the recurrent layers' matrices and AdamW for the rest, or AdamW for all."
    )
    learning_rate: float = Field(4.5e-3, gt=0, le=10, description="The highest learning rate of the schedule.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Warm up and fall to zero along a cosine, or stay constant."
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the cosine schedule spent warming up.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decay of the weight matrices; 0 with adamw = Adam.")
    grad_clip: float = Field(1.0, gt=0, le=1e6, description="The gradient's norm is clipped to this.")
    averaging: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="How much of the past a running average of the weights keeps at each update; it is what is "
        "evaluated and saved. 0 = the weights themselves.",
    )
    state_reset: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Chance that a row forgets its past before a window, as a fresh prompt does.",
    )
    seed: int = Field(1, ge=0, le=MAX_SEED, description="The same seed, machine and threads give the same model.")
    device: str = Field("auto", description="Where to train: auto, cpu, cuda or cuda:N.")
    precision: LearningPrecision = Field(
        "auto",
        description="Of products in training: float32, bfloat16, or auto: bfloat16 where a budget measures it faster.",
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Processor threads (all cores if not given).")
    evaluate_every: int | None = Field(
        None,
        ge=1,
        le=2**40,
        description="Updates between evaluations (about 20 evaluations a run if not given).",
    )
    checkpoint_every: Duration = Field(Duration("60s"), description="Time between checkpoints, as in 30s, 5m or 1h.")
    track: Annotated[list[TrackerName], BeforeValidator(_split_commas)] = Field(
        default_factory=list,
        description="Where else to record the run: tensorboard, mlflow or both (they need the 'track' extra).",
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainingSettings:
        given = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not both")
        if self.grow_windows and given not in ([], ["budget"]):
            raise ValueError(f"grow_windows goes by the clock: give a budget instead of {given[0]}")
        return self


class SamplingSettings(Settings):
    """How text is drawn from the model's distribution: temperature → top-k → top-p → min-p."""

    length: int = Field(500, ge=0, le=100_000_000, description="Characters to write (bytes with a bytes vocabulary).")
    temperature: float = Field(
        0.8, ge=0, le=1000, description="Below 1 safer, above 1 wilder; 0 always takes the likeliest."
    )
    top_k: int = Field(0, ge=0, le=2**31, description="Draw from the k likeliest characters only; 0 = all.")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Draw from the fewest characters that hold this share of the probability.",
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="Drop characters less likely than this share of the likeliest one."
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="The same seed gives the same text; a random one is drawn and shown.",
    )
    stop: Annotated[list[str], BeforeValidator(_list_of_one)] = Field(
        default_factory=list, description="End before this text; may be given several times."
    )
    regex: str | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="Write only what matches this whole pattern (a regular expression, as in Python's re.fullmatch).",
    )

    @model_validator(mode="after")
    def _stops_are_not_empty(self) -> SamplingSettings:
        if "" in self.stop:
            raise ValueError("an empty stop text would end every answer at once")
        return self

    @model_validator(mode="after")
    def _a_match_is_not_cut(self) -> SamplingSettings:
        if self.regex is not None and self.stop:
            raise ValueError("give regex or stop, not both: a stop text would cut the match")
        return self


class RunSettings(Settings):
    """Every option of `charloom train`; also the shape of a recipe file."""

    description: str = Field("", description="What the recipe is for, in a sentence.")
    free: Annotated[tuple[Chosen, ...], BeforeValidator(_list_of_one)] = Field(
        (), description="Settings of the recipe that a budget chooses otherwise if it is better."
    )
    corpus: CorpusSettings = Field(default_factory=CorpusSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)

    @model_validator(mode="after")
    def _free_settings_are_set(self) -> RunSettings:
        given = self.model.model_fields_set | self.training.model_fields_set
        if unset := [name for name in self.free if name not in given]:
            raise ValueError(f"free names {', '.join(unset)}, which the sections model and training do not set")
        return self


SECTIONS: dict[str, type[Settings]] = {
    "corpus": CorpusSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
}

LEARNING = tuple(field for kind in SECTIONS.values() for field in kind.model_fields)
"""The names of all settings of a training."""

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def validate(kind: type[AnySettings], values: Mapping[str, Any], origin: str = "") -> AnySettings:
    """Build settings from plain values.

    Raises:
        UsageError: one line naming the setting, its value and what it must be; `origin`, the file it
            is in if it is in one, comes first.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(origin + explain(error, in_file=bool(origin), kind=kind)) from None


def combine_settings(kind: type[AnySettings], settings: AnySettings | None, options: Mapping[str, Any]) -> AnySettings:
    """Settings with single options over them.

    Raises:
        UsageError: an option is unknown or cannot work.
    """
    if settings is not None and not isinstance(settings, kind):
        raise UsageError(f"give the settings as {kind.__name__}(...)")
    if settings is not None and not options:
        return settings
    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    return validate(kind, {**given, **options})


def run_settings(base: RunSettings, options: Mapping[str, Any]) -> RunSettings:
    """`base` (a recipe or the defaults) with flat `options` such as `hidden_size=256` laid over it.

    Raises:
        UsageError: an unknown name, or a value out of its range.
    """
    values: dict[str, Any] = {name: getattr(base, name).model_dump(exclude_unset=True) for name in SECTIONS}
    for name, value in options.items():
        section = next((key for key, kind in SECTIONS.items() if name in kind.model_fields), None)
        if section is None:
            raise UsageError(f"there is no training option called {name!r}{did_you_mean(name, LEARNING)}")
        values[section][name] = value
    if any(options.get(name) is not None for name in LENGTHS):
        for name in LENGTHS:
            if name not in options:
                values["training"].pop(name, None)
    sections = {name: validate(kind, values[name]) for name, kind in SECTIONS.items()}
    return base.model_copy(update=sections)
