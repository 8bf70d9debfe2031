"""Settings of `charloom serve`: flags, environment and file have one source; flag over environment over file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from charloom.display import visible
from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.settings import Duration, Precision, Settings, validate

PREFIX = "CHARLOOM_SERVE_"
"""A setting such as `max_rows` is `CHARLOOM_SERVE_MAX_ROWS` in the environment."""

API_KEYS = PREFIX + "API_KEY"
"""Keys in the environment, separated by commas: not a flag, which everybody on the machine could read."""

CONFIG = PREFIX + "CONFIG"
SAGEMAKER_PORT = "SAGEMAKER_BIND_TO_PORT"
SAGEMAKER_BASE = "SAGEMAKER_BASE_DIR"

_FILE_LIMIT = 1 << 20
_HOST = re.compile(r"(\*\.)?[\w-]+(\.[\w-]+)*|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+")


def _split_commas(value: object) -> object:
    """The environment says `a,b` where a flag is given twice."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origins(values: list[str]) -> list[str]:
    for value in values:
        if value not in ("*", "null") and not _ORIGIN.fullmatch(value):
            raise ValueError("give a scheme, a host and perhaps a port, such as https://page.example; or *")
    return values


def _hosts(values: list[str]) -> list[str]:
    for value in values:
        if value != "*" and not _HOST.fullmatch(value):
            raise ValueError("give a name without scheme and port, such as llm.example or *.example")
    return values


class ServeSettings(Settings):
    """Where the server listens, and how much it may be asked for."""

    host: str = Field("127.0.0.1", description="The address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(8000, ge=0, le=65_535, description="The port to listen on; 0 picks a free one.")
    precision: Precision = Field("auto", description="Which graph to run; auto takes the fastest faithful one.")
    threads: int = Field(1, ge=1, le=1024, description="Processor threads for each model's network.")
    max_rows: int = Field(64, ge=1, le=4096, description="Texts written at the same time, each model.")
    max_queue: int = Field(256, ge=0, le=1_000_000, description="Requests that may wait beside them; more get a 503.")
    max_prompt: int = Field(100_000, ge=1, le=100_000_000, description="Characters of one prompt.")
    max_prompts: int = Field(128, ge=1, le=4096, description="Prompts in one request.")
    max_tokens: int = Field(10_000, ge=1, le=100_000_000, description="Characters of one text (max_tokens).")
    max_samples: int = Field(64, ge=1, le=4096, description="Continuations of one prompt (n).")
    max_request_prompt: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Characters of all prompts of a request."
    )
    max_request_texts: int = Field(1024, ge=1, le=65_536, description="Texts of a request: prompts × n.")
    max_request_tokens: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Characters of all texts of a request: prompts × n × max_tokens."
    )
    max_request_logprobs: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Probabilities in an answer: characters × (logprobs + 1)."
    )
    max_large: int = Field(
        8, ge=1, le=4096, description="Requests of more than 32,768 characters at a time; others wait for their turn."
    )
    max_stops: int = Field(16, ge=0, le=1024, description="Stop texts of one request.")
    max_stop_length: int = Field(256, ge=1, le=65_536, description="Characters of one stop text.")
    max_logprobs: int = Field(20, ge=0, le=1000, description="Likeliest characters named at each place (logprobs).")
    max_body: int = Field(25 << 20, ge=1024, le=1 << 30, description="Bytes of a request's body.")
    max_connections: int = Field(4096, ge=1, le=1_000_000, description="Connections open at the same time.")
    request_timeout: Duration = Field(
        Duration("300s"), description="Time for a request, from its first byte to the answer's last."
    )
    head_timeout: Duration = Field(
        Duration("20s"),
        description="Time for the head of a request, from its first byte; a new connection has it to begin.",
    )
    keep_alive: Duration = Field(Duration("65s"), description="Time that an idle connection is kept open.")
    drain: Duration = Field(Duration("25s"), description="Time to finish requests after a signal to end.")
    failure_linger: Duration = Field(
        Duration("5s"),
        description="How long to answer 503 with the reason before the server ends, after a model failed to load.",
    )
    coalesce: int = Field(20, ge=0, le=10_000, description="Milliseconds of a stream that share one event.")
    api_key_file: Path | None = Field(None, description="A file of keys, one a line: requests must carry one of them.")
    cors_origin: Annotated[list[str], BeforeValidator(_split_commas), AfterValidator(_origins)] = Field(
        default_factory=list, description="An origin whose pages may call the server; may be given several times."
    )
    allowed_host: Annotated[list[str], BeforeValidator(_split_commas), AfterValidator(_hosts)] = Field(
        default_factory=list,
        description="Another name of the server, such as llm.example or *.example; may be given several times.",
    )
    log_prompts: bool = Field(False, description="Write prompts to the log too.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Log lines as JSON or for people; auto: for people on a terminal."
    )

    @model_validator(mode="after")
    def _one_text_is_within_a_request(self) -> Self:
        """Raise what a request may ask for in all to what one of its texts may, unless it was set."""
        least = {
            "max_request_prompt": self.max_prompt,
            "max_request_texts": max(self.max_prompts, self.max_samples),
            "max_request_tokens": self.max_tokens,
        }
        for name, value in least.items():
            if name not in self.model_fields_set and value > getattr(self, name):
                self.__dict__[name] = value  # the model is frozen for others
        return self


def gather_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None, *, in_container: bool
) -> ServeSettings:
    """Settings from all their sources.

    Args:
        flags: what the command line says.
        environment: of the process.
        file: a TOML file of settings, if one is named; otherwise CHARLOOM_SERVE_CONFIG may name it.
        in_container: whether SageMaker started the server: other machines must reach port 8080, and failures are
            reported for as long as it takes to be asked.

    Raises:
        UsageError: a source names a setting that does not exist, or a value out of its range.
    """
    named = environment.get(CONFIG)
    layers = [_container(environment)] if in_container else []
    if file is not None:
        layers.append(_from_file(file, "--config"))
    elif named:
        layers.append(_from_file(Path(named), CONFIG))
    layers += [_from_environment(environment), dict(flags)]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer
    return validate(ServeSettings, merged)


def in_container(models: Iterable[str], environment: Mapping[str, str]) -> bool:
    """Whether SageMaker started the server: it says so, or no model is named and one is where it puts them."""
    return SAGEMAKER_PORT in environment or (not list(models) and container_model(environment).is_dir())


def container_model(environment: Mapping[str, str]) -> Path:
    """Where SageMaker unpacks a model."""
    return Path(environment.get(SAGEMAKER_BASE) or "/opt/ml") / "model"


def _container(environment: Mapping[str, str]) -> dict[str, Any]:
    given = {"host": "0.0.0.0", "port": environment.get(SAGEMAKER_PORT) or 8080, "failure_linger": "30s"}
    validate(ServeSettings, given, origin=f"{SAGEMAKER_PORT}: ")
    return given


def _from_file(file: Path, named_by: str) -> dict[str, Any]:
    try:
        with expand_home(file).open("rb") as opened:
            content = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {named_by} {file}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _FILE_LIMIT:
        raise UsageError(f"{file} is larger than any file of settings")
    try:
        values = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not TOML: {' '.join(str(error).split())[:200]}") from None
    values = {name.replace("-", "_"): value for name, value in values.items()}
    validate(ServeSettings, values, origin=f"{file}: ")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in (API_KEYS, CONFIG)
    }
    known = {variable.removeprefix(PREFIX).lower(): variable for variable in variables()}
    for name, value in values.items():
        if name not in known:
            near = "".join(f"; did you mean {known[each]}?" for each in get_close_matches(name, known, 1))
            raise UsageError(f"{visible(PREFIX + name.upper())}: there is no such setting{near}")
        validate(ServeSettings, {name: value}, origin=f"{PREFIX}{name.upper()}: ")
    return values


def variables() -> list[str]:
    """The variables of the environment that the server reads."""
    return [API_KEYS, CONFIG, *(PREFIX + name.upper() for name in ServeSettings.model_fields)]
