"""Runs in an environment of its own, beside SageMaker's toolkit: `HandlerService` in process, or all of TorchServe.

python four_functions.py handler BASE   reads requests as JSON lines, writes answers so
python four_functions.py http BASE      answers POST at a free port, which it prints
python four_functions.py serve BASE     serves until it is asked to end
"""

from __future__ import annotations

import base64
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any


class Context:
    """What TorchServe hands to the toolkit."""

    def __init__(self, model: str) -> None:
        self.system_properties = {"model_dir": model}
        self.request_processor: Any = None
        self.properties: dict[str, str] = {}
        self.status, self.content_type = 200, ""

    def begin(self, properties: dict[str, str]) -> None:
        self.request_processor, self.properties, self.status = [self], properties, 200

    def get_request_properties(self) -> dict[str, str]:
        return self.properties

    def set_response_content_type(self, place: int, name: str) -> None:
        self.content_type = name

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


class Service:
    """The toolkit's own handler, which finds the program that SAGEMAKER_PROGRAM names."""

    def __init__(self, base: Path) -> None:
        from sagemaker_pytorch_serving_container.handler_service import HandlerService

        sys.path.insert(0, str(base / "model" / "code"))
        self.context = Context(str(base / "model"))
        self._service = HandlerService()
        self._service.initialize(self.context)

    def answer(self, body: bytes, properties: dict[str, str]) -> bytes:
        self.context.begin(properties)
        (answer,) = self._service.handle([{"body": bytearray(body)}], self.context)
        return answer.encode() if isinstance(answer, str) else bytes(answer)


def handler(base: Path) -> None:
    service = Service(base)
    for line in sys.stdin:
        asked = json.loads(line)
        body = service.answer(base64.b64decode(asked["body"]), asked["properties"])
        context = service.context
        answer = {"status": context.status, "type": context.content_type, "body": base64.b64encode(body).decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
    import charloom

    sys.stdout.write(json.dumps({"charloom": charloom.__file__}) + "\n")


def http(base: Path) -> None:
    service = Service(base)

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = service.answer(body, dict(self.headers))
            self.send_response(service.context.status)
            self.send_header("Content-Type", service.context.content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


def serve(base: Path) -> None:
    from sagemaker_pytorch_serving_container import serving, torchserve

    torchserve.TS_CONFIG_FILE = str(base / "ts.properties")
    os.chdir(base)
    serving.main()


if __name__ == "__main__":
    {"handler": handler, "http": http, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))
