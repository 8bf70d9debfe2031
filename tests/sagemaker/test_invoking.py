"""Real boto3 asks our real server through the pretended Amazon."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CloudError, UsageError
from charloom.events import Event, StatusChanged
from charloom.runtime.model import Model, load
from charloom.runtime.session import Logits, Session, State
from charloom.sagemaker.aws import Account, DryRun, Request
from charloom.sagemaker.endpoint_clients import (
    async_request,
    completion_body,
    invoke_request,
    local_address,
    payload_body,
)
from charloom.sagemaker.invocation import collect, invoke, invoke_later, invoke_stream, invoke_text
from charloom.sagemaker.local.backend import Local
from charloom.sagemaker.names import S3Uri
from charloom.text.vocabulary import Ids
from tests.cli.conftest import Charloom, one_line
from tests.serving.conftest import serving

from . import fake_runtime
from .fake_amazon import FakeAmazon
from .validation import assert_valid


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charloom.sagemaker.invocation._PAUSES", (0.05,))


@pytest.fixture
def mine(fake: FakeAmazon, server: str) -> FakeAmazon:
    """An endpoint `mine` that our server answers for."""
    fake.connect_endpoint("mine", server)
    return fake


def test_the_text_is_the_models_own(mine: FakeAmazon, account: Account, model: Model) -> None:
    options: dict[str, Any] = {"length": 60, "seed": 7, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "min_p": 0.01}
    answer = invoke(account, "mine", "The “statement” ", **options)
    expected = model.generate("The “statement” ", **options)
    assert (answer.text, answer.finish_reason, answer.seed) == (expected.text, "length", 7)
    assert (answer.endpoint, answer.prompt, answer.characters) == ("mine", "The “statement” ", 60)
    assert invoke(account, "mine", "The ", length=90, seed=1, stop=["e"]).finish_reason == "stop"
    assert invoke(account, "mine", "", length=5, regex="[a-f]{5}").text.isalpha()
    assert mine.operations() == ["InvokeEndpoint"] * 3


def test_the_articles_payload(mine: FakeAmazon, account: Account) -> None:
    text = invoke_text(account, "mine", "60-you are ")
    assert text.startswith("you are ")
    assert len(text) == 60
    passage = "the article's own request — ☃"
    assert invoke_text(account, "mine", f"{len(passage)}-{passage}") == passage
    with pytest.raises(CloudError, match="refused the request: send <total length>-<start text>"):
        invoke_text(account, "mine", "you are")


def test_a_stream_is_the_same_text(mine: FakeAmazon, account: Account, model: Model) -> None:
    stream = invoke_stream(account, "mine", "The ", length=8000, seed=3)
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == model.generate("The ", length=8000, seed=3).text
    answer = stream.finish()
    assert (answer.finish_reason, answer.seed, answer.characters) == ("length", 3, 8000)
    assert mine.operations() == ["InvokeEndpointWithResponseStream"]


class Limited(Session):
    """A model's own network, with so many steps allowed."""

    def __init__(self, inner: Session, steps: int) -> None:
        self.shape = inner.shape
        self.inner = inner
        self.allowed = threading.Semaphore(steps)
        self.free = False

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        assert self.free or self.allowed.acquire(timeout=30)
        return self.inner.run(ids, state)


def test_a_streams_beginning_comes_before_its_end_is_written(
    fake: FakeAmazon, account: Account, trained: Path, model: Model
) -> None:
    held = load(trained, precision="int8")
    session = Limited(held._session, 40)
    held._session = session
    with serving({"small": held}) as client:
        fake.connect_endpoint("slow", str(client.base_url).rstrip("/"))
        stream = invoke_stream(account, "slow", "The ", length=300, seed=3)
        first = next(stream)  # only forty steps can have been taken
        assert 0 < len(first) <= 40
        session.free = True
        session.allowed.release(1000)
        assert first + "".join(stream) == model.generate("The ", length=300, seed=3).text


@pytest.mark.parametrize("kind", ["ModelStreamError", "InternalStreamFailure"])
def test_a_stream_that_breaks(mine: FakeAmazon, account: Account, model: Model, kind: str) -> None:
    mine.break_stream("mine", 1, kind)
    stream = invoke_stream(account, "mine", "The ", length=4000, seed=3)
    begun = next(stream)
    with pytest.raises(CloudError, match=f"the answer of mine broke off: {kind}"):
        next(stream)
    assert model.generate("The ", length=4000, seed=3).text.startswith(begun)


def test_what_the_model_refuses_is_said_in_its_words(mine: FakeAmazon, account: Account) -> None:
    with pytest.raises(CloudError, match="endpoint mine refused the request: max_tokens = 20000: this server") as found:
        invoke(account, "mine", "a", length=20_000)
    assert found.value.code == "ModelError"
    with pytest.raises(CloudError, match="refused the request: max_tokens"):
        next(invoke_stream(account, "mine", "a", length=20_000))


def test_endpoints_that_cannot_answer(fake: FakeAmazon, account: Account, server: str) -> None:
    with pytest.raises(CloudError, match="there is no endpoint mine in eu-west-1"):
        invoke(account, "mine", "a")
    fake.connect_endpoint("mine", "http://127.0.0.1:9")
    with pytest.raises(CloudError, match=r"endpoint mine failed \(500\).*logs mine --region eu-west-1 shows"):
        invoke(account, "mine", "a")
    for states, failure, message in (
        (["Creating"], "", "mine is Creating: it answers once"),
        (["Failed"], "no ping", "mine is Failed: no ping"),
    ):
        fake.endpoints["mine"].states, fake.endpoints["mine"].shown = states, []
        fake.endpoints["mine"].failure = failure
        with pytest.raises(CloudError, match=message):
            invoke(account, "mine", "a")
    fake.refuse("InvokeEndpoint", "ModelNotReadyException", "not ready", times=None, status=429)
    with pytest.raises(CloudError, match="still starting: try again"):
        invoke(account, "mine", "a")
    fake.refuse("InvokeEndpointWithResponseStream", "AccessDeniedException", "no")
    with pytest.raises(CloudError, match="not allowed: sagemaker-runtime:InvokeEndpointWithResponseStream"):
        next(invoke_stream(account, "mine", "a"))


def test_an_endpoint_of_this_machine(server: str, model: Model, cli: Charloom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command without an account; where such an endpoint is, the local part knows."""
    here = {"here": server, "gone": "http://127.0.0.1:9"}
    monkeypatch.setattr("charloom.sagemaker.endpoint_clients.local_address", here.get)
    monkeypatch.setattr(Local, "has_endpoint", lambda self, name: name in here)
    expected = model.generate("The ", length=40, seed=2).text
    assert invoke(None, "here", "The ", length=40, seed=2).text == expected
    assert list(invoke_stream(None, "here", "The ", length=40, seed=2))
    ran = cli("sagemaker", "invoke", "here", "--prompt", "The ", "--length", 40, "--seed", 2, "--stream")
    assert (ran.status, ran.out) == (0, f"The {expected}\n")
    assert len(cli("sagemaker", "invoke", "here", "--payload", "20-you are ").out) == 21
    assert "refused the request: max_tokens" in one_line(cli("sagemaker", "invoke", "here", "--length", 20_000))
    assert "leave --async out" in one_line(cli("sagemaker", "invoke", "here", "--async"))
    for more in ((), ("--stream",)):
        assert "does not answer at 127.0.0.1:9" in one_line(cli("sagemaker", "invoke", "gone", *more))
    with pytest.raises(CloudError, match="no endpoint nowhere on this machine"):
        invoke(None, "nowhere", "a")


def test_answers_that_are_none(mine: FakeAmazon, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def answering(content: bytes) -> None:
        monkeypatch.setattr("charloom.sagemaker.endpoint_clients.AmazonClient.ask", lambda *given: content)
        monkeypatch.setattr("charloom.sagemaker.endpoint_clients.AmazonClient.stream", lambda *given: iter([content]))

    for content in (b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b"\xff\n\r\x1b[2J"):
        answering(content)
        with pytest.raises(CloudError, match="did not answer with a completion") as found:
            invoke(account, "mine", "a")
        assert str(found.value).isprintable()
        with pytest.raises(CloudError, match="did not answer with a stream"):
            list(invoke_stream(account, "mine", "a"))
    answering(b'data: {"choices": [{"text": "abc"}]}\n\n')
    stream = invoke_stream(account, "mine", "a")
    assert next(stream) == "abc"
    with pytest.raises(CloudError, match="broke off before its end"):
        next(stream)
    answering(b'data: {"error": {"message": "the time is over"}}\n\n')
    with pytest.raises(CloudError, match="failed: the time is over"):
        list(invoke_stream(account, "mine", "a"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_connection_that_breaks(mine: FakeAmazon, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fake_runtime.frame

    def once(headers: dict[str, str], payload: bytes) -> bytes:
        monkeypatch.setattr(fake_runtime, "frame", cut)
        return whole(headers, payload)

    def cut(headers: dict[str, str], payload: bytes) -> bytes:
        raise ConnectionError

    monkeypatch.setattr(fake_runtime, "frame", once)
    stream = invoke_stream(account, "mine", "a", length=4000)
    assert next(stream)
    with pytest.raises(CloudError, match="the answer of mine broke off"):
        list(stream)


def test_too_slow_an_answer(mine: FakeAmazon, account: Account) -> None:
    mine.refuse("InvokeEndpoint", "ModelError", "Your invocation timed out while waiting", status=424)
    with pytest.raises(CloudError, match=r"did not answer in time.*--stream"):
        invoke(account, "mine", "a")


def test_what_is_too_large_is_not_sent(fake: FakeAmazon, account: Account) -> None:
    with pytest.raises(UsageError, match="an endpoint takes 25,000,000"):
        invoke(account, "mine", "a" * 25_000_000)
    with pytest.raises(UsageError, match="temperature"):
        invoke(account, "mine", "a", temperature=-1)
    with pytest.raises(UsageError, match="no such"):
        invoke(account, "mine", "a", **{"heat": 1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="single hyphens"):
        invoke(account, "../mine", "a")
    with pytest.raises(UsageError, match="cannot be sent"):
        invoke_text(account, "mine", "9-\ud800")
    assert fake.calls == []


def test_later_through_s3(fake: FakeAmazon, account: Account, server: str, model: Model) -> None:
    fake.connect_endpoint("later", server, async_output="s3://answers/of/later")
    pending = invoke_later(account, "later", "The ", length=30, seed=5)
    assert pending.source.key.startswith("charloom/requests/later-")
    assert str(pending.output).startswith("s3://answers/of/later/")
    events: list[Event] = []
    answer = collect(account, pending, notify=events.append)
    assert answer.text == model.generate("The ", length=30, seed=5).text
    assert isinstance(events[0], StatusChanged)
    refused = invoke_later(account, "later", "The ", length=20_000, place=S3Uri("answers", "in"))
    with pytest.raises(CloudError, match="later did not answer: max_tokens"):
        collect(account, refused)
    assert collect(account, invoke_later(account, "later", "8-you are ", payload=True)).text == "you are "


def test_an_endpoint_of_the_other_kind(mine: FakeAmazon, account: Account, server: str) -> None:
    mine.connect_endpoint("later", server, async_output="s3://answers/of/later")
    with pytest.raises(CloudError, match="later is asynchronous: give --async"):
        invoke(account, "later", "a")
    with pytest.raises(CloudError, match="mine is not asynchronous"):
        invoke_later(account, "mine", "a")


def test_an_answer_that_does_not_come(fake: FakeAmazon, account: Account, server: str) -> None:
    fake.connect_endpoint("later", server, async_output="s3://answers/of/later")
    pending = invoke_later(account, "later", "The ", length=30)
    lost = type(pending)(**{**vars(pending), "output": S3Uri("answers", "nowhere"), "failure": None})
    with pytest.raises(CloudError, match=r"no answer after \d s"):
        collect(account, lost, seconds=0)


@given(
    st.text(max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "length": st.integers(0, 10**6),
            "temperature": st.floats(0, 1000),
            "top_k": st.integers(0, 100),
            "seed": st.none() | st.integers(0, 2**63 - 1),
            "stop": st.lists(st.text(min_size=1, max_size=5), max_size=3),
        },
    ),
    st.booleans(),
)
def test_amazon_accepts_every_request(prompt: str, sampling: dict[str, Any], stream: bool) -> None:
    body = completion_body(prompt, None, sampling, stream=stream)
    for operation in ("invoke_endpoint", "invoke_endpoint_with_response_stream"):
        request = invoke_request("mine", body, "application/json", "application/json")
        assert_valid("sagemaker-runtime", operation, request)
        assert_valid("sagemaker-runtime", operation, invoke_request("mine", payload_body("9-" + prompt), "text/plain"))
    later = async_request("mine", S3Uri("bucket", "key"), "application/json")
    assert_valid("sagemaker-runtime", "invoke_endpoint_async", later)


def test_a_dry_run_sends_nothing() -> None:
    shown: list[Request] = []
    aws = DryRun(shown.append, "eu-west-1")
    assert invoke(aws, "mine", "a").text == ""
    assert list(invoke_stream(aws, "mine", "a")) == []
    collect(aws, invoke_later(aws, "mine", "a"))
    assert [one.operation for one in shown if one.service != "s3"] == [
        "invoke_endpoint",
        "invoke_endpoint_with_response_stream",
        "get_caller_identity",
        "invoke_endpoint_async",
    ]


def test_the_command(mine: FakeAmazon, cli: Charloom, model: Model, server: str) -> None:
    expected = model.generate("The ", length=40, seed=2).text
    base = ("sagemaker", "invoke", "mine", "--prompt", "The ", "--length", 40, "--seed", 2)
    for more in ((), ("--stream",)):
        ran = cli(*base, *more)
        assert (ran.status, ran.out) == (0, f"The {expected}\n"), ran.err
        assert "40 characters in" in ran.err
        answer = cli(*base, *more, "--json").json
        assert (answer["endpoint"], answer["prompt"], answer["text"], answer["finish_reason"]) == (
            "mine",
            "The ",
            expected,
            "length",
        )
    ran = cli("sagemaker", "invoke", "mine", "--payload", "20-you are ")
    assert len(ran.out) == 21
    assert cli("sagemaker", "invoke", "mine", "--payload", "8-you are ", "--json").json["text"] == "you are "
    mine.connect_endpoint("later", server, async_output="s3://answers/of/later")
    ran = cli("sagemaker", "invoke", "later", *base[3:], "--async")
    assert (ran.status, ran.out) == (0, f"The {expected}\n"), ran.err
    ran = cli("sagemaker", "invoke", "later", *base[3:], "--async", "--no-wait")
    assert ran.out.startswith("s3://answers/of/later/")


def test_the_commands_mistakes(mine: FakeAmazon, cli: Charloom) -> None:
    for arguments, status, message in (
        (["nowhere", "--prompt", "a"], 1, "there is no endpoint nowhere"),
        (["mine", "--prompt", "a", "--payload", "9-a"], 2, "not two of them"),
        (["mine", "--payload", "9-a", "--top-k", "3"], 2, "leave --top-k out"),
        (["mine", "--payload", "9-a", "--stream"], 2, "leave --stream out"),
        (["mine", "--stream", "--async"], 2, "not streamed"),
        (["mine", "--no-wait"], 2, "--no-wait is for --async"),
        (["mine", "--length", "20000"], 1, "refused the request: max_tokens = 20000"),
        (["mine", "--prompt-file", "/nonexistent"], 1, "cannot read the prompt"),
    ):
        ran = cli("sagemaker", "invoke", *arguments)
        assert ran.status == status, ran.err
        assert message in one_line(ran)
    mine.break_stream("mine", 1)
    ran = cli("sagemaker", "invoke", "mine", "--length", 4000, "--stream")
    assert ran.status == 1
    assert ran.out.endswith("\n")
    assert "broke off" in one_line(ran)
    ran = cli("sagemaker", "invoke", "mine", "--prompt", "a'b\n☃", "--stream", "--dry-run", "--json")
    assert ran.json["operation"] == "InvokeEndpointWithResponseStream"


def test_endpoints_of_this_machine_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        address = "http://127.0.0.1:1234"
        status = "InService"

    monkeypatch.setattr("charloom.sagemaker.local.endpoints.find", lambda name: Found() if name == "here" else None)
    assert local_address("here") == "http://127.0.0.1:1234"
    assert local_address("there") is None
    monkeypatch.setattr(Found, "status", "Failed")
    with pytest.raises(CloudError, match="of this machine is Failed: charloom sagemaker delete here"):
        local_address("here")
