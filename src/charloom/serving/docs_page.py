"""The page at `/docs`: every address with its fields, from `/openapi.json`. It needs no script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

Schema = dict[str, Any]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>charloom: the HTTP interface</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="colours.css">
<link rel="stylesheet" href="style.css">
<link rel="stylesheet" href="extras.css">
</head>
<body>
<header>
<h1><span class="thread" aria-hidden="true"></span>charloom</h1>
<p class="soft">The HTTP interface, version {version}.
The same for programs: <a href="openapi.json">openapi.json</a></p>
</header>
<main id="operations">
{operations}
</main>
</body>
</html>
"""


def interface_page(description: Schema) -> str:
    """The page for a description in OpenAPI."""
    schemas = description["components"]["schemas"]
    operations = (
        _operation(path, method, operation, schemas)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    return _PAGE.format(version=escape(description["info"]["version"]), operations="\n".join(operations))


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> str:
    about = operation.get("description") or operation.get("summary", "")
    bodies = [("Send", operation.get("requestBody", {})), ("Get", operation["responses"].get("200", {}))]
    parts = [f"<h2>{method.upper()} <code>{escape(path)}</code></h2>", f"<p>{escape(about)}</p>"]
    for verb, body in bodies:
        for media_type, content in body.get("content", {}).items():
            parts.append(f"<h3>{verb} <code>{escape(media_type)}</code></h3>")
            parts.append(_fields(content.get("schema", {}), schemas))
    return f'<section class="operation">{"".join(parts)}</section>'


def _fields(schema: Schema, schemas: Schema) -> str:
    properties = schemas.get(_name(schema), schema).get("properties")
    if not properties:
        return f"<p>{escape(_type(schema))}</p>"
    rows = "\n".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(_type(field))}</td><td>{_default(field)}</td>'
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in properties.items()
    )
    head = "<tr><th>field</th><th>type</th><th>default</th><th>meaning</th></tr>"
    return f'<div class="wide" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _name(schema: Schema) -> str:
    """The name of the schema that is referred to; empty where there is no reference."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _default(field: Schema) -> str:
    return f"<code>{escape(json.dumps(field['default']))}</code>" if "default" in field else ""


def _type(schema: Schema) -> str:
    """A type in a few words."""
    if name := _name(schema):
        return name
    if "const" in schema or "enum" in schema:
        return " or ".join(map(json.dumps, schema.get("enum", [schema.get("const")])))
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(_type, several))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return " ".join([schema.get("type", "anything"), *_bounds(schema)])


def _bounds(schema: Schema) -> Iterator[str]:
    for name, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤")):
        if name in schema:
            yield f"{sign} {schema[name]}"
