"""`/v1/completions`: the texts are Model.generate's, the log-probabilities those of the network, by hand."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from charloom.runtime.model import Model
from charloom.runtime.session import initial_state
from charloom.serving.requests import CompletionRequest
from charloom.settings import SamplingSettings
from tests.serving.conftest import events

PROMPTS = ["", "The ", "class C:\n    ", "É and \N{SNOWMAN}", "x" * 300]
OPTIONS: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 7, "temperature": 0},
    {"seed": 3, "temperature": 1.3, "top_k": 5, "top_p": 0.9, "min_p": 0.01},
    {"seed": 5, "stop": ["e", "th"]},
    {"seed": 6, "regex": "[a-z]{3,9}( [a-z]{2,7})*"},
]


def complete(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def streamed(client: httpx.Client, **body: Any) -> list[Any]:
    answer = client.post("/v1/completions", json={**body, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events(answer.text)


def logprobs_by_hand(model: Model, ids: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """ln p of every id (T, V) after each of `ids`, from a zero state."""
    state, found = initial_state(model.config.model, 1), []
    for token in ids:
        logits, state = model._session.run(np.array([[token]]), state)
        exact = logits[0, 0].astype(np.float64)
        found.append(exact - np.log(np.exp(exact - exact.max()).sum()) - exact.max())
    return np.array(found)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: f"seed {options['seed']}")
@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_a_seeded_text_is_the_one_that_generate_writes(
    client: httpx.Client, model: Model, prompt: str, options: dict[str, Any]
) -> None:
    alone = model.generate(prompt, length=40, **options)
    answer = complete(client, prompt=prompt, max_tokens=40, **options)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (alone.text, alone.finish_reason)
    assert choice["seed"] == alone.seed
    read, written = len(model.encode(prompt)), len(alone.text)
    assert answer["usage"] == {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    stream = streamed(client, prompt=prompt, max_tokens=40, **options)
    assert "".join(one["choices"][0]["text"] for one in stream) == alone.text
    assert [one["choices"][0]["finish_reason"] for one in stream] == [None] * (len(stream) - 1) + [alone.finish_reason]
    assert len({one["id"] for one in stream}) == 1


def test_what_is_not_given_is_the_models_own(client: httpx.Client, model: Model) -> None:
    answer = complete(client, prompt="The ", seed=4)
    assert answer["choices"][0]["text"] == model.generate("The ", length=16, seed=4).text
    assert complete(client, prompt="", seed=4)["choices"][0]["text"] == model.generate("", length=16, seed=4).text
    nulls = dict.fromkeys(CompletionRequest.model_fields, None)
    assert len(complete(client, **{**nulls, "prompt": ""})["choices"][0]["text"]) == 16


def test_several_prompts_and_samples_stand_prompt_by_prompt(client: httpx.Client, model: Model) -> None:
    prompts = ["The ", "a", "class "]
    expected = [one.text for prompt in prompts for one in model.generate_samples(prompt, 2, length=30, seed=9)]
    answer = complete(client, prompt=prompts, n=2, max_tokens=30, seed=9)
    assert [one["index"] for one in answer["choices"]] == list(range(6))
    assert [one["text"] for one in answer["choices"]] == expected
    assert answer["usage"]["prompt_tokens"] == sum(map(len, prompts))
    stream = streamed(client, prompt=prompts, n=2, max_tokens=30, seed=9, stream_options={"include_usage": True})
    texts = [""] * 6
    for one in stream[:-1]:
        texts[one["choices"][0]["index"]] += one["choices"][0]["text"]
    assert texts == expected
    assert (stream[-1]["choices"], stream[-1]["usage"]) == ([], answer["usage"])


def test_ids_are_prompts_too(client: httpx.Client, model: Model) -> None:
    ids = [model.encode("The "), model.encode("a")]
    expected = [model.generate(prompt, length=20, seed=2).text for prompt in ("The ", "a")]
    assert complete(client, prompt=ids[0], max_tokens=20, seed=2)["choices"][0]["text"] == expected[0]
    answer = complete(client, prompt=ids, max_tokens=20, seed=2, echo=True)
    assert [one["text"] for one in answer["choices"]] == ["The " + expected[0], "a" + expected[1]]


def test_log_probabilities_are_the_networks_own(client: httpx.Client, model: Model) -> None:
    prompt = "The st"
    answer = complete(client, prompt=prompt, max_tokens=12, seed=3, temperature=0.7, top_k=9, logprobs=4, echo=True)
    (choice,) = answer["choices"]
    logprobs = choice["logprobs"]
    assert choice["text"] == prompt + model.generate(prompt, length=12, seed=3, temperature=0.7, top_k=9).text
    assert logprobs["tokens"] == list(choice["text"])
    assert logprobs["text_offset"] == list(range(len(choice["text"])))
    ids = model.encode(choice["text"])
    by_hand = logprobs_by_hand(model, ids)
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    for place in range(1, len(ids)):
        expected = by_hand[place - 1]
        assert logprobs["token_logprobs"][place] == pytest.approx(expected[ids[place]], abs=1e-9)
        known = sorted(range(1, len(expected)), key=lambda token: -expected[token])[:4]
        characters = {str(model.vocabulary.decode(np.array([token]))): expected[token] for token in known}
        characters.setdefault(choice["text"][place], expected[ids[place]])
        assert logprobs["top_logprobs"][place] == pytest.approx(characters, abs=1e-9)
    stream = streamed(client, prompt=prompt, max_tokens=12, seed=3, temperature=0.7, top_k=9, logprobs=4, echo=True)
    parts = [one["choices"][0]["logprobs"] for one in stream if one["choices"][0]["logprobs"]]
    for name, whole in logprobs.items():
        assert [item for part in parts for item in part[name]] == whole


def test_the_likeliest_character_has_exactly_the_likeliest_probability(client: httpx.Client) -> None:
    (choice,) = complete(client, prompt="The ", max_tokens=30, temperature=0, logprobs=1)["choices"]
    logprobs = choice["logprobs"]
    assert [max(top.values()) for top in logprobs["top_logprobs"]] == logprobs["token_logprobs"]
    assert all(len(top) == 1 for top in logprobs["top_logprobs"])


def test_a_prompt_is_scored_without_writing(client: httpx.Client, model: Model) -> None:
    text = "The statement is \N{SNOWMAN}."
    (choice,) = complete(client, prompt=text, max_tokens=0, echo=True, logprobs=0)["choices"]
    assert (choice["text"], choice["finish_reason"]) == (text, "length")
    ids = model.encode(text)
    by_hand = logprobs_by_hand(model, ids)
    expected = [by_hand[place - 1][ids[place]] for place in range(1, len(ids))]
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(expected, abs=1e-9)
    assert complete(client, prompt=text, max_tokens=0)["choices"][0]["text"] == ""


def test_the_openai_client(client: httpx.Client, model: Model) -> None:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0) as ours:
        expected = model.generate("The ", length=30, seed=11).text
        answer = ours.completions.create(model="small", prompt="The ", max_tokens=30, seed=11, logprobs=2)
        assert answer.choices[0].text == expected
        assert answer.choices[0].logprobs is not None
        assert answer.choices[0].logprobs.tokens == list(expected)
        assert answer.usage is not None
        assert answer.usage.total_tokens == 34
        stream = ours.completions.create(
            model="small", prompt="The ", max_tokens=30, seed=11, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(one.choices[0].text for one in chunks if one.choices) == expected
        assert chunks[-1].usage == answer.usage
        regex = ours.completions.create(model="small", prompt="", max_tokens=9, extra_body={"regex": "[ab]{9}"})
        assert re.fullmatch("[ab]{9}", regex.choices[0].text)
        assert [one.id for one in ours.models.list()] == ["small"]
        with pytest.raises(openai.NotFoundError) as missing:
            ours.completions.create(model="large", prompt="The ")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as refused:
            ours.completions.create(model="small", prompt="The ", suffix="end")
        assert refused.value.param == "suffix"


def test_forty_streams_at_once_are_each_the_text_alone(client: httpx.Client, model: Model) -> None:
    def one(seed: int) -> str:
        stream = streamed(client, prompt="The " * (seed % 5), max_tokens=60, seed=seed)
        return "".join(event["choices"][0]["text"] for event in stream)

    with ThreadPoolExecutor(40) as pool:
        texts = list(pool.map(one, range(40)))
    assert texts == [model.generate("The " * (seed % 5), length=60, seed=seed).text for seed in range(40)]


def test_unknown_characters_are_named(client: httpx.Client) -> None:
    body = {"prompt": "a\N{SNOWMAN}", "max_tokens": 2}
    assert client.post("/v1/completions", json=body).headers["x-charloom-unknown"] == "%E2%98%83"
    assert "x-charloom-unknown" not in client.post("/v1/completions", json={"prompt": "a", "max_tokens": 2}).headers


def test_unknown_fields_are_passed_over(client: httpx.Client) -> None:
    asked = {"prompt": "The ", "seed": 1, "max_tokens": 9}
    text = complete(client, **asked)["choices"][0]["text"]
    for more in (
        {"user": "somebody", "add_special_tokens": False, "what_is_this": {"a": [1]}, "min_tokens": 3},
        {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "suffix": None, "best_of": 1},
    ):
        assert complete(client, **asked, **more)["choices"][0]["text"] == text


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("prompt", {"prompt": 7}),
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": ["a", 1]}),
        ("prompt", {"prompt": [1, 10_000]}),
        ("prompt", {"prompt": [[1], [-1]]}),
        ("prompt", {"prompt": ["a"] * 129}),
        ("prompt", {"prompt": "a" * 100_001}),
        ("max_tokens", {"max_tokens": -2}),
        ("max_tokens", {"max_tokens": 10_001}),
        ("max_tokens", {"max_tokens": "7"}),
        ("temperature", {"temperature": -0.1}),
        ("temperature", {"temperature": 1e9}),
        ("top_p", {"top_p": 0}),
        ("top_k", {"top_k": -2}),
        ("min_p", {"min_p": 2}),
        ("n", {"n": 0}),
        ("n", {"n": 65}),
        ("n", {"n": True}),
        ("seed", {"seed": -2}),
        ("seed", {"seed": 2**63}),
        ("stop", {"stop": ["a"] * 17}),
        ("stop", {"stop": "a" * 257}),
        ("stop", {"stop": ""}),
        ("stop", {"stop": [1]}),
        ("logprobs", {"logprobs": 21}),
        ("logprobs", {"logprobs": -1}),
        ("regex", {"regex": "(a"}),
        ("regex", {"regex": "a{99}"}),
        ("regex", {"regex": r"(a)\1"}),
        ("regex", {"regex": "a" * 10_001}),
        ("suffix", {"suffix": "b"}),
        ("best_of", {"best_of": 3}),
        ("presence_penalty", {"presence_penalty": 0.5}),
        ("frequency_penalty", {"frequency_penalty": -1}),
        ("logit_bias", {"logit_bias": {"5": 1}}),
        ("stream", {"stream": "yes"}),
    ],
)
def test_a_bad_value_is_named(client: httpx.Client, param: str, body: dict[str, Any]) -> None:
    answer = client.post("/v1/completions", json={"prompt": "", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert param in error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 300


def test_a_long_prompt_has_a_code(client: httpx.Client) -> None:
    error = client.post("/v1/completions", json={"prompt": "a" * 100_001}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    complete(client, prompt="a" * 100_000, max_tokens=1)


@pytest.mark.parametrize("field", ["temperature", "top_p", "min_p"])
def test_the_bounds_are_those_of_the_settings(field: str) -> None:
    def bounds(kind: Any) -> dict[str, Any]:
        schema = kind.model_json_schema()["properties"][field]
        schema = next((one for one in schema.get("anyOf", []) if one["type"] == "number"), schema)
        return {name: schema[name] for name in schema if "inimum" in name or "aximum" in name}

    assert bounds(CompletionRequest) == bounds(SamplingSettings)


def test_bodies_as_bytes(client: httpx.Client) -> None:
    head = {"content-type": "application/json; charset=utf-8"}
    assert (
        client.post("/v1/completions", content=json.dumps({"prompt": "", "max_tokens": 1}), headers=head).status_code
        == 200
    )
