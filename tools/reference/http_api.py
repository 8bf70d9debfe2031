"""docs/reference/http-api.md: what `/openapi.json` says, as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from charloom.serving.app import create_app
from charloom.serving.schema import openapi
from reference.markdown import code, page, prose, shown, table

_SIMPLE = {"null": "null", "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_LIMITS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def http_api() -> str:
    """The page."""
    described = openapi(create_app({"model": "of-no-matter"}))
    routes = [
        (f"{method.upper()} {path}", response)
        for path, of in described["paths"].items()
        for method, response in of.items()
    ]
    schemas: dict[str, Any] = described["components"]["schemas"]
    return page(
        "HTTP, field by field",
        "What a server tells of itself at `/openapi.json`. [The HTTP interface](http.md) says what the fields do "
        "together; a field that is not given, or null, has its default.",
        table(("Route", "", "Takes", "Answers", "Refuses with"), (_route(name, response) for name, response in routes)),
        "Every refusal is an [ErrorAnswer](#erroranswer).",
        *(_schema(name, schemas[name]) for name in schemas),
    )


def _route(name: str, response: dict[str, Any]) -> tuple[str, ...]:
    refusals = ", ".join(sorted(status for status in response["responses"] if status != "200"))
    answers = _contents(response["responses"].get("200", {}))
    return code(name), prose(response.get("summary", "")), _contents(response.get("requestBody", {})), answers, refusals


def _contents(part: dict[str, Any]) -> str:
    return ", ".join(
        _kind(of["schema"]) if "$ref" in of.get("schema", {}) else code(kind)
        for kind, of in part.get("content", {}).items()
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = ((code(field), *_field(field, response, schema)) for field, response in schema.get("properties", {}).items())
    return f"## {name}\n\n{prose(schema.get('description', ''))}\n\n" + table(("Field", "Type", "Default", ""), rows)


def _field(name: str, response: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    required = name in schema.get("required", ())
    nullable = required and any(part.get("type") == "null" for part in response.get("anyOf", ()))
    yield _kind(response) + " or null" * nullable
    default = response.get("default")
    yield "required" if required else shown(None if default in ("", [""]) else default)
    yield prose(response.get("description", ""))


def _kind(response: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in response:
        name = response["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in response:
        return " or ".join(dict.fromkeys(_kind(part) for part in response["anyOf"] if part.get("type") != "null"))
    if "enum" in response or "const" in response:
        return ", ".join(code(value) for value in response.get("enum", [response.get("const")]))
    if response.get("type") == "array":
        return f"list of {_kind(response.get('items', {}))}"
    if response.get("type") == "object":
        inner = response.get("additionalProperties")
        return f"mapping to {_kind(inner)}" if isinstance(inner, dict) and inner else "mapping"
    limits = [
        f"{word} {response[limit]:,}"
        for limit, word in _LIMITS.items()
        if limit in response and response[limit] < 1 << 31
    ]
    return " ".join([_SIMPLE.get(response.get("type", ""), "anything"), *limits])
