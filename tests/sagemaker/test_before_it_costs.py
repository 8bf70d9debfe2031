"""What is asked, and what is refused, before anything is paid for: at the level of commands."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import pytest

import charloom.sagemaker
from charloom.events import Event, Notice
from charloom.sagemaker.hosting import states
from tests.cli.conftest import Charloom, one_line

from .fake_amazon import FakeAmazon
from .test_training_jobs import ROLE, source  # noqa: F401

PAID = {"CreateTrainingJob", "CreateTransformJob", "CreateEndpoint", "CreateModel", "CreateEndpointConfig"}
MODEL = "s3://texts/model.tar.gz"
TRAIN = ("sagemaker", "train", "s3://texts/a/", "--steps", "4")
DEPLOY = ("sagemaker", "deploy", MODEL, "--name", "mine")
TRANSFORM = ("sagemaker", "transform", "ours", "--input", "s3://texts/a/", "--output", "s3://texts/out")


@pytest.fixture
def there(fake: FakeAmazon, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAmazon:  # noqa: F811
    """An account with a text, an archive and a model; nothing is waited for."""
    for module in ("jobs.follow", "cloudwatch"):
        monkeypatch.setattr(f"charloom.sagemaker.{module}.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr("charloom.sagemaker.batch_transform.POLL", 0.0)
    monkeypatch.setattr(states, "POLL", 0)
    monkeypatch.setattr(
        "charloom.sagemaker.jobs.start.pack_source", lambda folder: shutil.copy(source, folder / source.name)
    )
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHARLOOM_SAGEMAKER_ROLE", ROLE)
    fake.put("s3://texts/a/a.txt", b"a text")
    fake.put(MODEL, b"\x1f\x8b archive")
    fake.connect_model("ours", "http://127.0.0.1:9")
    return fake


def paid(fake: FakeAmazon) -> list[str]:
    return [one for one in fake.operations("sagemaker") if one in PAID]


class Terminal:
    """A terminal at which the next line was typed."""

    encoding = "utf-8"

    def __init__(self, typed: str) -> None:
        self.typed, self.shown = typed, ""

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.typed

    def write(self, text: str) -> int:
        self.shown += text
        return len(text)

    def flush(self) -> None:
        pass


BIG = ("--instance", "ml.p5.48xlarge", "--instances", "16", "--max-runtime", "28d")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ((*TRAIN, *BIG), "16 × ml.p5.48xlarge in eu-west-1: price unknown"),
        ((*TRAIN, *BIG, "--price", "100"), "about 1,075,200.00 USD in all at most"),
        ((*TRAIN, "--price", "5.01"), "about 5.01 USD in all at most"),
        ((*TRAIN, "--price", "0.01", "--instance", "ml.m99.large"), "about 0.01 USD in all at most"),
        (DEPLOY, "price unknown"),
        ((*DEPLOY, "--price", "0.01"), "0.01 USD an hour, 7.30 USD a month"),
        ((*DEPLOY, "--serverless"), "billed by request"),
        (TRANSFORM, "price unknown"),
        ((*TRANSFORM, "--price", "0.01"), "0.01 USD an hour"),
    ],
)
def test_what_can_cost_much_or_an_unknown_amount_is_asked_about(
    cli: Charloom, there: FakeAmazon, command: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = paid(there)
    for options in ((), ("--quiet",), ("--json",)):
        refused = cli(*command, *options)
        last = refused.err.splitlines()[-1]
        assert (refused.status, message in last, "give --yes" in last) == (2, True, True), refused.err
    assert paid(there) == before
    with monkeypatch.context() as patched:
        terminal = Terminal("n\n")
        patched.setattr("sys.stdin", terminal)
        patched.setattr("sys.stderr", terminal)
        assert cli(*command, "--quiet").status == 1
    assert message in terminal.shown
    assert terminal.shown.endswith(" [y/N] ")
    assert paid(there) == before
    assert cli(*command, "--dry-run").status == 0, "a dry run costs nothing"
    assert paid(there) == before


def test_yes_starts_it(cli: Charloom, there: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> None:
    there.next_job(["Training"])
    assert cli(*TRAIN, *BIG, "--no-wait", "--yes").status == 0
    with monkeypatch.context() as patched:
        terminal = Terminal("y\n")
        patched.setattr("sys.stdin", terminal)
        patched.setattr("sys.stderr", terminal)
        there.next_job(["Training"])
        assert cli(*TRAIN, "--price", "100", "--no-wait").status == 0
    assert paid(there).count("CreateTrainingJob") == 2


def test_a_job_that_costs_little_is_not_asked_about(cli: Charloom, there: FakeAmazon) -> None:
    there.next_job(["Training"])
    started = cli(*TRAIN, "--price", "2.5", "--max-runtime", "2h", "--spot", "--no-wait", "--json")
    assert (started.status, started.json["most"]) == (0, 5.0)
    assert "2.50 USD an hour each, about 5.00 USD in all at most (SageMaker stops it after 2 h" in started.err
    assert "spot instances cost less" in started.err


def test_python_does_not_ask_and_says_the_price(there: FakeAmazon) -> None:
    events: list[Event] = []
    there.next_job(["Training"])
    aws = charloom.sagemaker.connect()
    charloom.sagemaker.train(aws, "s3://texts/a/", steps=4, instance="ml.g5.xlarge", price=9, notify=events.append)
    charloom.sagemaker.deploy(aws, MODEL, name="mine", price=0.25, notify=events.append)
    charloom.sagemaker.transform(
        aws, "ours", "s3://texts/a/", "s3://texts/out", price=0.5, wait=False, notify=events.append
    )
    notices = "\n".join(event.message for event in events if isinstance(event, Notice))
    for price in ("about 9.00 USD in all at most", "0.25 USD an hour, 182.50 USD a month", "0.5 USD an hour, from"):
        assert price in notices


@pytest.mark.parametrize(
    ("command", "instance", "message"),
    [
        (DEPLOY, "ml.c7g.large", "has an Arm processor (Graviton)"),
        (DEPLOY, "ml.m6gd.xlarge", "or give an image for arm64 with --image"),
        (DEPLOY, "ml.r8g.2xlarge", "has an Arm processor"),
        (DEPLOY, "ml.p6e-gb200.36xlarge", "has an Arm processor"),
        (DEPLOY, "ml.t3.medium", "ml.t3.medium is for training, not for endpoints: take ml.t2.medium"),
        (TRAIN, "ml.c7g.xlarge", "for endpoints, not for training"),
        (TRAIN, "ml.c5.large", "for endpoints, not for training: take ml.c5.xlarge"),
        (TRANSFORM, "ml.c7g.large", "for endpoints, not for batch transform"),
        (TRANSFORM, "ml.t3.medium", "for training, not for batch transform"),
    ],
)
def test_instances_that_cannot_do_it_are_refused(
    cli: Charloom, there: FakeAmazon, command: tuple[str, ...], instance: str, message: str
) -> None:
    before = there.operations()
    for options in ((), ("--dry-run", "--quiet")):
        refused = cli(*command, "--instance", instance, "--yes", *options)
        assert (refused.status, message in one_line(refused)) == (2, True), refused.err
    assert there.operations() == before


def test_every_arm_instance_of_sagemakers_is_known() -> None:
    """By the families' names in the service's own description: a g after the generation, or a Grace processor."""
    shapes = botocore.session.get_session().get_service_model("sagemaker")
    kinds = shapes.shape_for("ProductionVariantInstanceType").enum
    families = {kind.split(".")[1] for kind in kinds if charloom.sagemaker.instances.has_arm(kind)}
    assert families >= {"c6g", "c6gd", "c6gn", "c7g", "c8g", "m6g", "m6gd", "m8g", "r6g", "r6gd", "r7gd", "r8g"}
    assert not families & {"g4dn", "g5", "g6", "g6e", "g7", "g7e", "c5", "m5d", "c7i", "p4de", "p6-b200", "inf2"}


def test_an_image_for_arm_may_be_given(cli: Charloom, there: FakeAmazon) -> None:
    ran = cli(*DEPLOY, "--instance", "ml.c7g.large", "--image", "registry/arm:1", "--dry-run")
    assert (ran.status, "registry/arm:1 must be built for arm64" in ran.err) == (0, True), ran.err


def test_an_instance_that_the_list_does_not_have_is_warned_about_and_asked(cli: Charloom, there: FakeAmazon) -> None:
    for command in (TRAIN, DEPLOY, TRANSFORM):
        ran = cli(*command, "--instance", "ml.m5.lagre", "--price", "0.1")
        assert ran.status == 2
        assert "did you mean ml.m5.large?" in ran.err.splitlines()[-1]
    assert paid(there) == []


@pytest.mark.slow
def test_a_prepared_corpus_must_be_alone(cli: Charloom, there: FakeAmazon, small_text: Path) -> None:
    """Two uploads under one prefix, then the folder above them: the job would end at once, and be paid for."""
    first = cli("sagemaker", "upload", small_text, "--prefix", "article", "--json").json["uri"]
    above = first.rsplit("/", 2)[0] + "/"
    there.next_job(["Training"])
    assert cli("sagemaker", "train", above, "--yes", "--no-wait").status == 0, "one is found in the folder above"
    assert cli("sagemaker", "train", above.rstrip("/"), "--yes", "--no-wait").status == 0
    second = cli("sagemaker", "upload", small_text, "--clean", "lowercase", "--prefix", "article", "--json").json
    before = paid(there)
    refused = one_line(cli("sagemaker", "train", above, "--yes"))
    assert "2 prepared corpora; a job learns one: name " in refused
    assert first in refused
    assert second["uri"] in refused
    deep = cli("sagemaker", "train", above.rsplit("/", 2)[0] + "/", "--yes")
    assert (deep.status, "a job learns one" in deep.err) == (2, True)
    there.put(f"{first}notes.txt", b"beside it in its own folder: harmless")
    assert paid(there) == before
    assert cli("sagemaker", "train", first, "--yes", "--no-wait").status == 0
    there.put("s3://texts/mixed/own.txt", b"a text")
    for name in ("corpus.json", "ids.bin", "vocabulary.json"):
        there.put(f"s3://texts/mixed/corpus/{name}", there.get(f"{first}{name}"))
    assert "and not that alone" in one_line(cli("sagemaker", "train", "s3://texts/mixed/", "--yes"))
    there.put("s3://texts/own/corpus.json", b"a text of the user's that happens to have this name")
    there.put("s3://texts/own/b.txt", b"another")
    assert cli("sagemaker", "train", "s3://texts/own/", "--yes", "--no-wait").status == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://texts/in/a.jsonl", "is also how s3://texts/in/a.jsonl.bak begins"),
        ("s3://texts/in", "is also how s3://texts/in2/b.jsonl begins, which SageMaker would read as well: name"),
        ("s3://texts/nothing", "there is nothing at s3://texts/nothing"),
        ("s3://texts/empty/", "there is nothing at s3://texts/empty/"),
    ],
)
def test_an_address_that_catches_more_than_it_names_is_refused(
    cli: Charloom, there: FakeAmazon, address: str, message: str
) -> None:
    for key in ("in/a.jsonl", "in/a.jsonl.bak", "in2/b.jsonl", "empty/"):
        there.put(f"s3://texts/{key}", b"" if key.endswith("/") else b'{"prompt": "a"}')
    before = paid(there)
    transformed = cli("sagemaker", "transform", "ours", "--input", address, "--output", "s3://texts/o", "--yes")
    for ran in (transformed, cli("sagemaker", "train", address, "--yes")):
        assert message in one_line(ran)
    assert paid(there) == before


@pytest.mark.parametrize(
    ("place", "output"),
    [
        ("s3://texts/in/", "s3://texts/in/"),
        ("s3://texts/in/", "s3://texts/in"),
        ("s3://texts/in/", "s3://texts/in/answers"),
        ("s3://texts/in/a.jsonl", "s3://texts/in"),
        ("s3://texts/in/a", "s3://texts/in/a-answers/"),
        ("s3://texts/", "s3://texts/out"),
    ],
)
def test_answers_are_not_put_into_the_input(cli: Charloom, there: FakeAmazon, place: str, output: str) -> None:
    there.put("s3://texts/in/a.jsonl", b'{"prompt": "a"}')
    before = paid(there)
    ran = cli("sagemaker", "transform", "ours", "--input", place, "--output", output, "--yes")
    assert (ran.status, "the answers would lie in the input" in one_line(ran)) == (2, True), ran.err
    assert paid(there) == before


def test_a_dry_run_shows_what_is_looked_at_first(cli: Charloom, there: FakeAmazon) -> None:
    ran = cli(*TRAIN, "--dry-run", "--json", "--quiet")
    shown = [json.loads(line)["operation"] for line in ran.out.splitlines()]
    assert shown.index("ListObjectsV2") < shown.index("PutObject") < shown.index("CreateTrainingJob")


def _fetched(lines: list[str], folder: Path, container: object) -> None:
    """Instead of pip, which would need a network."""
    folder.mkdir()
    (folder / "numpy-2.0-py3-none-any.whl").write_bytes(b"a wheel")


def _packed(fake: FakeAmazon, tmp_path: Path) -> tuple[str, list[str], str]:
    """What the last model was made from: its address, its archive's names and its requirements."""
    address = fake.requests("CreateModel")[-1]["PrimaryContainer"]["ModelDataUrl"]
    (tmp_path / "got.tar.gz").write_bytes(fake.get(address))
    with tarfile.open(tmp_path / "got.tar.gz") as archive:
        requirements = archive.extractfile("code/requirements.txt")
        assert requirements is not None
        return address, archive.getnames(), requirements.read().decode()


@pytest.mark.slow
def test_an_endpoint_without_a_network_brings_its_packages(
    cli: Charloom, there: FakeAmazon, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's image installs requirements when it starts, which an isolated one cannot: wherever the model comes from."""
    assert cli("sagemaker", "package", trained, "-o", tmp_path / "plain.tar.gz", "--no-check").status == 0
    there.put("s3://texts/plain.tar.gz", tmp_path / "plain.tar.gz")
    monkeypatch.setattr("charloom.sagemaker.packaging.fetch_wheels", _fetched)
    isolated = ("--isolated", "--yes", "--region", "eu-west-1")
    addresses = set()
    for number, model in enumerate((trained, tmp_path / "plain.tar.gz", "s3://texts/plain.tar.gz")):
        ran = cli("sagemaker", "deploy", model, "--name", f"alone{number}", *isolated)
        assert ran.status == 0, ran.err
        address, names, requirements = _packed(there, tmp_path)
        assert "code/wheels/numpy-2.0-py3-none-any.whl" in names
        assert requirements.startswith("--no-index\n--find-links wheels\n")
        addresses.add(address)
    assert all("pytorch-inference" in one["PrimaryContainer"]["Image"] for one in there.requests("CreateModel")[1:])
    sent = len(there.requests("PutObject"))
    assert cli("sagemaker", "deploy", address, "--name", "again", *isolated).status == 0
    assert _packed(there, tmp_path)[0] == address, "one that has its packages is taken as it is"
    assert len(there.requests("PutObject")) == sent
    own = ("--image", "registry/charloom-serve:1")
    assert cli("sagemaker", "deploy", trained, "--name", "own", *own, *isolated).status == 0
    assert not [name for name in _packed(there, tmp_path)[1] if "wheels" in name], "that image has them"


@pytest.mark.slow
def test_packages_that_cannot_be_had_are_known_before_it_costs(
    cli: Charloom, there: FakeAmazon, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    before = paid(there)
    ran = cli("sagemaker", "deploy", trained, "--name", "alone", "--isolated", "--yes")
    assert (ran.status, "pip cannot download the packages" in ran.err) == (1, True), ran.err
    assert cli("sagemaker", "deploy", trained, "--isolated", "--dry-run").status == 0, "a dry run needs no network"
    assert paid(there) == before
