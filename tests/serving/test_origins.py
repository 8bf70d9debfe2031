"""Whom the server answers: the names it is asked under, and the pages that ask."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from charloom.errors import UsageError
from charloom.serving.settings import gather_settings
from tests.serving.conftest import serving, until
from tests.serving.test_refusals import refused

PAGE = "https://page.example"
FOREIGN_HOSTS = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8", ""]
OWN_HOSTS = ["localhost", "localhost:99", "127.0.0.1:99", "127.9.9.9", "[::1]:99", "LOCALHOST", "app.localhost"]
FOREIGN_PAGES = ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1", "file://"]
# What OpenAI's JavaScript client 6.49.0 asks a browser to ask for.
OPENAI_HEADERS = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version"
)


@pytest.fixture(scope="module")
def open_client(trained: Path) -> Iterator[httpx.Client]:
    """A server that other machines can reach, as in a container."""
    with serving({"small": trained}, host="0.0.0.0") as client:
        yield client


@pytest.fixture(scope="module")
def shared(trained: Path) -> Iterator[httpx.Client]:
    """A server with a key that a page may call."""
    with serving({"small": trained}, cors_origin=[PAGE], keys=["key"]) as client:
        yield client


def everywhere(client: httpx.Client, headers: dict[str, str]) -> list[httpx.Response]:
    """Answers of addresses of every kind."""
    return [
        *(client.get(path, headers=headers) for path in ("/", "/health", "/ping", "/v1/models", "/metrics", "/none")),
        client.post("/v1/completions", json={"prompt": "a"}, headers=headers),
        client.post("/invocations", content="9-a", headers={"content-type": "text/plain", **headers}),
        client.options("/v1/completions", headers=headers),
    ]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_that_is_led_here_is_not_answered(client: httpx.Client, host: str) -> None:
    for answer in everywhere(client, {"host": host}):
        error = refused(answer, 403)
        assert (error["type"], error["code"]) == ("permission_error", "host_not_allowed")
        assert ("--allowed-host" if host else "Host header") in error["message"]


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_this_machines_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


def test_a_proxy_with_a_certificate_is_answered(client: httpx.Client) -> None:
    """Browsers send Sec-Fetch-Site over https and to this machine alone: a name that was led here comes without it."""
    seen = {"host": "x.studio.example", "sec-fetch-site": "none"}
    assert client.get("/", headers=seen).status_code == 200
    own = {"host": "x.studio.example", "origin": "https://x.studio.example", "sec-fetch-site": "same-origin"}
    assert client.post("/v1/completions", json={"prompt": "a"}, headers=own).status_code == 200


def test_other_names_are_answered_where_they_are_given(trained: Path) -> None:
    with serving({"small": trained}, allowed_host=["llm.example", "*.studio.example"]) as client:
        for host in ("llm.example", "LLM.example:443", "a.b.studio.example", "localhost"):
            assert client.get("/v1/models", headers={"host": host}).status_code == 200
        for host in ("studio.example", "evil.example", "xllm.example"):
            refused(client.get("/v1/models", headers={"host": host}), 403)
        page = {"origin": "http://llm.example"}  # through a proxy that puts the upstream's name into Host
        assert client.post("/v1/completions", json={"prompt": "a"}, headers=page).status_code == 200
    with serving({"small": trained}, host="0.0.0.0", allowed_host=["llm.example"]) as client:
        refused(client.get("/v1/models", headers={"host": "evil.example"}), 403)


@pytest.mark.slow
@pytest.mark.parametrize("origin", FOREIGN_PAGES)
@pytest.mark.parametrize("fetched", [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}])
def test_a_foreign_page_is_not_answered(client: httpx.Client, origin: str, fetched: dict[str, str]) -> None:
    for answer in everywhere(client, {"origin": origin, **fetched}):
        error = refused(answer, 403)
        assert (error["type"], error["code"]) == ("permission_error", "origin_not_allowed")
        assert "--cors-origin" in error["message"]
        assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_page_is_answered(client: httpx.Client) -> None:
    address = str(client.base_url).rstrip("/")
    for headers in ({"origin": address}, {"origin": "http://other:1", "sec-fetch-site": "same-origin"}):
        assert client.post("/v1/completions", json={"prompt": "a"}, headers=headers).status_code == 200


def test_where_other_machines_come_in_nothing_is_asked(open_client: httpx.Client) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"host": "10.1.2.3:8080"}):
        assert open_client.get("/v1/models", headers=headers).status_code == 200
        assert open_client.post("/v1/completions", json={"prompt": "a"}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/invocations", "/tokenize", "/api/score"])
def test_a_pages_body_without_a_type_is_not_json(open_client: httpx.Client, shared: httpx.Client, path: str) -> None:
    body = b'{"prompt": "a", "text": "a"}'
    for client, origin in ((open_client, "https://evil.example"), (shared, PAGE)):
        headers = {"origin": origin, "authorization": "Bearer key"}
        error = refused(client.post(path, content=body, headers=headers), 415)
        assert "application/json" in error["message"]
        typed = {**headers, "content-type": "application/json"}
        assert client.post(path, content=body, headers=typed).status_code == 200
    assert open_client.post(path, content=body).status_code == 200  # no page: curl, a script


def preflight(client: httpx.Client, origin: str, **more: str) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": "POST", **more}
    return client.options("/v1/completions", headers=asked)


def test_openais_client_in_a_browser_may_ask(shared: httpx.Client) -> None:
    answer = preflight(
        shared,
        PAGE,
        **{"access-control-request-headers": OPENAI_HEADERS, "access-control-request-private-network": "true"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-headers"] == OPENAI_HEADERS
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-private-network" not in preflight(shared, PAGE).headers


def test_every_answer_can_be_read_by_a_page_that_may_ask(shared: httpx.Client) -> None:
    key = {"authorization": "Bearer key"}
    answers = [
        shared.get("/v1/models", headers={"origin": PAGE}),  # 401
        shared.get("/none", headers={"origin": PAGE, **key}),
        shared.get("/v1/completions", headers={"origin": PAGE, **key}),
        shared.post("/v1/completions", json={"prompt": 1}, headers={"origin": PAGE, **key}),
        shared.post("/v1/completions", json={"prompt": "a"}, headers={"origin": PAGE, **key}),
        shared.post("/v1/completions", json={"prompt": "a", "stream": True}, headers={"origin": PAGE, **key}),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 405, 400, 200, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


def test_other_pages_are_refused_in_the_documented_shape_and_logged(
    shared: httpx.Client, open_client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("charloom.serving")
    logger.propagate = True
    caplog.set_level(logging.INFO, "charloom.serving")
    for client in (shared, open_client):
        caplog.clear()
        answer = preflight(client, "https://other.example")
        assert "https://other.example" in refused(answer, 403)["message"]
        assert "access-control-allow-origin" not in answer.headers
        until(lambda: 403 in [vars(record).get("status") for record in caplog.records])  # it is logged when it is sent


def test_all_pages_where_that_is_said(trained: Path) -> None:
    with serving({"small": trained}, cors_origin=["*"]) as client:
        assert preflight(client, "https://any.example").headers["access-control-allow-origin"] == "*"
        answer = client.post("/v1/completions", json={"prompt": "a"}, headers={"origin": "null"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        refused(client.get("/v1/models", headers={"host": "evil.example"}), 403)


@pytest.mark.parametrize("name", ["http://llm.example", "llm.example:80", "llm.example/x", "a b", "", "*llm.example"])
def test_a_name_that_no_request_would_have_is_refused(name: str) -> None:
    good: list[Any] = ["llm.example", "*.example", "*", "10.0.0.1", "fe80::1", "a_b"]
    assert gather_settings({"allowed_host": good}, {}, None, in_container=False).allowed_host == good
    with pytest.raises(UsageError, match="allowed-host"):
        gather_settings({"allowed_host": [name]}, {}, None, in_container=False)


def test_an_error_holds_no_more_of_a_strangers_words_than_a_line(client: httpx.Client) -> None:
    answer = client.get("/v1/models", headers={"host": "x" * 5000})
    assert len(json.loads(answer.text)["error"]["message"]) < 500
