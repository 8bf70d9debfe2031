"""Every answer has exactly the fields that `/openapi.json` declares, the events of a stream and single lines too."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from pydantic import BaseModel

from charloom.serving.health import Health, ModelEntry, ModelList
from charloom.serving.inspection import ModelFacts, ModelIntroduction, ScoredText, UnitsOverText
from charloom.serving.invocations import LineScore
from charloom.serving.openai import Completion, ErrorAnswer
from charloom.serving.tokenization import Detokenized, TokenizerInfo, Tokens

WHOLE = {"prompt": "the", "max_tokens": 5, "logprobs": 2, "echo": True, "n": 2, "seed": 1}
STREAM = {**WHOLE, "stream": True, "stream_options": {"include_usage": True}}
LINES = [{"prompt": "the", "max_tokens": 3}, {"prompt": "the", "score": True}, {"prompt": 1}]

ANSWERS: list[tuple[str, object, type[BaseModel]]] = [
    ("/health", None, Health),
    ("/ping", None, Health),
    ("/v1/models", None, ModelList),
    ("/v1/models/small", None, ModelEntry),
    ("/api/models/small", None, ModelFacts),
    ("/api/models/small/introduction", None, ModelIntroduction),
    ("/tokenizer_info", None, TokenizerInfo),
    ("/v1/completions", WHOLE, Completion),
    ("/v1/completions", {"prompt": "the", "max_tokens": 5}, Completion),
    ("/v1/completions", {}, ErrorAnswer),
    ("/v1/completions", {"prompt": "", "max_tokens": -2}, ErrorAnswer),
    ("/invocations", WHOLE, Completion),
    ("/invocations", {"prompt": "the", "score": True}, LineScore),
    ("/invocations", {"prompt": "", "score": True}, LineScore),
    ("/tokenize", {"prompt": "the"}, Tokens),
    ("/detokenize", {"tokens": [1, 2]}, Detokenized),
    ("/api/score", {"text": "the \N{SNOWMAN}"}, ScoredText),
    ("/api/score", {"text": ""}, ScoredText),
    ("/api/activations", {"text": "the"}, UnitsOverText),
    ("/nowhere", None, ErrorAnswer),
]


def check_fields(answer: object, declared: type[BaseModel]) -> None:
    """Nothing is missing and nothing is besides: what the declared type reads is all of the answer."""
    assert declared.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer


@pytest.mark.parametrize(("address", "body", "declared"), ANSWERS)
def test_an_answer(client: httpx.Client, address: str, body: object, declared: type[BaseModel]) -> None:
    answer = client.get(address) if body is None else client.post(address, json=body)
    assert (answer.status_code >= 400) == (declared is ErrorAnswer)
    check_fields(answer.json(), declared)


def events(stream: str) -> Iterator[object]:
    for event in stream.split("\n\n")[:-1]:
        if event != "data: [DONE]":
            yield json.loads(event.removeprefix("data: "))


@pytest.mark.parametrize("address", ["/v1/completions", "/invocations"])
def test_events_of_a_stream(client: httpx.Client, address: str) -> None:
    found = list(events(client.post(address, json=STREAM).text))
    assert len(found) > 4
    for event in found:
        check_fields(event, Completion)


def test_lines(client: httpx.Client) -> None:
    body = "\n".join(map(json.dumps, LINES))
    lines = client.post("/invocations", content=body, headers={"content-type": "application/jsonlines"}).text
    kinds: list[type[BaseModel]] = [Completion, LineScore, ErrorAnswer]
    for line, declared in zip(lines.splitlines(), kinds, strict=True):
        check_fields(json.loads(line), declared)


def test_all_declared_answers_are_among_them(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    declared = {
        schema["$ref"].rpartition("/")[2]
        for operations in description["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
        for schema in content.get("schema", {}).get("anyOf", [content.get("schema", {})])
        if "$ref" in schema
    }
    assert declared == {kind.__name__ for _, _, kind in ANSWERS}
