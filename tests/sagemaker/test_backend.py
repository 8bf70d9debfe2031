"""The same life of a job and of an endpoint on both back ends: an account of the pretended Amazon, and this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.errors import CharloomError, CloudError, UsageError
from charloom.events import Event, LogLine
from charloom.sagemaker import (
    Aws,
    DryRun,
    attach,
    delete,
    delete_job_here,
    deploy,
    deployed,
    endpoints,
    invoke,
    list_jobs,
    logs,
    reap,
    status,
    stop,
    train,
    wait,
)
from charloom.sagemaker.backend import backend_of
from charloom.sagemaker.hosting import states
from charloom.sagemaker.hosting.delete import NO_ENDPOINT

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_training_jobs import artifact, aws, source  # noqa: F401  (fixtures)

SMALL: dict[str, Any] = {"hidden_size": 8, "steps": 2, "threads": 1, "device": "cpu"}


class Place:
    """A back end, how something is made there, and how an endpoint of it comes to answer."""

    def __init__(self, account: Aws | None, fake: FakeAmazon, archive: Path, server: str) -> None:
        self.aws = account
        self.region = "local" if account is None else REGION
        self.fake, self.archive, self.server = fake, archive, server

    def train(self, text: Path, **options: Any) -> str:
        if self.aws is None:
            return train(None, text, name="twin", instance="local", **SMALL, **options).name
        self.fake.next_job(logs=["reading", "saved"], artifact=self.archive)
        return train(self.aws, text, name="twin", role="R", **SMALL, **options).name

    def how(self) -> dict[str, Any]:
        """How `deploy` is asked for an endpoint there."""
        if self.aws is None:
            return {"instance": "local"}
        self.fake.next_endpoint(address=self.server)
        return {"role": "R", "image": "registry/image:1"}


@pytest.fixture(params=["account", "local"])
def place(
    request: pytest.FixtureRequest,
    fake: FakeAmazon,
    aws: Aws,  # noqa: F811
    artifact: Path,  # noqa: F811
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Place]:
    monkeypatch.setattr(states, "POLL", 0)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    yield Place(aws if request.param == "account" else None, fake, artifact, server)
    for endpoint in endpoints(None):
        delete(None, endpoint.name)


def test_the_life_of_a_job(place: Place, small_text: Path, tmp_path: Path) -> None:
    assert list_jobs(place.aws) == []
    for ask in (status, wait, stop):
        with pytest.raises(CharloomError, match="no job twin"):
            ask(place.aws, "twin")
    with pytest.raises(CharloomError, match="no job twin"):
        attach(place.aws, "twin", tmp_path / "none")
    with pytest.raises(CharloomError, match="no job or endpoint twin"):
        list(logs(place.aws, "twin"))
    assert place.train(small_text) == "twin"
    events: list[Event] = []
    ended = wait(place.aws, "twin", every=0, notify=events.append)
    assert (ended.name, ended.status, ended.over, ended.failure_reason) == ("twin", "Completed", True, "")
    assert backend_of(place.aws).status("twin").status == status(place.aws, "twin").status == "Completed"
    lines = [line.message for line in logs(place.aws, "twin")]
    assert any("saved" in line for line in lines)
    assert [line.message for line in logs(place.aws, "twin", last=1)] == lines[-1:]
    with pytest.raises(UsageError, match="from 1 on"):
        logs(place.aws, "twin", last=0)
    assert not stop(place.aws, "twin"), "it has ended"
    assert [(job.name, job.status) for job in list_jobs(place.aws)] == [("twin", "Completed")]
    assert list_jobs(place.aws, ended=False) == []
    model = tmp_path / "fetched"
    found = attach(place.aws, "twin", model)
    assert found is not None
    assert (found.path, found.job.name, found.bytes > 0) == (model, "twin", True)
    assert charloom.load(model).generate("The ", length=5).text
    with pytest.raises(UsageError, match="fetched"):
        attach(place.aws, "twin", model)
    with pytest.raises(CharloomError, match="there is a job twin already" if place.aws else "another text or other"):
        place.train(small_text, seed=5)


@pytest.mark.slow
def test_a_job_that_fails_says_why(place: Place, small_text: Path, tmp_path: Path) -> None:
    if place.aws is None:
        with pytest.raises(CharloomError, match=r"the job twin failed: .*toaster"):
            train(None, small_text, name="twin", instance="local", **{**SMALL, "device": "toaster"})
    else:
        place.fake.next_job(logs=["reading"], failure="AlgorithmError: there is no toaster")
        train(place.aws, small_text, name="twin", role="R", **SMALL)
    with pytest.raises(CharloomError, match=r"the job twin failed: .*toaster"):
        wait(place.aws, "twin", every=0)
    assert status(place.aws, "twin").status == "Failed"
    assert "toaster" in status(place.aws, "twin").failure_reason
    with pytest.raises(CharloomError, match=r"the job twin failed: .*toaster"):
        attach(place.aws, "twin", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_life_of_an_endpoint(place: Place, trained: Path) -> None:
    assert endpoints(place.aws) == []
    with pytest.raises(CloudError, match="no endpoint twin") as raised:
        delete(place.aws, "twin")
    assert raised.value.code == NO_ENDPOINT
    made = deploy(place.aws, trained, name="twin", **place.how())
    assert (made.name, made.region, made.expires) == ("twin", place.region, None)
    (state,) = endpoints(place.aws)
    assert (state.name, state.status, state.expired) == ("twin", "InService", False)
    answer = invoke(place.aws, "twin", "The ", length=20, seed=3)
    assert answer.text == charloom.load(trained, precision="int8").generate("The ", length=20, seed=3).text
    with pytest.raises(UsageError, match=r"there is an endpoint twin already|the endpoint twin exists"):
        deploy(place.aws, trained, name="twin", **place.how())
    assert reap(place.aws) == []
    gone = delete(place.aws, "twin")
    assert (gone.name, gone.removed[0], gone.region) == ("twin", "endpoint twin", place.region)
    assert endpoints(place.aws) == []


@pytest.mark.slow
def test_an_endpoint_for_the_time_of_a_block(place: Place, trained: Path) -> None:
    with deployed(place.aws, trained, name="twin", **place.how()) as endpoint:
        assert len(endpoint.generate("The ", length=7)) == 7
        assert [state.name for state in endpoints(place.aws)] == ["twin"]
    assert endpoints(place.aws) == []


@pytest.mark.slow
def test_what_is_of_this_machine_alone(
    aws: Aws,  # noqa: F811
    fake: FakeAmazon,
    small_text: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An account may be given, and is not asked."""
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    events: list[Event] = []
    job = train(aws, small_text, name="twin", instance="local", notify=events.append, **SMALL)
    assert (job.instance, job.price_per_hour, job.arn) == ("local", 0.0, "")
    assert any(isinstance(event, LogLine) for event in events)
    endpoint = deploy(aws, "twin", name="mine", instance="local")
    assert (endpoint.region, endpoint.data) == ("local", "twin"), "the job's own model"
    assert delete(None, "mine").region == "local"
    assert delete_job_here("twin").removed == ("job twin",)
    assert fake.calls == []


def test_what_only_an_account_has_needs_one(small_text: Path, trained: Path) -> None:
    with pytest.raises(UsageError, match="there is no account to run in"):
        train(None, small_text)
    with pytest.raises(UsageError, match="there is no account to run in"):
        deploy(None, trained)
    with pytest.raises(UsageError, match="--spot is for Amazon's machines"):
        train(None, small_text, instance="local", spot=True)
    with pytest.raises(UsageError, match="--serverless"):
        deploy(None, trained, instance="local", serverless=True)


def test_a_dry_run_of_an_account_starts_nothing_here(trained: Path, small_text: Path) -> None:
    dry = DryRun(lambda shown: None, region=REGION)
    for start in (
        lambda: deploy(dry, trained, instance="local", name="dry"),
        lambda: train(dry, small_text, instance="local", name="dry", **SMALL),
    ):
        with pytest.raises(UsageError, match="a dry run of an account starts nothing on this machine"):
            start()
    assert not endpoints(None)
    assert not list_jobs(None)


@pytest.mark.parametrize(
    "choice", [{"role": "R"}, {"memory": 1024}, {"isolated": True}, {"price": 1.0}, {"bucket": "b"}]
)
def test_what_only_amazon_can_is_refused_here(trained: Path, choice: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="has no meaning on this machine"):
        deploy(None, trained, instance="local", name="here", **choice)
    assert endpoints(None) == []


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", 5, None])
def test_what_is_not_a_name(name: Any) -> None:
    for ask in (status, stop, logs, wait):
        with pytest.raises(UsageError) as refused:
            ask(None, name)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", ["", "x" * 300, "no such model"])
def test_what_is_not_a_model(model: str) -> None:
    with pytest.raises(CharloomError) as refused:
        deploy(None, model, instance="local")
    assert "\n" not in str(refused.value)


def test_a_model_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(CloudError, match=r"^nosuch: there is no such model directory"):
        deploy(None, "nosuch", instance="local")


@pytest.mark.parametrize("instance", ["bogus", "LOCAL", "ml.p3.2xlarge", "ml.trn1.2xlarge"])
def test_an_instance_type_is_looked_at_first(small_text: Path, trained: Path, instance: str) -> None:
    for start in (lambda: train(None, small_text, instance=instance), lambda: deploy(None, trained, instance=instance)):
        with pytest.raises(UsageError, match=instance):
            start()


def test_a_value_of_a_wrong_type_is_one_line(small_text: Path, tmp_path: Path) -> None:
    wrong: Any
    for wrong in (5, b"text", [small_text, 5]):
        with pytest.raises(UsageError, match="does not name a text"):
            train(None, wrong, instance="local")
        with pytest.raises(UsageError, match="does not name a text"):
            charloom.train(wrong, tmp_path / "model")
    for choice in ({"recipe": 5}, {"init_from": 5}):
        options: Any = choice
        with pytest.raises(UsageError, match="5 is not a path"):
            train(None, small_text, instance="local", **options)
        with pytest.raises(UsageError, match="5 is not a path"):
            charloom.train(small_text, tmp_path / "model", **options)
    with pytest.raises(UsageError, match="5 is not a path"):
        charloom.load(wrong := 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="last = '3'"):
        logs(None, "name", last="3")  # type: ignore[arg-type]


def test_a_corpus_without_a_name_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="a text has an empty name"):
        train(None, "", instance="local")


def test_settings_of_another_kind() -> None:
    with pytest.raises(UsageError, match="give the settings as EndpointSettings"):
        deploy(None, "m", {"instance": "local"})  # type: ignore[arg-type]
