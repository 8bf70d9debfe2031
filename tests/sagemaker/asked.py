"""One corpus of requests, which every way to serve a model must answer alike; seeds make answers repeatable."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

JSON, LINES, PLAIN = "application/json", "application/jsonlines", "text/plain"


class Asked(NamedTuple):
    """A request: its body, what it is called, and what is accepted (empty: not said)."""

    body: bytes
    content_type: str
    accept: str = ""


def _json(**fields: object) -> Asked:
    return Asked(json.dumps(fields, ensure_ascii=False).encode(), JSON)


_LINES = b'{"prompt":"a","max_tokens":5,"seed":1}\n{"prompt":"b","max_tokens":3,"seed":2}\n'

ANSWERED = [
    _json(prompt="The ", max_tokens=20, seed=3),
    _json(prompt=["The ", "A "], max_tokens=5, seed=1, n=2),
    _json(prompt="ünknown ☃ 🎈", max_tokens=10, seed=1, echo=True, logprobs=2),
    _json(prompt="The ", max_tokens=10, temperature=0, stop=["e"], seed=1),
    _json(prompt="The ", max_tokens=8, seed=1, stream=True),
    _json(prompt="The ", max_new_tokens=7, seed=1),
    _json(prompt="The ", max_tokens=8, seed=1, extra="is ignored, or not: the same by all"),
    Asked(b'{"prompt":"The ","max_tokens":4,"seed":1}', "application/json; charset=utf-8"),
    Asked(_LINES, LINES),
    Asked(_LINES + b"{not json\n\n" + b'{"prompt":"c","temperature":-1}', LINES),
    Asked(b"", LINES),
    Asked("9-Überall ☃".encode(), PLAIN),  # the start text is all that is asked for
    Asked(b"18-The statement is a", f"{PLAIN}; charset=utf-8"),
]
"""Requests that get a text, or a refusal of some lines."""

REFUSED = [
    _json(prompt="a", max_tokens=-2),
    _json(inputs="a"),
    _json(prompt="a", parameters={"max_new_tokens": 5}),
    _json(prompt="a", temperature="hot"),
    _json(prompt="a", model="another"),
    _json(prompt="a", max_tokens=10**9),
    _json(prompt="a", regex="(", max_tokens=3),
    Asked(b"{", JSON),
    Asked(b"", JSON),
    Asked(b"[1, 2]", JSON),
    Asked(b"100", PLAIN),
    Asked(b"", PLAIN),
    Asked(b"-you are ", PLAIN),
    Asked(b"5-The statement", PLAIN),
    Asked(b"9-\xff", PLAIN),
    Asked(b"10001-", PLAIN),
    Asked(b"a,b", "text/csv"),
    Asked(b"\x93NUMPY", "application/x-npy"),
]
"""Requests that are a mistake of the client's."""


def comparable(body: bytes) -> bytes:
    """A body without what is another each time: ids, times, and where the events of a stream are cut."""
    if body.startswith(b"data: "):
        texts = re.findall(rb'"text":"((?:[^"\\]|\\.)*)"', body)
        return b"".join(texts) + body[-14:]
    body = re.sub(rb'"id":"[^"]*"', b'"id":""', body)
    return re.sub(rb'"created":[0-9]+', b'"created":0', body)
