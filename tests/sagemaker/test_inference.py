"""The four functions answer as our own server does, byte for byte."""

from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from charloom.errors import CharloomError, MissingExtraError
from charloom.sagemaker.inference import RefusedError, input_fn, model_fn, output_fn, predict_fn
from charloom.serving.in_process import InProcess
from tests.sagemaker.asked import ANSWERED, PLAIN, REFUSED, Asked, comparable
from tests.serving.conftest import serving


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[httpx.Client]:
    with serving({"model": trained}, precision="auto") as client:
        yield client


@pytest.fixture(scope="module")
def model(trained: Path) -> Iterator[InProcess]:
    with model_fn(str(trained)) as loaded:
        yield loaded


class Context:
    """What an image hands to functions that take one more argument."""

    def __init__(self, asked: Asked) -> None:
        self.status = 200
        self.request_processor = [self]
        self._properties = {"Content-Type": asked.content_type, **({"Accept": asked.accept} if asked.accept else {})}

    def get_request_properties(self) -> dict[str, str]:
        return self._properties

    def set_response_status(self, code: int, phrase: str) -> None:
        assert phrase
        self.status = code


def expected(server: httpx.Client, asked: Asked) -> tuple[int, str, bytes]:
    headers = {"content-type": asked.content_type, "accept": asked.accept or "*/*"}
    answer = server.post("/invocations", content=asked.body, headers=headers)
    return answer.status_code, answer.headers["content-type"], comparable(answer.content)


def answered(model: InProcess, asked: Asked, given: Any = None) -> tuple[int, str, bytes]:
    context = Context(asked)
    data = input_fn(asked.body if given is None else given, asked.content_type)
    body, content_type = output_fn(predict_fn(data, model, context), "application/json", context)
    return context.status, content_type, comparable(body)


@pytest.mark.parametrize("number", range(len(ANSWERED) + len(REFUSED)))
def test_the_same_answers_as_the_server(server: httpx.Client, model: InProcess, number: int) -> None:
    asked = [*ANSWERED, *REFUSED][number]
    wanted = expected(server, asked)
    assert (wanted[0] == 200) == (number < len(ANSWERED))
    assert answered(model, asked) == wanted
    assert answered(model, asked, bytearray(asked.body)) == wanted
    if b"\xff" not in asked.body and b"\x93" not in asked.body:
        assert answered(model, asked, asked.body.decode()) == wanted


def test_what_is_accepted_is_heard(server: httpx.Client, model: InProcess) -> None:
    for accept in ("application/json", "text/plain", "*/*", "text/plain, application/json;q=0.5"):
        asked = Asked(b"12-The state", PLAIN, accept)
        status, kind, body = expected(server, asked)
        seen = answered(model, asked)
        assert seen[:2] == (status, kind)
        assert len(_text(seen)) == len(_text((status, kind, body))) == 12


def _text(answer: tuple[int, str, bytes]) -> str:
    _, kind, body = answer
    return str(json.loads(body)["choices"][0]["text"]) if kind == "application/json" else body.decode()


def test_without_a_context_a_mistake_is_an_error(model: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = predict_fn(input_fn(b"no number", PLAIN), model)
    with pytest.raises(RefusedError, match="total length") as raised:
        output_fn(prediction, PLAIN)
    assert raised.value.status == 400
    toolkit = types.ModuleType("sagemaker_inference.errors")
    toolkit.GenericInferenceToolkitError = lambda status, message: KeyError(status, message)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sagemaker_inference", types.ModuleType("sagemaker_inference"))
    monkeypatch.setitem(sys.modules, "sagemaker_inference.errors", toolkit)
    with pytest.raises(KeyError, match="400, 'send <total length>"):
        output_fn(prediction, PLAIN)
    text, kind = output_fn(predict_fn(input_fn("20-The ", PLAIN), model), "application/json")
    assert (len(text), kind) == (20, "text/plain; charset=utf-8")


def test_nothing_said_of_the_type_is_json(model: InProcess) -> None:
    body, kind = output_fn(predict_fn(input_fn('{"prompt":"a","max_tokens":3}', None), model), "*/*")
    assert kind == "application/json"
    assert len(json.loads(body)["choices"][0]["text"]) == 3


def test_several_threads_ask_at_once(model: InProcess) -> None:
    found: list[int] = []

    def ask() -> None:
        found.append(len(output_fn(predict_fn(input_fn(b"40-The ", PLAIN), model), PLAIN)[0].decode()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [40] * 8


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(CharloomError, match=r"could not be loaded: .*holds no model"):
        model_fn(str(tmp_path))
    assert threading.active_count() == before


def test_settings_stand_in_the_environment(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_SERVE_MAX_TOKENS", "5")
    with model_fn(str(trained)) as model:
        assert predict_fn(input_fn(b"100-a", PLAIN), model).status == 400


def test_without_the_server_it_says_what_to_install(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "charloom.serving.in_process", None)
    with pytest.raises(MissingExtraError, match="serve"):
        model_fn(str(trained))
