"""Addresses as clients write them, and what is said where there is nothing."""

from __future__ import annotations

import re
import socket
from urllib.parse import urljoin

import httpx
import pytest

from tests.serving.conftest import JSON
from tests.serving.proxy import proxied
from tests.serving.test_refusals import refused

PREFIXES = ["/llm/", "/jupyter/default/proxy/8000/"]


def addresses(client: httpx.Client, method: str) -> list[str]:
    """All addresses of this method that are described, and the pages."""
    paths = client.get("/openapi.json").json()["paths"]
    described = [path.replace("{name}", "small") for path, found in paths.items() if method in found]
    return described + (["/", "/docs", "/main.js", "/style.css", "/openapi.json"] if method == "get" else [])


def test_head_wherever_get(client: httpx.Client) -> None:
    found = addresses(client, "get")
    assert {"/health", "/ping", "/v1/models", "/metrics", "/openapi.json", "/tokenizer_info"} <= set(found)
    for path in [*found, "/none"]:
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        assert path == "/metrics" or head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/v1/completions").status_code == 405
    assert client.post("/health").headers["allow"] == "GET, HEAD"


def test_a_slash_at_the_end_makes_no_difference(client: httpx.Client) -> None:
    for path in addresses(client, "get"):
        if path not in ("/", "/docs"):
            assert client.get(f"{path}/").status_code == client.get(path).status_code == 200, path
    for path in addresses(client, "post"):
        answers = [client.post(one, json={"prompt": "a", "tokens": [1], "text": "a"}) for one in (path, f"{path}/")]
        assert [answer.status_code for answer in answers] == [200, 200], path


def test_slashes_too_many_are_one(client: httpx.Client) -> None:
    for path in ("//v1//completions", "/v1///completions//"):
        assert raw(client, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()).startswith(
            b"HTTP/1.1 405"
        )


def test_a_redirect_names_no_host(client: httpx.Client) -> None:
    for headers in ({}, {"host": "localhost:1"}):
        answer = client.get("/docs/", headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (307, "../docs")
    assert client.get("/docs/", follow_redirects=True).text == client.get("/docs").text


def raw(client: httpx.Client, request: bytes) -> bytes:
    """What comes back until the server closes the connection, or says that it keeps it."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


def test_a_target_may_be_a_whole_url(client: httpx.Client) -> None:
    for target, host in (("http://127.0.0.1:1/health", "localhost"), ("HTTP://localhost/health?x=1", "evil.example")):
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert raw(client, head.encode()).startswith(b"HTTP/1.1 200")
    head = "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert raw(client, head.encode()).startswith(b"HTTP/1.1 403")
    assert raw(client, b"GET http://localhost HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 200"
    )


def test_a_body_with_two_lengths_ends_the_connection(client: httpx.Client) -> None:
    hidden = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    answer = raw(client, head.encode() + b"0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1


HEADS = {  # up to the byte that shows it: what is sent after that would reset the connection
    "folded": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n ",
    "folded by a tab": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\t",
    "LF alone": b"GET /health HTTP/1.1\n",
    "LF alone in one line": b"GET /health HTTP/1.1\r\nHost: localhost\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_lines_that_others_may_read_otherwise_are_refused(client: httpx.Client, head: bytes, step: int) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(head), step):
            connection.sendall(head[place : place + step])
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"CRLF" in answer


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("step", [3, 1000])
@pytest.mark.parametrize("address", [b"/v1/completions", b"/none"])
def test_every_head_of_a_connection_is_looked_at(client: httpx.Client, head: bytes, step: int, address: bytes) -> None:
    """Also where it comes before the answer to the request ahead of it."""
    body = b'{"prompt":\n "a", "max_tokens": 20}'
    first = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (address, len(body), body)
    sent = first * 2 + head
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(sent), step):
            connection.sendall(sent[place : place + step])
        answers = connection.makefile("rb").read()
    expected = b"200" if address == b"/v1/completions" else b"404"
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [expected, expected, b"400"]
    assert b"CRLF" in answers


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_head_may_come_in_pieces_and_a_body_holds_what_it_likes(client: httpx.Client, step: int) -> None:
    body = b'{\n\t"prompt":\n "a", "max_tokens": 1\n}\n'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    request = head % len(body) + body
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(request), step):
            connection.sendall(request[place : place + step])
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/chat/completions", "no chat here: charloom continues text, POST /v1/completions"),
        ("/chat/completions", "no chat here"),
        ("/v1/responses", "no chat here"),
        ("/v1/messages", "no chat here"),
        ("/api/chat", "no chat here"),
        ("/v1/embeddings", "no embeddings here"),
        ("/completions", "/v1/completions?"),
        ("/v1/v1/completions", "/v1/completions?"),
        ("/v1/engines/small/completions", "/v1/completions?"),
        ("/v1", "/v1/completions?"),
        ("/v1/", "/v1/completions?"),
        ("/completion", "/v1/completions?"),
        ("/generate", "/v1/completions?"),
        ("/api/generate", "/v1/completions?"),
        ("/v1/complitions", "/v1/completions?"),
        ("/V1/Completions", "/v1/completions?"),
        ("/models", "/v1/models?"),
        ("/v1/health", "/health?"),
        ("/healthz", "/health?"),
        ("/llm/v1/completions", "/v1/completions?"),
        ("/wp-login.php", "/docs lists what there is"),
    ],
)
def test_nothing_at_an_address_says_what_was_meant(client: httpx.Client, path: str, said: str) -> None:
    for answer in (client.get(path), client.post(path, json={"prompt": "a"})):
        error = refused(answer, 404)
        assert error["type"] == "not_found_error"
        assert said in error["message"]
    assert "did you mean" not in refused(client.get("/wp-login.php"), 404)["message"]


@pytest.mark.parametrize("keep_host", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_under_a_prefix(client: httpx.Client, prefix: str, keep_host: bool) -> None:
    """A proxy that takes a prefix away and changes nothing in what comes back."""
    with proxied(str(client.base_url), prefix, keep_host=keep_host) as address, httpx.Client(timeout=30) as through:
        assert through.get(f"{address}/").text == client.get("/").text
        docs = through.get(f"{address}/docs/", follow_redirects=True)
        assert (docs.status_code, str(docs.url)) == (200, f"{address}/docs")
        answer = through.post(f"{address}/v1/completions/", json={"prompt": "a", "max_tokens": 3}, headers=JSON)
        assert answer.json()["usage"]["completion_tokens"] == 3
        description = through.get(f"{address}/openapi.json")
        (server,) = description.json()["servers"]
        assert urljoin(str(description.url), server["url"]) == f"{address}/"
