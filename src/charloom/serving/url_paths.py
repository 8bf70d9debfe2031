"""Paths of URLs as clients write them: normalized, and where there is nothing, what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from starlette.types import Scope

_SLASHES = re.compile("/{2,}")
_NEAR = 0.7  # of difflib's measure
_NOTHING = "there is nothing at this address"
_NO_CHAT = "there is no chat here: charloom continues text, POST /v1/completions"
_NO_EMBEDDINGS = "there are no embeddings here: charloom continues text, POST /v1/completions"
_NOT_HERE = {
    "chat": _NO_CHAT,
    "messages": _NO_CHAT,
    "responses": _NO_CHAT,
    "embeddings": _NO_EMBEDDINGS,
    "embed": _NO_EMBEDDINGS,
}
_ELSEWHERE = {
    "v1": "/v1/completions",
    "completion": "/v1/completions",
    "complete": "/v1/completions",
    "generate": "/v1/completions",
    "generate_stream": "/v1/completions",
    "predict": "/invocations",
    "predictions": "/invocations",
    "healthz": "/health",
}
"""Names that other servers have for addresses of ours."""


def normalize_path(scope: Scope, whole: frozenset[str]) -> Scope:
    """A request's scope with its address as the app knows it.

    A target may be a whole URL, whose host is then the one that was asked for (RFC 9112, 3.2.2). More slashes than
    one, or one at the end, make no difference. HEAD is GET; that its answer has no body is seen to by the web server.

    Args:
        scope: of the request; it stays as it is.
        whole: addresses where a slash at the end belongs to the name.
    """
    path, headers = scope["path"], scope["headers"]
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        authority, _, path = rest.partition("/")
        path = f"/{path}"
        headers = [(name, value) for name, value in headers if name != b"host"]
        headers.append((b"host", authority.encode("utf-8")))
    path = _SLASHES.sub("/", path)
    if path not in whole:
        path = path.rstrip("/") or "/"
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": path, "headers": headers, "method": method}


def not_found_message(path: str, known: Sequence[str]) -> str:
    """What a client reads that asked at an address where there is nothing; `known` are those that answer."""
    parts = [part for part in path.lower().split("/") if part]
    for part in parts:
        if part in _NOT_HERE:
            return _NOT_HERE[part]
    last = parts[-1] if parts else ""
    meant = [one for one in known if one.rpartition("/")[2] == last]
    if not meant:
        meant = [_ELSEWHERE[last]] if last in _ELSEWHERE else get_close_matches(path, known, 1, _NEAR)
    hint = f"did you mean {meant[0]}? " if meant else ""
    return f"{_NOTHING}: {hint}/docs lists what there is"
