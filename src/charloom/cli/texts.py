"""Texts that a command reads whole: prompts, and what to adapt to. Bounded, whatever the file."""

from __future__ import annotations

import sys
from pathlib import Path

from charloom.errors import CharloomError, UsageError

MOST = 1 << 26  # bytes: 64 MiB are more than an hour's reading for a large model


def read_text(file: Path, what: str, most: int = MOST) -> str:
    """The content of a UTF-8 file without a byte order mark; `-` is stdin.

    Args:
        file: what to read.
        what: what to call it in errors.
        most: bytes it may have.

    Raises:
        UsageError: it is longer; no more than that is read.
        CharloomError: it cannot be read, or is not UTF-8.
    """
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(most + 1)
        else:
            with file.open("rb") as stream:
                content = stream.read(most + 1)
    except OSError as error:
        raise CharloomError(f"cannot read {what} from {file}: {error.strerror}") from None
    if len(content) > most:
        raise UsageError(f"{what} in {file} is too long: at most {most:,} bytes; give its last part")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CharloomError(f"{what} in {file} is not UTF-8: byte {error.start:,}; save it as UTF-8") from None
