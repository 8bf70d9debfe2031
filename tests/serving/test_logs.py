"""The log: JSON off a terminal, ids, and no prompt unless asked."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from charloom.serving import logs
from tests.serving.conftest import serving


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("charloom", logs.LOGGER, "uvicorn")]
    kept = [(one.handlers, one.level, one.propagate) for one in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines_of(trained: Path, *, log_prompts: bool, log_format: str = "auto") -> str:
    stream = io.StringIO()
    logs.set_up(log_format, stream)
    with serving({"small": trained}, log_prompts=log_prompts) as client:
        head = {"x-request-id": "it-1"}
        client.post("/v1/completions", json={"prompt": "a secret\nthing", "max_tokens": 5}, headers=head)
        client.post("/v1/completions", json={"prompt": "a secret\nthing", "n": 0})
        client.get("/health")
    return stream.getvalue()


def test_one_json_object_a_line_without_prompts(trained: Path) -> None:
    text = lines_of(trained, log_prompts=False)
    assert "secret" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["ready", "request", "request"]
    first, second = lines[1:]
    assert (first["request_id"], first["status"], first["model"]) == ("it-1", 200, "small")
    assert (first["prompt_tokens"], first["completion_tokens"], first["finish_reasons"]) == (14, 5, ["length"])
    assert second["status"] == 400


def test_prompts_where_they_are_asked_for(trained: Path) -> None:
    assert "a secret" in lines_of(trained, log_prompts=True)


def test_lines_for_people_stay_lines(trained: Path) -> None:
    text = lines_of(trained, log_prompts=True, log_format="text")
    assert len(text.splitlines()) == 3
    assert "request_id=it-1" in text


def test_what_the_library_logs_is_a_line_too() -> None:
    stream = io.StringIO()
    logs.set_up("json", stream)
    logging.getLogger("charloom").warning("numpy runs the network")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == ("warning", "numpy runs the network")
