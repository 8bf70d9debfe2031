"""What all that is created in an account can carry: an encryption key, tags, environment variables of its container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from charloom.sagemaker.names import OURS
from charloom.settings import Settings

_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")
_TAG = re.compile(r"[\w .:/=+@-]*")
_TAG_LENGTHS = 128, 256
_MOST_TAGS = 40  # of the user's: Amazon takes 50 in all
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,511}")
_CHARLOOMS = ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY", "SAGEMAKER_REGION")


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError("give a KMS key's id, its alias as alias/name, or its full name (ARN)")
    return text


KmsKey = Annotated[str, AfterValidator(_key)]
"""A KMS key, by its id, alias or full name."""


def _pairs(value: object) -> object:
    """A mapping, as Python has it, as the command line writes it."""
    return [f"{name}={text}" for name, text in value.items()] if isinstance(value, Mapping) else value


def _split(pairs: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs)


def _pairs_by_name(pairs: list[str], example: str) -> dict[str, str]:
    """The pairs by their names."""
    for pair in pairs:
        if not pair.partition("=")[1] or not pair.partition("=")[0]:
            raise ValueError(f"{pair[:60]!r} is not a pair of a name and a value: give one such as {example}")
    found = _split(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice: leave one out")
    return found


def _tags(pairs: list[str]) -> list[str]:
    for name, value in _pairs_by_name(pairs, "team=text").items():
        if name == OURS or name.startswith((f"{OURS}:", "aws:")):
            raise ValueError(f"the tag {name[:60]} is not free: charloom or Amazon sets it")
        for text, most in zip((name, value), _TAG_LENGTHS, strict=True):
            if len(text) > most or not _TAG.fullmatch(text):
                raise ValueError(f"{text[:60]!r}: letters, digits, spaces and _ . : / = + - @, {most} at most")
    return pairs


def _variables(pairs: list[str]) -> list[str]:
    for name in _pairs_by_name(pairs, "PIP_INDEX_URL=https://example.com/simple"):
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:60]!r} cannot be the name of an environment variable")
        if name in _CHARLOOMS:
            raise ValueError(f"{name} is set by charloom: leave it out")
    return pairs


class ResourceSettings(Settings):
    """What all that is created in an account can carry."""

    longest_value: ClassVar[int] = 1024
    """Characters that Amazon lets the value of an environment variable have."""
    most_variables: ClassVar[int] = 100

    kms_key: KmsKey | None = Field(
        None, description="The KMS key that encrypts what is uploaded, disks and results: its id, alias or ARN."
    )
    tag: Annotated[list[str], BeforeValidator(_pairs), AfterValidator(_tags)] = Field(
        default_factory=list,
        max_length=_MOST_TAGS,
        description="A tag for all that is created, as team=text; may be given several times.",
    )
    env: Annotated[list[str], BeforeValidator(_pairs), AfterValidator(_variables)] = Field(
        default_factory=list,
        description="An environment variable of the container, as NAME=VALUE; may be given several times.",
    )

    @model_validator(mode="after")
    def _as_amazon_takes_them(self) -> Self:
        if len(self.env) > self.most_variables:
            raise ValueError(f"{len(self.env)} environment variables: Amazon takes {self.most_variables} at most here")
        for name, value in self.environment.items():
            if len(value) > self.longest_value:
                raise ValueError(
                    f"--env {name} has {len(value):,} characters: Amazon takes {self.longest_value:,} here"
                )
        return self

    @property
    def own_tags(self) -> dict[str, str]:
        """The user's tags by their names."""
        return _split(self.tag)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by their names."""
        return _split(self.env)

    def carried(self) -> dict[str, Any]:
        """The choices that were made here, as fields of other settings of this kind."""
        return {name: getattr(self, name) for name in ("kms_key", "tag") if name in self.model_fields_set}
