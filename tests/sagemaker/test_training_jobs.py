"""Jobs from their start to their model, against the pretended Amazon: those that end well and those that do not."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.errors import CloudError, CorpusError, ModelDirectoryError, UsageError
from charloom.events import Event, LogLine, Notice, StatusChanged
from charloom.sagemaker import attach, connect, logs, status, stop, train, upload, wait
from charloom.sagemaker.aws import Account
from charloom.sagemaker.cloudwatch import Log, follow_log, plain
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import objects_under
from charloom.sagemaker.source_dir import pack_source
from charloom.text.prepared import PreparedCorpus

from .fake_amazon import FakeAmazon
from .fake_training import GROUP
from .validation import assert_valid

ROLE = "arn:aws:iam::123456789012:role/R"
NOW = round(time.time() * 1000) - 60_000
LOG = ["reading", "step 4 · epoch 0.33 · train 4.462 · validation 4.4310 nats = 6.393 bits/char", "saved"]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def aws(fake: FakeAmazon, source: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account; the code is packed once for all tests."""
    monkeypatch.setattr(
        "charloom.sagemaker.jobs.start.pack_source", lambda folder: shutil.copy(source, folder / source.name)
    )
    return connect()


@pytest.fixture(scope="session")
def artifact(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a job leaves: a model's files and code beside them."""
    path = tmp_path_factory.mktemp("artifact") / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(trained.iterdir()):
            if file.is_file():
                archive.add(file, file.name)
    return path


def started(aws: Account, text: Path, name: str = "job", **options: Any) -> str:
    return train(aws, text, name=name, role=ROLE, epochs=1, **options).name


def messages(events: list[Event], kind: type[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, kind) and isinstance(event, Notice | LogLine)]


def test_a_corpus_goes_up_once_and_is_a_whole_one_there(fake: FakeAmazon, small_text: Path, tmp_path: Path) -> None:
    aws = connect()
    done = upload(aws, small_text, clean=["lowercase"], folder=tmp_path / "kept")
    assert done.uri.startswith("s3://sagemaker-eu-west-1-123456789012/charloom/corpora/small-")
    assert (done.files, done.uploaded, done.skipped) == (3, 3, 0)
    assert done.first == small_text.read_text("utf-8")[:250].lower()
    assert done.example["input"] == done.first[:20]
    assert done.example["target_ids"][:-1] == done.example["input_ids"][1:]
    place = S3Uri.parse(done.uri)
    put = [call.request["Key"] for call in fake.calls if call.operation == "PutObject"]
    assert put[-1].endswith("/corpus.json"), "what makes it a corpus comes last"
    for uri in objects_under(aws, place):
        (tmp_path / "there").mkdir(exist_ok=True)
        (tmp_path / "there" / uri.key.rpartition("/")[2]).write_bytes(fake.get(str(uri)))
    prepared = PreparedCorpus(tmp_path / "there")
    prepared.verify()
    assert (prepared.record.sha256, prepared.vocabulary.size) == (done.sha256, done.vocab_size)
    again = upload(aws, tmp_path / "kept")
    assert (again.uri, again.uploaded, again.skipped) == (done.uri, 0, 3)
    other = upload(aws, small_text, vocabulary="bytes", prefix="/mine/")
    assert other.uri.startswith("s3://sagemaker-eu-west-1-123456789012/mine/small-")
    assert other.vocab_size == 256
    with pytest.raises(CorpusError):
        upload(aws, tmp_path / "nothing")
    with pytest.raises(UsageError, match="name a corpus"):
        upload(aws, [])
    with pytest.raises(UsageError, match="was prepared with"):
        upload(aws, tmp_path / "kept", clean=["nfc"])


def test_a_job_starts_is_followed_and_leaves_a_model(
    fake: FakeAmazon, aws: Account, small_text: Path, trained: Path, artifact: Path, tmp_path: Path
) -> None:
    fake.next_job(logs=LOG, artifact=artifact, metrics={"validation:loss": 4.431})
    events: list[Event] = []
    asked: dict[str, Any] = {"cell": "gru", "clean": ["nfc"], "spot": True, "instance": "ml.g5.xlarge", "price": 2.0}
    job = train(aws, small_text, name="job", role="R", epochs=2, **asked, notify=events.append)
    (request,) = fake.requests("CreateTrainingJob")
    assert_valid("sagemaker", "create_training_job", request)
    sent = {name: json.loads(value) for name, value in request["HyperParameters"].items()}
    assert {name: value for name, value in sent.items() if not name.startswith("sagemaker_")} == {
        "cell": "gru",
        "epochs": 2.0,
    }, "how the text was read stands in the prepared corpus"
    archive = tmp_path / "source.tar.gz"
    archive.write_bytes(fake.get(sent["sagemaker_submit_directory"]))
    with tarfile.open(archive) as source:
        assert {"train.py", "requirements.txt"} < set(source.getnames())
    assert (request["RoleArn"], job.most) == (ROLE, 2.0)
    assert "2.00 USD an hour each, about 2.00 USD in all at most" in messages(events, Notice)[0]
    assert status(aws, "job").status == "InProgress"
    ended = wait(aws, "job", every=0, price=2.0, notify=events.append)
    assert (ended.status, ended.seconds_billed, ended.metrics) == ("Completed", 27, {"validation:loss": 4.431})
    assert ended.price == pytest.approx(2.0 * 27 / 3600)
    assert messages(events, LogLine) == LOG
    states = [event.status for event in events if isinstance(event, StatusChanged)]
    assert states == ["Downloading", "Training", "Uploading", "Completed"]
    found = attach(aws, "job", tmp_path / "model", notify=events.append)
    assert found is not None
    assert found.job.artifact.endswith("/charloom/jobs/job/output/model.tar.gz")
    assert (found.path / "model.onnx").read_bytes() == (trained / "model.onnx").read_bytes()
    assert len(charloom.load(found.path).generate("The ", length=20, seed=1).text) == 20
    with pytest.raises(UsageError, match="already holds a model"):
        attach(aws, "job", tmp_path / "model")
    (tmp_path / "model" / "loss.svg").unlink()
    assert attach(aws, "job", tmp_path / "model", overwrite=True) is not None
    assert (tmp_path / "model" / "loss.svg").is_file()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_address_in_s3_and_channels_are_taken_as_they_are(
    fake: FakeAmazon, aws: Account, small_text: Path, trained: Path, tmp_path: Path
) -> None:
    fake.put("s3://texts/a/b.txt", b"text")
    job = train(aws, "s3://texts/a/", role=ROLE, clean=["nfc"], validation=str(small_text), init_from=trained)
    assert job.name.startswith("charloom-2")
    (request,) = fake.requests("CreateTrainingJob")
    assert json.loads(request["HyperParameters"]["clean"]) == "nfc"
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in request["InputDataConfig"]}
    assert channels["training"] == "s3://texts/a/"
    assert fake.get(f"{channels['validation']}small.txt") == small_text.read_bytes()
    assert fake.get(f"{channels['model']}config.json") == (trained / "config.json").read_bytes()
    for wrong, message in (("s3://texts/nothing", "there is nothing at"), ("s3://?", "no bucket's name")):
        with pytest.raises((CloudError, UsageError), match=message):
            train(aws, wrong, role=ROLE)
    with pytest.raises(UsageError, match="must be named alone"):
        train(aws, ["s3://texts/a", small_text], role=ROLE)
    assert len(fake.requests("CreateTrainingJob")) == 1


def test_a_job_that_fails_says_why(fake: FakeAmazon, aws: Account, small_text: Path, tmp_path: Path) -> None:
    reason = "AlgorithmError: the text is one character,\nexit code: 1"
    fake.next_job(failure=reason, logs=[f"line {number}" for number in range(50)])
    started(aws, small_text)
    events: list[Event] = []
    with pytest.raises(
        CloudError, match="the job job failed: AlgorithmError: the text is one character, exit"
    ) as found:
        wait(aws, "job", follow=False, every=0, notify=events.append)
    assert (found.value.code, "\n" in str(found.value)) == ("JobFailed", False)
    assert messages(events, LogLine) == [f"line {number}" for number in range(30, 50)]
    with pytest.raises(CloudError, match="failed: AlgorithmError"):
        attach(aws, "job", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert status(aws, "job").failure_reason == " ".join(reason.split())


def test_stopping_is_idempotent(fake: FakeAmazon, aws: Account, small_text: Path, tmp_path: Path) -> None:
    fake.next_job(["Starting", "Training"])
    started(aws, small_text)
    with pytest.raises(UsageError, match="still runs"):
        attach(aws, "job", tmp_path / "model", waiting=False)
    assert stop(aws, "job")
    assert not stop(aws, "job")  # it is stopping
    ended = wait(aws, "job", every=0)
    assert ended.status == "Stopped"
    assert not stop(aws, "job")
    with pytest.raises(CloudError, match=r"model\.tar\.gz is not there"):
        attach(aws, "job", tmp_path / "model")
    for function in (status, stop, lambda aws, name: attach(aws, name, tmp_path / "model")):
        with pytest.raises(CloudError, match="there is no job nothing in eu-west-1"):
            function(aws, "nothing")
        with pytest.raises(UsageError, match="single hyphens"):
            function(aws, "a--")


def test_a_hostile_archive_is_refused_and_what_stood_there_stays(
    fake: FakeAmazon, aws: Account, small_text: Path, trained: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "hostile.tar.gz"
    with tarfile.open(hostile, "w:gz") as archive:
        link = tarfile.TarInfo("config.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    fake.next_job(artifact=hostile)
    started(aws, small_text)
    wait(aws, "job", every=0)
    shutil.copytree(trained, tmp_path / "model")
    with pytest.raises(ModelDirectoryError, match="neither a file nor a folder"):
        attach(aws, "job", tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "config.json").read_bytes() == (trained / "config.json").read_bytes()
    with pytest.raises(ModelDirectoryError):
        attach(aws, "job", tmp_path / "new" / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar.gz", "model", "new"]
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").touch()
    with pytest.raises(UsageError, match="holds other files"):
        attach(aws, "job", tmp_path / "other", overwrite=True)


def test_what_amazon_refuses(fake: FakeAmazon, aws: Account, small_text: Path) -> None:
    started(aws, small_text)
    with pytest.raises(CloudError, match="there is a job job already"):
        started(aws, small_text)
    for code, message, expected in (
        ("ResourceLimitExceeded", "The account-level service limit 'ml.g5.xlarge' is 0 Instances", "a quota"),
        ("ValidationException", "Could not assume role arn:..., ensure that the role exists", "trust policy"),
        ("AccessDeniedException", "no identity-based policy", "not allowed: sagemaker:CreateTrainingJob"),
    ):
        fake.refuse("CreateTrainingJob", code, message)
        with pytest.raises(CloudError, match=expected):
            started(aws, small_text, "another")
    fake.refuse("HeadBucket", "403", status=403)
    with pytest.raises(CloudError, match="is not yours"):
        started(aws, small_text, "another")
    fake.refuse("CreateTrainingJob", "ThrottlingException", "Rate exceeded", times=3)
    assert started(aws, small_text, "another") == "another"
    fake.refuse("PutObject", "RequestTimeTooSkewed", "The difference is too large", status=403, times=None)
    with pytest.raises(CloudError, match="clock is wrong"):
        upload(aws, small_text, prefix="elsewhere")


def test_waiting_outlives_throttling_and_a_log_that_may_not_be_read(
    fake: FakeAmazon, aws: Account, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(aws, small_text)
    fake.refuse("DescribeTrainingJob", "ThrottlingException", "Rate exceeded", times=20)
    fake.refuse("FilterLogEvents", "AccessDeniedException", "no", times=1)
    events: list[Event] = []
    assert wait(aws, "job", every=0, notify=events.append).status == "Completed"
    notices = messages(events, Notice)
    assert [one[:26] for one in notices] == ["cannot ask for job just now"[:26], "the job's log cannot be re"]
    monkeypatch.setattr("charloom.sagemaker.waiting.PATIENCE", 0.01)
    fake.refuse("DescribeTrainingJob", "ThrottlingException", "Rate exceeded", times=None)
    with pytest.raises(CloudError, match="too many requests"):
        wait(aws, "job", every=0)


def test_lines_of_all_machines_in_order(fake: FakeAmazon, aws: Account, small_text: Path) -> None:
    started(aws, small_text)
    for second in range(3):
        for host in ("algo-1", "algo-2"):
            fake.write_log(GROUP, f"job/{host}-1700000000", [f"{host} {second}"], NOW + second * 1000)
    fake.write_log(GROUP, "job-2/algo-1-1", ["another's"], NOW)
    found = [(line.host, line.message) for line in logs(aws, "job")]
    assert sorted(found[:2]) == [("algo-1", "algo-1 0"), ("algo-2", "algo-2 0")]
    assert [message[-1] for _, message in found] == ["0", "0", "1", "1", "2", "2"]
    assert [line.message[-1] for line in logs(aws, "job", last=2)] == ["2", "2"]
    log = Log(aws, GROUP, "job/")
    assert len(list(log.new_lines())) == 6
    fake.write_log(GROUP, "job/algo-2-1700000000", ["late"], NOW + 1500)
    assert [line.message for line in log.new_lines()] == ["late"]
    assert list(log.new_lines()) == []


def test_a_log_is_followed_to_the_jobs_end(fake: FakeAmazon, aws: Account, small_text: Path) -> None:
    fake.next_job(logs=LOG)
    started(aws, small_text)
    assert [line.message for line in follow_log(aws, "job", every=0)] == LOG


def test_an_endpoints_log_is_read_by_the_same_command(fake: FakeAmazon, aws: Account) -> None:
    fake.write_log("/aws/sagemaker/Endpoints/mine", "AllTraffic/i-1", ["no model\x1b[2J\n", "10%\r20%"], NOW)
    assert [(line.host, line.message) for line in logs(aws, "mine")] == [("i-1", "no model\ufffd[2J"), ("i-1", "20%")]
    with pytest.raises(CloudError, match="there is no job or endpoint other in eu-west-1"):
        list(logs(aws, "other"))
    with pytest.raises(UsageError, match="last = 0"):
        list(logs(aws, "mine", last=0))
    assert len(plain("x" * 10_000)) == 4096
