"""What is refused: always in the documented shape, never with a traceback, and safe headers on everything."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.serving.middleware import read_keys
from charloom.serving.requests import CompletionRequest
from tests.serving.conftest import JSON, serving


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert set(found) == {"error"}
    error: dict[str, Any] = found["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "Traceback" not in answer.text
    return error


def test_addresses_and_methods(client: httpx.Client) -> None:
    assert refused(client.get("/nothing"), 404)["type"] == "not_found_error"
    assert refused(client.post("/nothing", json={}), 404)["type"] == "not_found_error"
    error = refused(client.get("/v1/completions"), 405)
    assert (error["type"], error["message"]) == (
        "invalid_request_error",
        "this address does not take GET, but POST",
    )
    assert client.get("/v1/completions").headers["allow"] == "POST"
    refused(client.post("/health"), 405)
    refused(client.get("/v1/models/other"), 404)
    for path in ("/v1/completions", "/tokenize", "/api/score"):
        error = refused(client.post(path, json={"model": "other", "prompt": "", "text": ""}), 404)
        assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"a"', b"{'prompt': 1}", b'{"temperature": NaN}', b'{"prompt": "\xff"}', b"[" * 100_000]
)
def test_what_is_not_json(client: httpx.Client, body: bytes) -> None:
    assert refused(client.post("/v1/completions", content=body, headers=JSON), 400)["type"] == "invalid_request_error"
    assert refused(client.post("/invocations", content=body, headers=JSON), 400)["type"] == "invalid_request_error"


def test_messages_name_what_is_missing_or_meant(client: httpx.Client) -> None:
    error = refused(client.post("/tokenize", json={"model": "small"}), 400)
    assert (error["message"], error["param"]) == ("prompt is missing", "prompt")
    assert refused(client.post("/v1/completions", json=[1]), 400)["message"].startswith("the body: ")
    error = refused(client.post("/invocations", content=b"10001-", headers={"content-type": "text/plain"}), 400)
    assert error["param"] == "total length"
    assert "at most 10,000 characters after the start text" in error["message"]


def test_content_types(client: httpx.Client) -> None:
    for path in ("/v1/completions", "/tokenize", "/invocations"):
        refused(client.post(path, content=b"{}", headers={"content-type": "application/xml"}), 415)
    gzipped = {**JSON, "content-encoding": "gzip"}
    refused(client.post("/v1/completions", content=b"{}", headers=gzipped), 415)
    assert client.post("/v1/completions", content=b'{"prompt":""}').status_code == 200  # no name at all


def test_large_bodies(trained: Path) -> None:
    with serving({"small": trained}, max_body=5000) as client:
        big = json.dumps({"prompt": "a" * 5000}).encode()
        for path in ("/v1/completions", "/invocations"):
            assert refused(client.post(path, content=big, headers=JSON), 413)["code"] == "body_too_large"
            # without a length: it is counted while it comes
            pieces = (big[place : place + 100] for place in range(0, len(big), 100))
            refused(client.post(path, content=pieces, headers=JSON), 413)
        assert client.post("/v1/completions", content=b'{"prompt":""}', headers=JSON).status_code == 200


def test_what_is_not_http(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_keys(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nfirst\n\nsecond\n")
    keys = read_keys(file, {"CHARLOOM_SERVE_API_KEY": "third, fourth"})
    assert keys == ["third", "fourth", "first", "second"]
    with serving({"small": trained}, keys=keys) as client:
        for path in ("/v1/models", "/metrics", "/tokenizer_info", "/nothing"):
            error = refused(client.get(path), 401)
            assert error["type"] == "authentication_error"
        assert client.get("/v1/models").headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer firs", "Bearer first second", "Basic first", "first", "Bearer é"):
            refused(client.get("/v1/models", headers=[(b"authorization", wrong.encode())]), 401)
        for key in keys:
            assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
        for path in ("/health", "/ping", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_headers_on_everything(client: httpx.Client) -> None:
    answers = [client.get(path) for path in ("/health", "/docs", "/main.js", "/nothing", "/openapi.json")]
    answers.append(client.post("/v1/completions", json={"prompt": "", "stream": True}))
    answers.append(client.post("/v1/completions", json={"n": 0}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 32
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_request_ids(client: httpx.Client) -> None:
    assert client.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for strange in ("a b", "é", "x" * 129, ""):
        assert len(client.get("/health", headers=[(b"x-request-id", strange.encode())]).headers["x-request-id"]) == 32


def test_a_failure_of_the_server_says_nothing_but_an_id(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("charloom.serving.completions.plan_completion", fail)
    caplog.set_level(logging.ERROR, "charloom.serving")
    error = refused(client.post("/v1/completions", json={"prompt": ""}, headers={"x-request-id": "it-1"}), 500)
    assert error["type"] == "server_error"
    assert error["code"] == "it-1"
    assert "secret" not in error["message"]
    assert any(
        vars(record).get("request_id") == "it-1" and "a secret" in str(record.exc_info) for record in caplog.records
    )


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.sampled_from([*CompletionRequest.model_fields, "other"]), _VALUES, max_size=4))
def test_no_body_makes_the_server_fail(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(
        "/v1/completions", content=json.dumps({"prompt": "", "max_tokens": 2, **body}).encode(), headers=JSON
    )
    if answer.status_code != 200:
        refused(answer, 404 if answer.status_code == 404 else 400)
