"""What clients call their fields: a request that says it otherwise is refused with the right name, or understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from charloom.runtime.model import Model
from tests.serving.conftest import JSON, serving

LINES = "application/jsonlines"
WITHOUT_PROMPT: list[tuple[str, dict[str, Any]]] = [
    ("inputs", {"inputs": "The ", "parameters": {"max_new_tokens": 200}}),
    ("text_inputs", {"text_inputs": "The ", "max_length": 50}),
    ("input", {"input": "The "}),
    ("text", {"text": "The "}),
    ("promt", {"promt": "The "}),
    ("Prompt", {"Prompt": "The "}),
    ("prompt\u3000", {"prompt\u3000": "The "}),
    ("", {"prompt\x1b": "The "}),
    ("messages", {"messages": [{"role": "user", "content": "The "}], "model": "small"}),
    ("", {}),
    ("", {"max_tokens": 5}),
    ("", {"prompt": None}),
]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def check_missing(error: dict[str, Any], near: str) -> None:
    assert (error["type"], error["param"]) == ("invalid_request_error", "prompt")
    assert error["message"].startswith("prompt is missing")
    assert (f'"{near}"' in error["message"]) == bool(near)
    assert "\n" not in error["message"]


@pytest.mark.parametrize(("near", "body"), WITHOUT_PROMPT)
def test_no_address_takes_a_request_without_a_prompt(client: httpx.Client, near: str, body: dict[str, Any]) -> None:
    check_missing(error_of(client.post("/v1/completions", json=body)), near)
    check_missing(error_of(client.post("/v1/completions", json={**body, "stream": True})), near)
    check_missing(error_of(client.post("/invocations", json=body)), near)
    check_missing(error_of(client.post("/invocations", json={**body, "score": True})), near)
    if "prompt" not in body:
        check_missing(error_of(client.post("/tokenize", json=body)), near)


@pytest.mark.parametrize("kind", [LINES, f"{LINES}; score=true"])
def test_each_line_of_many_says_what_is_missing(client: httpx.Client, kind: str) -> None:
    bodies = [*(body for _, body in WITHOUT_PROMPT), {"prompt": "The ", "max_tokens": 3}]
    content = "\n".join(json.dumps(body) for body in bodies)
    lines = client.post("/invocations", content=content, headers={"content-type": kind}).text.splitlines()
    *refused, last = [json.loads(line) for line in lines]
    for (near, _), answer in zip(WITHOUT_PROMPT, refused, strict=True):
        check_missing(answer["error"], near)
    assert last["object"] == ("score" if "score" in kind else "text_completion")


def test_other_addresses_name_the_near_field_too(client: httpx.Client) -> None:
    assert (
        '"prompt" is not read here, send it as "text"'
        in error_of(client.post("/api/score", json={"prompt": "a"}))["message"]
    )
    assert error_of(client.post("/detokenize", json={"ids": [1]}))["param"] == "tokens"


def test_an_empty_prompt_is_a_prompt(client: httpx.Client, model: Model) -> None:
    answer = client.post("/v1/completions", json={"prompt": "", "messages": [], "seed": 4}).json()
    assert answer["choices"][0]["text"] == model.generate("", length=16, seed=4).text


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_new_tokens", "length"])
@pytest.mark.parametrize("path", ["/v1/completions", "/invocations"])
def test_a_length_by_any_of_its_names(client: httpx.Client, path: str, name: str) -> None:
    body = {"prompt": "The ", "max_tokens": None, name: 37}
    assert client.post(path, json=body).json()["usage"]["completion_tokens"] == 37
    twice = {"prompt": "The ", "max_tokens": 37, name: 37}
    assert client.post(path, json=twice).json()["usage"]["completion_tokens"] == 37
    for wrong in (10_001, "37", -2, 3.5):
        assert client.post(path, json={"prompt": "The ", name: wrong}).status_code == 400


def test_two_lengths_that_differ_are_refused(client: httpx.Client) -> None:
    error = error_of(client.post("/v1/completions", json={"prompt": "a", "max_tokens": 16, "max_new_tokens": 200}))
    assert "max_tokens = 16 and max_new_tokens = 200" in error["message"]


def test_fields_inside_parameters_are_refused_and_not_lost(client: httpx.Client) -> None:
    body = {"prompt": "The ", "parameters": {"max_new_tokens": 200}}
    error = error_of(client.post("/invocations", json=body))
    assert error["param"] == "parameters"
    assert client.post("/invocations", json={"prompt": "The ", "parameters": {}}).status_code == 200


def test_minus_one_draws_a_seed_and_is_the_longest_length(trained: Path) -> None:
    with serving({"small": trained}, max_tokens=300) as client:
        bodies = [{"prompt": "The ", "seed": -1, "max_tokens": -1} for _ in range(2)]
        first, second = (client.post("/v1/completions", json=body).json() for body in bodies)
        seeds = {answer["choices"][0]["seed"] for answer in (first, second)}
        assert len(seeds) == 2
        assert min(seeds) >= 0
        assert [answer["usage"]["completion_tokens"] for answer in (first, second)] == [300, 300]


def test_a_body_may_begin_with_a_byte_order_mark(client: httpx.Client) -> None:
    body = b'\xef\xbb\xbf{"prompt": "The ", "max_tokens": 3}'
    assert client.post("/v1/completions", content=body, headers=JSON).status_code == 200
    lines = client.post("/invocations", content=body + b"\n" + body[3:], headers={"content-type": LINES})
    assert [json.loads(line)["usage"]["completion_tokens"] for line in lines.text.splitlines()] == [3, 3]
    plain = client.post("/invocations", content=b"\xef\xbb\xbf9-The ", headers={"content-type": "text/plain"})
    assert len(plain.text) == 9
