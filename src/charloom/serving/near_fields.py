"""A request without the one field it must have: which of the fields that were sent is probably meant for it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from charloom.display import visible

_OTHER_NAMES = {
    "prompt": ("inputs", "input", "text_inputs", "text", "content", "query"),
    "text": ("prompt", "inputs", "input", "text_inputs", "content"),
    "tokens": ("ids", "input_ids", "prompt"),
}
"""Names that other servers have for a field of ours."""

_CHAT = "messages"


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
