"""Log lines: JSON for machines, short ones for people. Prompts are not among them unless that was asked for."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

from charloom.display import safe_json, visible

LOGGER = "charloom.serving"
_LIBRARY = "charloom"

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        line = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage(), **_fields(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A line for people: what comes from clients cannot move their cursor."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = " ".join(f"{name}={_printable(value)}" for name, value in _fields(record).items() if value is not None)
        line = visible(f"{moment} {record.levelname.lower()} {record.getMessage()} {fields}".rstrip())
        return f"{line}\n{visible(self.formatException(record.exc_info), lines=True)}" if record.exc_info else line


def _printable(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    plain = text == visible(text) and len(text.split()) == 1
    return text if plain else safe_json(json.dumps(text, ensure_ascii=False))


def set_up(style: str, stream: TextIO | None = None, *, quiet: bool = False) -> None:
    """Send our log and the web server's to stderr.

    Args:
        style: `json`, `text`, or `auto`: text on a terminal.
        stream: instead of stderr.
        quiet: errors alone are worth a line.
    """
    stream = sys.stderr if stream is None else stream
    level = logging.ERROR if quiet else logging.INFO
    as_text = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    least = max(level, logging.WARNING)
    for name, from_level, passed_on in ((_LIBRARY, least, True), (LOGGER, level, False), ("uvicorn", least, False)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(from_level)
        logger.propagate = passed_on
