"""What Amazon's own library says of a request, without a network: every shape, name, length, range and pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator


def assert_valid(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """A request, as `Aws.call` takes it, is one that the service's description allows.

    botocore itself checks types, names and shortest lengths before it sends anything; longest lengths, patterns and
    enumerations only Amazon checks, so they are checked here: `operation` is spelled as in boto3.
    """
    model = _model(service)
    (name,) = [one for one in model.operation_names if xform_name(one) == operation]
    shape = model.operation_model(name).input_shape
    assert shape is not None, f"{operation} takes no request"
    report = ParamValidator().validate(dict(request), shape)
    assert not report.has_errors(), report.generate_report()
    problems = list(_problems(request, shape, operation))
    assert not problems, "\n".join(problems)


@lru_cache
def _model(service: str) -> ServiceModel:
    model: ServiceModel = botocore.session.Session().get_service_model(service)
    return model


def _problems(value: Any, shape: Shape, where: str) -> Iterator[str]:
    limits = shape.metadata
    if isinstance(value, str | list | dict | tuple) and "max" in limits and len(value) > limits["max"]:
        yield f"{where}: {len(value)} is longer than {limits['max']}"
    if isinstance(value, int | float) and "max" in limits and value > limits["max"]:
        yield f"{where}: {value} is larger than {limits['max']}"
    if isinstance(value, str):
        if limits.get("enum") and value not in limits["enum"]:
            yield f"{where}: {value!r} is none of {limits['enum']}"
        if "pattern" in limits and not _matches(limits["pattern"], value):
            yield f"{where}: {value[:100]!r} does not match {limits['pattern']}"
    yield from _inner_problems(value, shape, where)


def _inner_problems(value: Any, shape: Any, where: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for key, inner in value.items():
            yield from _problems(inner, shape.members[key], f"{where}.{key}")
    elif shape.type_name == "list":
        for place, inner in enumerate(value):
            yield from _problems(inner, shape.member, f"{where}[{place}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _problems(key, shape.key, f"{where} key")
            yield from _problems(inner, shape.value, f"{where}[{key!r}]")


def _matches(pattern: str, value: str) -> bool:
    """Amazon's patterns are Java's; classes that Python lacks are spelled in Python's way, a little wider."""
    spelled = pattern.replace(r"\p{L}", r"\w").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    try:
        return re.fullmatch(spelled, value, re.S) is not None
    except re.error:
        return True  # a pattern that only Java can read
