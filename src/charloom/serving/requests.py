"""What a client may send, as types; and which field was probably meant where the required one is missing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from charloom.display import visible
from charloom.settings import MAX_SEED

Ids = list[int]

AS_MANY_AS_ALLOWED = -1
"""A length: whatever the server allows."""

DRAWN = -1
"""A seed: any, as other servers have it."""

LENGTHS = ("max_tokens", "max_completion_tokens", "max_new_tokens", "length")
"""The names that clients have for the number of characters to write."""

_USUAL_LENGTH = 16
_LENGTH = f"Characters to write; {_USUAL_LENGTH} if not given, -1 as many as the server allows."
_ANOTHER_NAME = "Another name for max_tokens."

_TEXT = {"type": "string"}
_IDS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
_PROMPT_SCHEMA = {
    "anyOf": [
        _TEXT,
        {"type": "array", "items": _TEXT, "minItems": 1},
        _IDS,
        {"type": "array", "items": _IDS, "minItems": 1},
    ],
    "description": 'What to continue: one text or several, or the ids of these; "" begins from nothing.',
}
_STOP_SCHEMA = {
    "anyOf": [{**_TEXT, "minLength": 1}, {"type": "array", "items": {**_TEXT, "minLength": 1}}, {"type": "null"}],
    "description": "End before this text, or before the first of these; it is left out.",
}
_OTHER_NAMES = {
    "prompt": ("inputs", "input", "text_inputs", "text", "content", "query"),
    "text": ("prompt", "inputs", "input", "text_inputs", "content"),
    "tokens": ("ids", "input_ids", "prompt"),
}
"""Names that other servers have for a field of ours."""
_CHAT = "messages"


class _Request(BaseModel):
    """Types are strict; what we do not know is passed over, for clients say more than servers read."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {int}


def _prompts(value: object) -> list[str] | list[Ids]:
    """Whatever form it has, as a list of prompts."""
    if value is None:
        raise PydanticCustomError("missing", "null is no prompt")
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if _is_ids(value):
            return [value]
        if all(isinstance(item, str) for item in value) or all(_is_ids(item) for item in value):
            return value
    raise ValueError('give a text ("" begins from nothing), a list of texts, a list of ids, or a list of lists of ids')


def _stops(value: object) -> list[str] | None:
    if value is None or isinstance(value, str):
        return None if value is None else [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise ValueError("give a text or a list of texts")


def _drawn(seed: int | None) -> int | None:
    return None if seed == DRAWN else seed


def _empty(parameters: dict[str, Any] | None) -> None:
    if parameters:
        raise ValueError("send its fields beside the prompt, with the names that /docs lists")


Prompts = Annotated[list[str] | list[Ids], PlainValidator(_prompts), WithJsonSchema(_PROMPT_SCHEMA)]
Stops = Annotated[list[str] | None, PlainValidator(_stops), WithJsonSchema(_STOP_SCHEMA)]
Seed = Annotated[int | None, AfterValidator(_drawn)]
NoParameters = Annotated[dict[str, Any] | None, AfterValidator(_empty)]


class StreamOptions(_Request):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="Send the usage in an event before the last.")


class CompletionRequest(_Request):
    """The body of `POST /v1/completions`. What is not given comes from the model's generation_config.json."""

    model: str | None = Field(None, description="Which of the models that are served; the first if not given.")
    prompt: Prompts
    max_tokens: int | None = Field(None, ge=AS_MANY_AS_ALLOWED, description=_LENGTH)
    max_completion_tokens: int | None = Field(None, ge=AS_MANY_AS_ALLOWED, description=_ANOTHER_NAME)
    max_new_tokens: int | None = Field(None, ge=AS_MANY_AS_ALLOWED, description=_ANOTHER_NAME)
    length: int | None = Field(None, ge=AS_MANY_AS_ALLOWED, description=_ANOTHER_NAME)
    temperature: float | None = Field(None, ge=0, le=1000, description="0 always takes the likeliest character.")
    top_p: float | None = Field(None, gt=0, le=1, description="The fewest characters that hold this probability.")
    top_k: int | None = Field(None, ge=-1, le=2**31, description="The k likeliest characters only; 0 or -1 = all.")
    min_p: float | None = Field(None, ge=0, le=1, description="Drop what is less likely than this share of the best.")
    n: int | None = Field(1, ge=1, description="Continuations of each prompt; number i has seed + i.")
    stream: bool | None = Field(False, description="Send the text as it is written, as server-sent events.")
    stream_options: StreamOptions | None = None
    stop: Stops = None
    seed: Seed = Field(None, ge=DRAWN, le=MAX_SEED, description="The same seed gives the same text; -1 draws one.")
    echo: bool | None = Field(False, description="Begin the answer with the prompt.")
    logprobs: int | None = Field(None, ge=0, description="Say what each character costs, and so many in its place.")
    regex: str | None = Field(None, min_length=1, max_length=10_000, description="What is written matches this whole.")
    presence_penalty: float | None = Field(None, description="Not supported: 0.")
    frequency_penalty: float | None = Field(None, description="Not supported: 0.")
    logit_bias: dict[str, Any] | None = Field(None, description="Not supported: empty.")
    suffix: str | None = Field(None, description="Not supported.")
    best_of: int | None = Field(None, description="Not supported: the same as n.")
    user: str | None = Field(None, description="Passed over.")
    parameters: NoParameters = Field(None, description="Not supported: empty. Its fields belong beside the prompt.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = {name: value for name in LENGTHS if (value := getattr(self, name)) is not None}
        if len(set(given.values())) > 1:
            raise ValueError(f"{' and '.join(f'{name} = {value}' for name, value in given.items())}: give one of them")
        return self

    @property
    def characters(self) -> int:
        """How many characters to write, by whichever name they were asked for; `AS_MANY_AS_ALLOWED` stays."""
        given = (value for name in LENGTHS if (value := getattr(self, name)) is not None)
        return next(given, _USUAL_LENGTH)


class InvocationRequest(CompletionRequest):
    """The body of `POST /invocations`: a completion, or with `score` a text that is measured."""

    score: bool | None = Field(None, description="Measure the prompt instead of continuing it.")


class TokenizeRequest(_Request):
    """The body of `POST /tokenize`."""

    model: str | None = None
    prompt: str


class DetokenizeRequest(_Request):
    """The body of `POST /detokenize`."""

    model: str | None = None
    tokens: list[int]


class ScoreRequest(_Request):
    """The body of `POST /api/score`."""

    model: str | None = None
    text: str


class ActivationsRequest(_Request):
    """The body of `POST /api/activations`."""

    model: str | None = None
    text: str = Field(max_length=5_000)
    layer: int | None = Field(None, ge=0, description="From 0; the last if not given.")
    units: list[int] | None = Field(None, max_length=64, description="The most variable ones if not given.")


def missing(field: str, sent: Iterable[str]) -> str:
    """What a client reads that left out `field`, from the names of the fields it sent."""
    names = [name for name in sent if name == visible(name)]
    said = f"{field} is missing"
    known = [name for name in _OTHER_NAMES.get(field, ()) if name in names]
    for near in known or get_close_matches(field, names, 1):
        return f'{said}: "{near}" is not read here, send it as "{field}"'
    if _CHAT in names:
        return f'{said}: "{_CHAT}" is not read, there is no chat here; send the text to continue as "{field}"'
    return said
