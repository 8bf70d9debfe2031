"""The four functions that SageMaker's PyTorch images ask for: load, read, predict, write.

`model_fn(model_dir)` loads the model; then, for each request, `input_fn(body, content_type)` reads it,
`predict_fn(data, model)` answers it and `output_fn(prediction, accept)` writes the answer. Requests and answers are
those of our own server's `/invocations`, whose app answers here too:

- `text/plain`: `<total length>-<start text>`, such as `100-you are `; the text comes back continued to that length;
- `application/json`: a completion request; `application/jsonlines`: one a line.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from charloom.errors import CharloomError, MissingExtraError
from charloom.serving.settings import gather_settings

if TYPE_CHECKING:
    from charloom.serving.in_process import Answer, InProcess


@dataclass(frozen=True)
class InferenceRequest:
    """A request: its body and what that is called (nothing, if it has no name)."""

    body: bytes
    content_type: str


class RefusedError(CharloomError):
    """A request cannot be answered; `status` is HTTP's. Raised where the toolkit's own errors are not at hand."""

    def __init__(self, status: int, message: str) -> None:
        """Say `message`."""
        super().__init__(message)
        self.status = status


def model_fn(model_dir: str) -> InProcess:
    """Load the model, and let it write a first character.

    Settings of the server may be in the environment: CHARLOOM_SERVE_MAX_TOKENS and others.
    """
    try:
        from charloom.serving.in_process import InProcess
    except ModuleNotFoundError as error:
        raise MissingExtraError("serving", "serve") from error
    return InProcess({"model": model_dir}, gather_settings({}, os.environ, None, in_container=False))


def input_fn(body: str | bytes | bytearray, content_type: str | None) -> InferenceRequest:
    """Read a request; images hand over JSON as text, anything else as bytes."""
    return InferenceRequest(body.encode() if isinstance(body, str) else bytes(body), content_type or "")


def predict_fn(data: InferenceRequest, model: InProcess, context: Any = None) -> Answer:
    """Answer a request, as the server does.

    Where the image gives its context, what the client asked for (Accept) is taken from there: `output_fn` gets
    JSON even where the client left that open.
    """
    headers = {"content-type": data.content_type, "accept": _accept_header(context)}
    return model.post("/invocations", data.body, {name: value for name, value in headers.items() if value})


def output_fn(prediction: Answer, accept: str, context: Any = None) -> tuple[bytes, str]:
    """Write the answer, and say what it is called.

    A mistake of the client's becomes the same 4xx as our server's. Toolkits that give no context get an
    error; those that give one add a traceback to errors, so there the status is set and the answer is the body.
    """
    if prediction.status >= HTTPStatus.BAD_REQUEST:
        if context is None:
            raise _refusal(prediction)
        context.set_response_status(code=prediction.status, phrase=HTTPStatus(prediction.status).phrase)
    return prediction.body, prediction.content_type


def _accept_header(context: Any) -> str:
    """The request's own Accept, where there is a request and it has one."""
    if context is None:
        return ""
    given = context.request_processor[0].get_request_properties()
    return next((str(value) for name, value in given.items() if name.lower() == "accept"), "")


def _refusal(prediction: Answer) -> Exception:
    message = str(json.loads(prediction.body)["error"]["message"])
    try:
        from sagemaker_inference.errors import GenericInferenceToolkitError
    except ModuleNotFoundError:
        return RefusedError(prediction.status, message)
    error: Exception = GenericInferenceToolkitError(prediction.status, message)
    return error
