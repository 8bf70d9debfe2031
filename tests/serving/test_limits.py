"""What one request may ask for in all is bounded, and checked before anything is done; large ones delay none."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from charloom.runtime.model import Model
from tests.serving.conftest import JSON, events, metric, raw_request, serving

LINES = {"content-type": "application/jsonlines"}
PROSE = "The statement is executed. " * 80


@pytest.fixture(scope="module")
def strict(trained: Path) -> Iterator[httpx.Client]:
    limits: dict[str, Any] = {"texts": 6, "tokens": 100, "prompt": 50, "logprobs": 120}
    with serving({"small": trained}, **{f"max_request_{name}": limit for name, limit in limits.items()}) as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"prompt": ["a"] * 2, "n": 4}, "n", "8 texts (2 × 4) in one request: this server allows 6 "),
        ({"prompt": ["a"] * 3, "n": 2, "max_tokens": 17}, "max_tokens", "102 characters to write (3 × 2 × 17)"),
        ({"prompt": ["a" * 30] * 2}, "prompt", "60 characters of prompts"),
        ({"prompt": [[1] * 30, [2] * 21]}, "prompt", "51 characters of prompts"),
        ({"prompt": "a" * 51}, "prompt", "51 characters, this server allows at most 50"),
        ({"prompt": "a" * 25, "echo": True, "logprobs": 3, "max_tokens": 6}, "logprobs", "124 probabilities"),
        ({"prompt": "a", "n": 2, "logprobs": 2, "max_tokens": 21}, "logprobs", "126 probabilities"),
    ],
)
def test_what_a_request_asks_for_in_all_is_bounded(
    strict: httpx.Client, asked: dict[str, Any], param: str, message: str
) -> None:
    before = metric(strict, "prompt_tokens_total")
    for path, headers in (("/v1/completions", JSON), ("/invocations", JSON), ("/invocations", LINES)):
        answer = strict.post(path, content=json.dumps({"max_tokens": 1, **asked}), headers=headers)
        error = answer.json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert message in error["message"]
        if param != "prompt" or len(asked["prompt"]) < 51:
            assert "(--max-request-" in error["message"]
        assert headers is LINES or answer.status_code == 400
    assert metric(strict, "prompt_tokens_total") == before


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": ["a"] * 3, "n": 2, "max_tokens": 16},
        {"prompt": ["a" * 25] * 2},
        {"prompt": "a" * 24, "echo": True, "logprobs": 3, "max_tokens": 6},
        {"prompt": ["a"] * 3, "max_tokens": -1},
    ],
)
def test_what_is_within_all_limits_is_answered(strict: httpx.Client, asked: dict[str, Any]) -> None:
    answer = strict.post("/v1/completions", json={"max_tokens": 1, **asked})
    assert answer.status_code == 200, answer.text
    if asked.get("max_tokens") == -1:
        assert answer.json()["usage"]["completion_tokens"] == 99


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": [' + b"1," * 1_100_000 + b"1]}",
        b'{"prompt": "a", "logit_bias": {' + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}}",
        b'{"prompt": "' + b"a" * 13_100_000 + b'"}',
    ],
)
def test_a_body_with_more_than_any_request_may_ask_is_not_read(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/completions", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "1,000,000 characters of prompts (--max-request-prompt)" in answer.json()["error"]["message"]


def test_texts_of_quotes_and_commas_are_read(client: httpx.Client) -> None:
    for prompt in ('",' * 30_000, "\\" * 30_000, '"'):
        answer = client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1})
        assert answer.status_code == 200, answer.text


def test_a_long_answer_says_what_many_short_ones_say(client: httpx.Client, model: Model) -> None:
    """It is built in pieces: they fit together, and hold what `score` says of each character."""
    asked = {"prompt": PROSE, "echo": True, "logprobs": 2, "max_tokens": 700, "seed": 3}
    (choice,) = client.post("/v1/completions", json=asked).json()["choices"]
    found = choice["logprobs"]
    assert choice["text"] == PROSE + model.generate(PROSE, length=700, seed=3).text
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == list(range(len(PROSE) + 700))
    costs = [bits for _, bits in model.score(choice["text"], per_char=True).per_char or ()]
    lost = [-nats / 0.6931471805599453 for nats in found["token_logprobs"][1:]]
    assert lost[300:] == pytest.approx(costs[301:], abs=1e-3), "where the beginning does not matter any more"
    assert all(2 <= len(top) <= 3 for top in found["top_logprobs"][1:])

    streamed = events(client.post("/v1/completions", json={**asked, "stream": True}).text)
    assert "".join(one["choices"][0]["text"] for one in streamed) == choice["text"]
    parts = [one["choices"][0]["logprobs"] for one in streamed if one["choices"][0]["logprobs"]]
    for name, whole in found.items():
        assert [value for part in parts for value in part[name]] == whole
    assert max(len(part["tokens"]) for part in parts) <= 512


def test_a_long_score_is_the_sum_of_its_characters(client: httpx.Client, model: Model) -> None:
    text = PROSE * 10
    found = client.post("/api/score", json={"text": text}).json()
    assert (found["characters"], len(found["tokens"])) == (len(text), len(text))
    assert "".join(token["text"] for token in found["tokens"]) == text
    assert sum(token["bits"] for token in found["tokens"]) == pytest.approx(found["bits_per_char"] * len(text))
    assert found["nats"] == pytest.approx(model.score(text).nats, rel=1e-3)


def test_large_requests_wait_for_each_other_and_small_ones_do_not(trained: Path) -> None:
    body = json.dumps({"prompt": "a" * 40_000, "max_tokens": 1, "user": "x" * 40_000}).encode()
    with serving({"small": trained}, max_large=1) as client:
        with raw_request(client, body, only=75_000) as first:
            answers: list[int] = []

            def ask() -> None:
                answers.append(client.post("/v1/completions", content=body, headers=JSON).status_code)

            second = threading.Thread(target=ask)
            second.start()
            for _ in range(5):
                assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 3}).is_success
            second.join(0.5)
            assert not answers, "there is one place"
            first.sendall(body[75_000:])
            assert first.recv(100).startswith(b"HTTP/1.1 200")
            second.join(30)
        assert answers == [200]


def test_large_lines_are_answered_in_their_order(client: httpx.Client) -> None:
    lines = [{"prompt": "The ", "max_tokens": 10 + number, "n": 1} for number in range(6)]
    for large in (1, 4):
        lines[large] |= {"n": 64, "max_tokens": 600}
    answer = client.post("/invocations", content="\n".join(map(json.dumps, lines)), headers=LINES)
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [len(one["choices"]) for one in found] == [line["n"] for line in lines]
    assert [len(one["choices"][0]["text"]) for one in found] == [line["max_tokens"] for line in lines]


# --- nothing takes long on the event loop: counted, not timed


class Watch:
    """How much is done on a server's event loop between two looks at its sockets: calls, and JSON read or written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = self.json = 0
        self._counted = 0
        self._here = threading.get_ident()
        run, dumps, validate = asyncio.Handle._run, json.dumps, BaseModel.model_validate_json.__func__  # type: ignore[attr-defined]
        watch = self

        def counting(frame: object, event: str, argument: object) -> None:
            watch._counted += event in ("call", "c_call")

        def watched(handle: asyncio.Handle) -> None:
            if threading.current_thread().name == "MainThread":
                run(handle)
                return
            watch._counted = 0
            sys.setprofile(counting)
            try:
                run(handle)
            finally:
                sys.setprofile(None)
                watch.calls = max(watch.calls, watch._counted)

        def on_a_loop() -> bool:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return False
            return threading.current_thread().name != "MainThread"

        def dumped(value: object, **options: Any) -> str:
            text = dumps(value, **options)
            watch.json = max(watch.json, len(text) if on_a_loop() else 0)
            return text

        def validated(kind: Any, /, body: bytes, **options: Any) -> Any:
            watch.json = max(watch.json, len(body) if on_a_loop() else 0)
            return validate(kind, body, **options)

        monkeypatch.setattr(asyncio.Handle, "_run", watched)
        monkeypatch.setattr("charloom.serving.errors.json.dumps", dumped)
        monkeypatch.setattr(BaseModel, "model_validate_json", classmethod(validated))


LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "texts": ("/v1/completions", {"prompt": ["a"] * 128, "n": 8, "max_tokens": 2}),
    "streams of texts": ("/v1/completions", {"prompt": ["a"] * 128, "n": 8, "max_tokens": 2, "stream": True}),
    "long texts": ("/v1/completions", {"prompt": "a", "n": 20, "max_tokens": 2000}),
    "prompts": ("/v1/completions", {"prompt": [PROSE] * 60, "max_tokens": 1}),
    "ids": ("/v1/completions", {"prompt": [[1, 2] * 1000] * 60, "max_tokens": 1}),
    "echo": ("/v1/completions", {"prompt": PROSE * 9, "max_tokens": 5, "echo": True, "logprobs": 20}),
    "stream of echo": (
        "/v1/completions",
        {"prompt": PROSE * 9, "max_tokens": 5, "echo": True, "logprobs": 20, "stream": True},
    ),
    "score": ("/api/score", {"text": PROSE * 9}),
    "a score as a line": ("/invocations", {"prompt": PROSE * 9, "score": True}),
    "units": ("/api/activations", {"text": PROSE[:2000], "units": list(range(32))}),
    "tokens": ("/tokenize", {"prompt": PROSE * 40}),
    "text": ("/detokenize", {"tokens": [1, 2] * 45_000}),
    "pattern": ("/v1/completions", {"prompt": "a", "max_tokens": 100, "regex": "((.?){20}z?){20}"}),
    "too many": ("/v1/completions", {"prompt": ["a"] * 128, "n": 64, "max_tokens": 1}),
    "too many ids": ("/v1/completions", {"prompt": [1] * 600_000, "max_tokens": 1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_nothing_takes_long_on_the_event_loop(trained: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path, body = LARGE[kind]
    watch = Watch(monkeypatch)
    with serving({"small": trained}) as client:
        small = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 3})
        assert small.status_code == 200
        assert watch.calls > 0, "the loop is watched"
        answer = client.post(path, content=json.dumps(body), headers=JSON)
        assert answer.status_code == (400 if kind.startswith("too many") else 200), answer.text[:500]
    assert watch.calls <= 20_000
    assert watch.json <= 200_000
