"""One HTML page from its parts: the readable sources in `browser/` joined, their hashes in the page's own policy.

An ES module cannot be imported from inside the same file, so modules are joined: those that others import come first,
and the words `import` and `export` go. The policy allows these very scripts and styles and a worker made of the page's
own text; every address is forbidden.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export ", re.M)


def browser_source(name: str) -> str:
    """A file of `runtime/browser/`."""
    return files("charloom.runtime").joinpath("browser", name).read_text("utf-8")


def joined_modules(entry: str) -> str:
    """A module and all that it imports, directly or not, as one script."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", browser_source(name))) for name in _in_order(entry, []))


def _in_order(name: str, before: list[str]) -> list[str]:
    """`before` and then a module's imports and the module itself, each once."""
    for imported in _imports(name):
        if imported not in before:
            _in_order(imported, before)
    before.append(name)
    return before


def _imports(name: str) -> Iterator[str]:
    return (found[1] for found in _IMPORT.finditer(browser_source(name)))


def assembled_page(name: str, description: Mapping[str, object], weights: bytes) -> str:
    """The whole page.

    Args:
        name: the model's, for people.
        description: what the page knows of the model, put in as JSON.
        weights: put in as base64.
    """
    style = browser_source("colours.css") + browser_source("style.css")
    script = joined_modules("view.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; worker-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "name": html.escape(name),
        "style": style,
        "description": _json(description),
        "weights": base64.b64encode(weights).decode("ascii"),
        "worker": joined_modules("worker.js"),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], browser_source("page.html"))


def _json(data: Mapping[str, object]) -> str:
    """JSON that ends no script and begins no comment, whatever is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
