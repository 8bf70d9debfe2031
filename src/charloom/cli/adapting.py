"""`charloom generate --adapt`: the model adjusted to a text before it writes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import charloom
from charloom.cli.output import Output
from charloom.cli.texts import read_text
from charloom.errors import UsageError
from charloom.report import duration
from charloom.runtime.model import Model
from charloom.settings import Precision
from charloom.text.decoding import decode

_MOST = 1 << 23  # bytes: more than the longest text that can be adapted to


def check_adapting(file: Path, prompt_file: Path | None, precision: Precision) -> None:
    """Refuse what cannot go together, before anything is read.

    Raises:
        UsageError: it cannot.
        MissingExtraError: torch is not installed.
    """
    if str(file) == "-" and prompt_file is not None and str(prompt_file) == "-":
        raise UsageError("--prompt-file - and --adapt - cannot both read stdin")
    if precision == "int8":
        raise UsageError("an adapted model runs in float32: leave --precision int8 out")
    _ = charloom.adapt  # is loaded with torch here, or said to be missing


def adapt_to_file(out: Output, model: Model, file: Path) -> tuple[Model, dict[str, Any]]:
    """The model adapted to the text in a file, and what a result says about it."""
    text = decode(read_text(file, "the text to adapt to", _MOST).encode(), str(file))
    out.say(f"adapting to {file} …", style="dim")
    found, record = charloom.adapt(model, text, name=str(file))
    if record.unknown:
        out.warn(f"{record.unknown:,} of {record.characters:,} characters of {file} are unknown to the model")
    before, after = record.bits_per_char_before, record.bits_per_char_after
    figures = f"{before:.3f} → {after:.3f} bits per character on its second half"
    times = "once" if record.passes == 1 else f"{record.passes} times"
    done = f"read {times}" if record.passes else "no help, the weights stay as they were"
    out.say(f"(adapted in {duration(record.seconds)}: {figures}; {done})", style="dim")
    return found, {"file": str(file), **asdict(record)}
