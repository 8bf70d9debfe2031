"""A small reverse proxy that shows a server under a prefix: nginx's `location /llm/`, Jupyter's `/proxy/8000/`."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"}


@contextlib.contextmanager
def proxied(server: str, prefix: str, *, keep_host: bool = False) -> Iterator[str]:
    """The address of a proxy that passes what is asked under `prefix` on to `server`, and answers 404 to the rest.

    Args:
        server: the address behind it.
        prefix: begins and ends with a slash; it is taken away.
        keep_host: pass the Host header on as Jupyter and Caddy do; nginx puts the address of `server` there.
    """

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            if not self.path.startswith(prefix):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            upstream = http.client.HTTPConnection(urlsplit(server).netloc, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            if keep_host:
                headers["Host"] = self.headers["host"]
            upstream.request(self.command, "/" + self.path.removeprefix(prefix), body, headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            content = answer.read()
            upstream.close()
            self.send_header("Content-Length", answer.getheader("content-length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_HEAD = do_OPTIONS = _pass_on  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{prefix.removesuffix('/')}"
        finally:
            proxy.shutdown()
            thread.join()
