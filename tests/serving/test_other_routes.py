"""Models, ids, health, the page of the interface, and what the playground asks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.runtime.model import Model
from charloom.runtime.session import initial_state
from tests.serving.conftest import serving


def test_models(trained: Path) -> None:
    with serving({"one": trained, "two": trained}) as client:
        listed = client.get("/v1/models").json()
        assert [one["id"] for one in listed["data"]] == ["one", "two"]
        assert client.get("/v1/models/two").json() == listed["data"][1]
        answers = [
            client.post("/v1/completions", json={"model": name, "prompt": ""}).json()["model"]
            for name in ("one", "two", None)
        ]
        assert answers == ["one", "two", "one"]


def test_health(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_tokenizer_info(client: httpx.Client, model: Model) -> None:
    info = client.get("/tokenizer_info").json()
    assert info["eos_token"] is None
    assert info["vocab_size"] == model.vocabulary.size


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="abc The\n\N{SNOWMAN}", max_size=40))
def test_tokens_and_back(client: httpx.Client, model: Model, text: str) -> None:
    found = client.post("/tokenize", json={"prompt": text, "add_special_tokens": False}).json()
    assert found["tokens"] == model.vocabulary.encode(text).tolist()
    assert found["count"] == len(text)
    back = client.post("/detokenize", json={"tokens": found["tokens"]}).json()["prompt"]
    assert back == text.replace("\N{SNOWMAN}", "\N{REPLACEMENT CHARACTER}")


def test_ids_that_do_not_exist(client: httpx.Client) -> None:
    for tokens in ([-1], [10_000], [2**70], ["a"], [1.5]):
        assert client.post("/detokenize", json={"tokens": tokens}).json()["error"]["param"] == "tokens"


def test_facts_of_a_model(client: httpx.Client, model: Model) -> None:
    facts = client.get("/api/models/small").json()
    assert facts["config"] == model.config.model_dump(mode="json")
    assert facts["losses"]["stateful"]["loss"] == model.config.losses["stateful"].loss
    assert [one["step"] for one in facts["history"]][-2:] == [30, 60]
    ends = [(one["step"], pytest.approx(one["bits_per_char"], abs=1e-4)) for one in facts["history"]]
    assert [tuple(point) for point in facts["curve"]["validation"]] == ends
    assert facts["card"].startswith(("#", "---"))
    assert facts["sampling"]["temperature"] == model.sampling.temperature


def test_scores_are_those_of_score(client: httpx.Client, model: Model) -> None:
    for text in ("The statement", "", "\N{SNOWMAN} and é", "a\nb"):
        expected = model.score(text, per_char=True)
        found = client.post("/api/score", json={"text": text}).json()
        assert (found["characters"], found["unknown"]) == (expected.characters, expected.unknown)
        assert found["nats"] == pytest.approx(expected.nats, rel=1e-6)
        assert math.copysign(1, found["nats"]) == 1, "no characters cost 0, not -0"
        assert expected.per_char is not None
        assert [one["bits"] for one in found["tokens"]] == pytest.approx(
            [bits for _, bits in expected.per_char], rel=1e-5
        )
        for one in found["tokens"]:
            shares = [other["probability"] for other in one["top"]]
            assert len(shares) == 5
            assert shares == sorted(shares, reverse=True)
            assert one["bits"] >= -math.log2(shares[0]) - 1e-9


def test_hidden_units_by_hand(client: httpx.Client, model: Model) -> None:
    text = "The statement is this: \N{SNOWMAN}"
    body = {"text": text, "layer": 0, "units": [3, 0, 31]}
    found = client.post("/api/activations", json=body).json()
    _, state = model._session.run(np.array([[model.vocabulary.opening_id]]), initial_state(model.config.model, 1))
    hidden = []
    for token in model.encode(text):
        _, state = model._session.run(np.array([[token]]), state)
        hidden.append(state[0][0])
    by_hand = np.array(hidden)
    assert [one["unit"] for one in found["units"]] == [3, 0, 31]
    for one in found["units"]:
        assert one["values"] == pytest.approx(by_hand[:, one["unit"]].tolist(), abs=1e-4)
    most = client.post("/api/activations", json={"text": text}).json()
    variances = by_hand.var(axis=0)
    assert [one["unit"] for one in most["units"]] == np.argsort(-variances, kind="stable")[:8].tolist()
    assert "".join(most["characters"]) == text.replace("\N{SNOWMAN}", "\N{REPLACEMENT CHARACTER}")
    assert (most["layer"], most["layers"], most["hidden_size"]) == (0, 1, 32)
    assert client.post("/api/activations", json={"text": ""}).json()["units"] == []
    (nothing,) = client.post("/api/activations", json={"text": "", "units": [0]}).json()["units"]
    assert (nothing["values"], set(map(tuple, nothing["gates"].values()))) == ([], {()})


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("text", {"text": "a" * 5001}),
        ("text", {}),
        ("layer", {"text": "a", "layer": 1}),
        ("units", {"text": "a", "units": [32]}),
        ("units", {"text": "a", "units": [-1]}),
        ("units", {"text": "a", "units": [0] * 65}),
    ],
)
def test_units_that_do_not_exist(client: httpx.Client, param: str, body: dict[str, object]) -> None:
    answer = client.post("/api/activations", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_the_description_of_the_interface(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    paths = description["paths"]
    assert {"/v1/completions", "/v1/models", "/tokenize", "/invocations", "/ping", "/metrics"} <= set(paths)
    references = re.findall(r'"#/components/schemas/(\w+)"', client.get("/openapi.json").text)
    assert set(references) <= set(description["components"]["schemas"])
    assert {"CompletionRequest", "Completion", "ErrorAnswer"} <= set(references)
    fields = description["components"]["schemas"]["CompletionRequest"]["properties"]
    assert {"prompt", "max_tokens", "regex", "logit_bias"} <= set(fields)


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.findall(r"(?:https?:)?//\w", page.text)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|style=|\son\w+=", page.text)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"colours.css", "style.css", "extras.css", "icon.svg", "openapi.json"} == set(addresses)
    for address in addresses:
        assert client.get(f"/{address}").status_code == 200, address
    assert client.get("/main.js").headers["content-type"].startswith("text/javascript")


def test_the_page_of_the_interface_lists_every_address_and_field(client: httpx.Client) -> None:
    page = client.get("/docs").text
    description = client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for method in methods:
            assert f"<h2>{method.upper()} <code>{path}</code></h2>" in page
    for name in ("CompletionRequest", "Completion", "ScoreRequest", "ModelFacts"):
        for field in description["components"]["schemas"][name]["properties"]:
            assert f"<code>{field}</code>" in page
    row = page.partition(">temperature</code></th>")[2].partition("</tr>")[0]
    assert re.sub("<[^>]+>", " ", row).split()[:6] == ["number", "≥", "0", "≤", "1000", "or"]
