"""Runs in an environment of its own, beside SageMaker's toolkit: `HandlerService` in process, or all of TorchServe.

python four_functions.py handler BASE   reads requests as JSON lines, writes answers so
python four_functions.py serve BASE     serves until it is told to end
"""

from __future__ import annotations

import base64
import json
import os
import sys
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


def handler(base: Path) -> None:
    from sagemaker_pytorch_serving_container.handler_service import HandlerService

    sys.path.insert(0, str(base / "model" / "code"))
    service, context = HandlerService(), Context(str(base / "model"))
    service.initialize(context)
    for line in sys.stdin:
        asked = json.loads(line)
        context.begin(asked["properties"])
        (body,) = service.handle([{"body": bytearray(base64.b64decode(asked["body"]))}], context)
        body = body.encode() if isinstance(body, str) else body
        answer = {"status": context.status, "type": context.content_type, "body": base64.b64encode(body).decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
    import charloom

    sys.stdout.write(json.dumps({"charloom": charloom.__file__}) + "\n")


def serve(base: Path) -> None:
    from sagemaker_pytorch_serving_container import serving, torchserve

    torchserve.TS_CONFIG_FILE = str(base / "ts.properties")
    os.chdir(base)
    serving.main()


if __name__ == "__main__":
    {"handler": handler, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))
