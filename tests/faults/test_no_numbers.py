"""Models whose network gives NaN or infinity, always or after one character: an error everywhere, never a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

import charloom as library
from charloom.bundle import open_model_directory
from charloom.errors import CharloomError, ModelDirectoryError
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.model import Model
from charloom.runtime.session import Logits, Session, State
from charloom.text.vocabulary import Ids
from tests.bundle.test_model_directory import replace
from tests.cli.conftest import Charloom, Ran, charloom, one_line
from tests.serving.conftest import serving

__all__ = ["charloom"]

BAD = "q"  # the character after which the second kind of model gives no number
HUGE = 3.4e38
SAYS = "the model gives no number for this text"


def fill(model: Path, array: str, value: float) -> None:
    """Fill one of the weights with a value, in all files."""
    weights = load_file(model / "model.safetensors")
    weights[array][:] = value
    replace(model, "model.safetensors", save(weights))
    shape = open_model_directory(model).config.model
    replace(model, "model.onnx", build_graph(shape, weights))
    int8 = build_int8_graph(shape, weights)
    assert int8 is not None
    replace(model, "model.int8.onnx", int8)


@pytest.fixture(params=["NaN", "inf", "-inf"])
def numberless(trained: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A model with weights that are not numbers."""
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    fill(model, "output.bias", float(request.param))
    return model


@pytest.fixture
def overflowing(trained: Path, tmp_path: Path) -> Path:
    """A model whose weights are numbers, so large that its answers are none."""
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    fill(model, "output.weight", HUGE)
    return model


class Moody(Session):
    """A model's own network, which gives no number once it has read a certain character."""

    def __init__(self, inner: Session, token: int) -> None:
        self.shape = inner.shape
        self._inner = inner
        self._token = token

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        logits, after = self._inner.run(ids, state)
        met = np.logical_or.accumulate(ids == self._token, axis=0) | np.isnan(state[0]).any(axis=1)
        logits = np.where(met[..., None], np.float32(np.nan), logits)
        return logits, tuple(np.where(met[-1, :, None], np.float32(np.nan), part) for part in after)


@pytest.fixture
def moody(trained: Path) -> Model:
    model = library.load(trained, precision="int8")
    (token,) = model.encode(BAD)
    model._session = Moody(model._session, token)
    return model


LINES = [
    "generate MODEL",
    "generate MODEL --precision float32",
    "generate MODEL --precision int8 --temperature 0",
    "generate MODEL --samples 3 --top-p 0.9",
    "generate MODEL --regex [a-z]+",
    "generate MODEL --json",
    "score MODEL TEXT",
    "score MODEL TEXT --lines",
    "evaluate MODEL TEXT",
    "evaluate MODEL TEXT --protocol cold-60",
    "recite MODEL TEXT --samples 3",
    "novelty MODEL TEXT --characters 100",
]


def run(charloom: Charloom, line: str, model: Path, text: Path) -> Ran:
    return charloom(*({"MODEL": model, "TEXT": text}.get(word, word) for word in line.split()))


@pytest.mark.parametrize("line", LINES)
def test_weights_that_are_not_numbers_are_refused_by_every_command(
    charloom: Charloom, numberless: Path, small_text: Path, line: str
) -> None:
    ran = run(charloom, line, numberless, small_text)
    assert (ran.status, ran.out) == (1, "")
    assert "model.safetensors is damaged: output.bias is not" in one_line(ran)


@pytest.mark.parametrize("line", LINES)
def test_answers_that_are_not_numbers_are_an_error_of_every_command(
    charloom: Charloom, overflowing: Path, small_text: Path, line: str
) -> None:
    ran = run(charloom, line, overflowing, small_text)
    assert ran.status == 1
    assert SAYS in one_line(ran)
    assert "\N{REPLACEMENT CHARACTER}" not in ran.out


def test_such_models_are_not_whole_and_not_exported_adapted_or_served(
    charloom: Charloom, numberless: Path, small_text: Path, tmp_path: Path
) -> None:
    assert charloom("inspect", numberless, "--json").json["whole"] is False
    ran = charloom("inspect", numberless)
    assert ran.status == 1
    assert "NOT WHOLE: model.safetensors is damaged" in ran.out
    for kind in ("onnx", "html"):
        ran = charloom("export", numberless, f"--{kind}", tmp_path / "file")
        assert ran.status == 1
        assert "damaged" in one_line(ran)
        assert not (tmp_path / "file").exists()
    ran = charloom("generate", numberless, "--adapt", small_text)
    assert ran.status == 1
    assert "damaged" in one_line(ran)
    ran = charloom("serve", numberless, "--port", 0, "--failure-linger", "0.1s", "--quiet")
    assert ran.status == 1
    assert "finite float32 numbers" in ran.err


def test_a_model_whose_answers_are_not_numbers_is_not_whole_either(
    charloom: Charloom, overflowing: Path, tmp_path: Path
) -> None:
    assert charloom("inspect", overflowing, "--json").json["problem"].startswith(f"model.safetensors: {SAYS}")
    ran = charloom("inspect", overflowing)
    assert ran.status == 1
    assert f"NOT WHOLE: model.safetensors: {SAYS}" in ran.out
    assert charloom("export", overflowing, "--onnx", tmp_path / "file").status == 1
    ran = charloom("serve", overflowing, "--port", 0, "--failure-linger", "0.1s", "--quiet")
    assert ran.status == 1
    assert SAYS in ran.err


def test_python_raises_while_a_text_is_read(moody: Model) -> None:
    assert moody.generate("The ", length=0).text == ""
    with pytest.raises(ModelDirectoryError, match=SAYS):
        moody.generate(BAD, length=3)
    with pytest.raises(ModelDirectoryError, match=SAYS):
        list(moody.stream(f"The {BAD}", length=3))
    with pytest.raises(ModelDirectoryError, match=SAYS):
        moody.activations(f"The {BAD}.")


def test_one_text_without_numbers_does_not_end_its_neighbours(moody: Model) -> None:
    """The second and third are asked for while the first is being written, and their prompts are read beside it."""
    options: dict[str, Any] = {"length": 400, "seed": 1, "regex": "[a-p ]*"}
    alone = moody.generate("The ", **options).text
    with moody.engine() as engine:
        good = engine.submit("The ", **options)
        bad = [engine.submit(BAD, length=50), engine.submit(f"The {BAD}. ", length=0, prompt_alternatives=2)]
        for one in bad:
            with pytest.raises(CharloomError, match=SAYS):
                one.result(60)
        assert good.result(60).text == alone


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": BAD}),
        ("/v1/completions", {"prompt": BAD, "logprobs": 2}),
        ("/v1/completions", {"prompt": ["The ", BAD], "n": 2}),
        ("/v1/completions", {"prompt": f"The {BAD}.", "max_tokens": 0, "echo": True, "logprobs": 2}),
        ("/invocations", {"prompt": BAD}),
        ("/api/score", {"text": f"The {BAD}."}),
        ("/api/activations", {"text": f"The {BAD}."}),
    ],
)
def test_the_server_answers_an_error_in_the_documented_shape(moody: Model, path: str, body: dict[str, Any]) -> None:
    with serving({"small": moody}) as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert client.post("/v1/completions", json={"prompt": "The ", "max_tokens": 0}).status_code == 200


@pytest.mark.parametrize("more", [{}, {"logprobs": 2}, {"echo": True, "logprobs": 2}, {"n": 2}])
def test_a_stream_ends_with_an_error_event(moody: Model, more: dict[str, Any]) -> None:
    with serving({"small": moody}) as client:
        answer = client.post("/v1/completions", json={"prompt": f"The {BAD}", "stream": True, **more})
    last = [part for part in answer.text.split("\n\n") if part][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "\N{REPLACEMENT CHARACTER}" not in answer.text


def test_json_lines_say_it_line_by_line(moody: Model) -> None:
    lines = b'{"prompt": "The ", "max_tokens": 0}\n' + json.dumps({"prompt": BAD}).encode()
    with serving({"small": moody}) as client:
        answer = client.post("/invocations", content=lines, headers={"content-type": "application/jsonlines"})
    assert answer.status_code in (200, 500)
    assert "error" in answer.text
