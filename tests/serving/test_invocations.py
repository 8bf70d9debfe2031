"""SageMaker's container contract: `/ping` and `/invocations`, the article's payload included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import charloom
from charloom.runtime.model import Model
from tests.serving.conftest import events, serving

PLAIN = {"content-type": "text/plain"}
LINES = {"content-type": "application/jsonlines"}


def plain(client: httpx.Client, payload: str) -> httpx.Response:
    return client.post("/invocations", content=payload.encode(), headers=PLAIN)


def test_ping(client: httpx.Client) -> None:
    assert client.get("/ping").status_code == 200


def test_json_is_a_completion(client: httpx.Client, model: Model) -> None:
    body = {"prompt": "The ", "max_tokens": 20, "seed": 3}
    expected = model.generate("The ", length=20, seed=3).text
    assert client.post("/invocations", json=body).json()["choices"][0]["text"] == expected
    stream = client.post("/invocations", json={**body, "stream": True})
    assert stream.headers["transfer-encoding"] == "chunked"
    assert "".join(one["choices"][0]["text"] for one in events(stream.text)) == expected


@pytest.mark.parametrize(
    "payload",
    ["100-The statement ", "100-", "18-The statement is a", "10-", "0-", "50-a-b - c", "60-two\nlines\n", "007-The"],
)
def test_the_articles_payload(client: httpx.Client, payload: str) -> None:
    total, _, start = payload.partition("-")
    answer = plain(client, payload)
    if len(start) > int(total):
        assert answer.status_code == 400
        return
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(start)
    assert len(answer.text) == int(total)


@pytest.mark.parametrize(
    "payload", ["", "-", "abc", "100", "100 The", "-The ", "x-The ", "1e2-The ", "-5-The ", "5-The statement", "²-a"]
)
def test_a_payload_that_says_no_length(client: httpx.Client, payload: str) -> None:
    answer = plain(client, payload)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]


def test_the_articles_own_request_is_returned_unchanged(client: httpx.Client) -> None:
    passage = "The statement is, as it stands: a passage!"
    assert plain(client, f"{len(passage)}-{passage}").text == passage
    assert plain(client, f"{len(passage) - 1}-{passage}").status_code == 400


def test_limits_of_the_payload(client: httpx.Client) -> None:
    assert plain(client, "10001-").status_code == 400
    assert plain(client, "999999999999-").status_code == 400
    assert client.post("/invocations", content=b"9-\xff", headers=PLAIN).status_code == 400


def test_unknown_characters_do_no_harm(client: httpx.Client) -> None:
    answer = plain(client, "30-\N{SNOWMAN} and ☃ ж")
    assert len(answer.text) == 30
    assert unquote(answer.headers["x-charloom-unknown"]) == "ж\N{SNOWMAN}"


def test_plain_text_as_json(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=b"20-The ", headers={**PLAIN, "accept": "application/json"})
    text = answer.json()["choices"][0]["text"]
    assert text.startswith("The ")
    assert len(text) == 20


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain", "text/plain"),
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("text/plain, application/json", "text/plain"),
        ("application/json, text/plain", "text/plain"),
        ("text/plain, application/json;q=0.5", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("application/json, */*;q=0.1", "application/json"),
        ("application/json;q=0, */*", "text/plain"),
        ("application/*", "application/json"),
        ("text/*;q=0.2, application/json;q=0.3", "application/json"),
        ("text/*, text/plain;q=0.1, application/json;q=0.5", "application/json"),
        ("image/png", "text/plain"),
        ("application/json;q=x, ;;,", "application/json"),
    ],
)
def test_the_form_that_a_client_would_rather_have(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.post("/invocations", content=b"20-The ", headers={**PLAIN, "accept": accept})
    assert answer.headers["content-type"].startswith(kind)
    text = answer.json()["choices"][0]["text"] if kind == "application/json" else answer.text
    assert len(text) == 20


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.text(max_size=30), more=st.integers(-5, 40))
def test_exactly_that_length(client: httpx.Client, start: str, more: int) -> None:
    total = len(start) + more
    answer = client.post("/invocations", content=f"{total}-{start}".encode("utf-8", "replace"), headers=PLAIN)
    if more < 0:
        assert answer.status_code == 400
    else:
        assert len(answer.content.decode()) == total


@pytest.mark.slow
def test_exactly_that_length_from_bytes(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Überall schöne Öfen, süße Äpfel und ☃. " * 80, "utf-8")
    folder = tmp_path / "bytes"
    options: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8, "batch_size": 4, "bptt": 16, "steps": 30}
    charloom.train(text, folder, vocabulary="bytes", threads=1, device="cpu", **options)
    with serving({"bytes": folder}, precision="auto") as client:
        for start in ("", "Ü", "schöne ☃"):
            answer = plain(client, f"60-{start}")
            assert answer.text.startswith(start)
            assert len(answer.text) == 60
        scored = client.post("/api/score", json={"text": "Ü☃"}).json()
        assert [one["text"] for one in scored["tokens"]] == ["Ü", "☃"]


def test_lines(client: httpx.Client, model: Model) -> None:
    asked: list[Any] = [{"prompt": f"{number}: ", "max_tokens": 5 + number % 7, "seed": number} for number in range(90)]
    asked[7] = {"prompt": "a", "temperature": -1}
    asked[8] = {"prompt": "a", "model": "other"}
    lines = [json.dumps(one) for one in asked]
    lines[9] = "{not json"
    lines[10] = ""
    answer = client.post("/invocations", content="\n".join(lines).encode() + b"\n", headers=LINES)
    assert answer.headers["content-type"] == "application/jsonlines"
    answers = [json.loads(line) for line in answer.text.splitlines()]
    assert len(answers) == 90
    for number, found in enumerate(answers):
        if number in (7, 8, 9, 10):
            assert set(found["error"]) == {"message", "type", "param", "code"}
            continue
        expected = model.generate(f"{number}: ", length=5 + number % 7, seed=number).text
        assert found["choices"][0]["text"] == expected
    assert client.post("/invocations", content=b"", headers=LINES).text == ""
    last = client.post(
        "/invocations", content=b'{"prompt":"","max_tokens":1}\r\n{"prompt":"","max_tokens":2}', headers=LINES
    )
    assert [len(json.loads(line)["choices"][0]["text"]) for line in last.text.splitlines()] == [1, 2]


def test_lines_wait_where_the_queue_is_full(trained: Path) -> None:
    with serving({"small": trained}, max_rows=2, max_queue=0, max_samples=2) as client:
        lines = "\n".join(json.dumps({"prompt": "", "max_tokens": 20, "seed": seed, "n": 2}) for seed in range(20))
        answer = client.post("/invocations", content=lines.encode(), headers=LINES)
        assert [len(json.loads(line)["choices"]) for line in answer.text.splitlines()] == [2] * 20


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["characters", "bytes"])
def test_lines_that_are_scored(trained: Path, small_text: Path, tmp_path: Path, vocabulary: str) -> None:
    """As `charloom score --lines` measures them; a line may say otherwise than the body's head."""
    folder = trained
    if vocabulary == "bytes":
        folder = tmp_path / "bytes"
        charloom.train(small_text, folder, vocabulary="bytes", hidden_size=8, steps=2, threads=1, device="cpu")
    model = charloom.load(folder, precision="int8")
    texts = ["The statement", "", "ж and é", "a" * 300]
    with serving({"small": folder}) as client:
        body = "\n".join(json.dumps({"prompt": text}) for text in texts)
        lines = client.post(
            "/invocations", content=body, headers={"content-type": f"{LINES['content-type']}; score=true"}
        )
        single = client.post("/invocations", json={"prompt": texts[0], "score": True}).json()
        mixed = "\n".join(json.dumps({"prompt": text, "max_tokens": 3, "score": text == ""}) for text in texts)
        kinds = client.post("/invocations", content=mixed, headers=LINES).text.splitlines()
        refused = client.post("/invocations", json={"prompt": ["a", "b"], "score": True})
    answers = [json.loads(line) for line in lines.text.splitlines()]
    for text, answer in zip(texts, answers, strict=True):
        (expected,) = model.score_lines([text])
        assert (answer["text"], answer["characters"], answer["unknown"]) == (
            text,
            expected.characters,
            expected.unknown,
        )
        for figure in ("nats", "bits_per_char", "worst_bits", "end_bits"):
            assert answer[figure] == pytest.approx(getattr(expected, figure), rel=0.02, abs=1e-3)
    assert answers[1]["bits_per_char"] == answers[1]["end_bits"]
    assert single == answers[0]
    assert [json.loads(line)["object"] for line in kinds] == [
        "text_completion",
        "score",
        "text_completion",
        "text_completion",
    ]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")
