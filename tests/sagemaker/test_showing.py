"""In a notebook: the price is said before anything is paid for, and what happens is readable."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from charloom.cli.main import main
from charloom.events import LogLine, TransferProgress
from charloom.sagemaker import attach, deploy, show, train, wait
from charloom.sagemaker.aws import Account
from charloom.sagemaker.hosting import states
from tests.training.test_progress_shown import FakeTerminal

from .fake_amazon import FakeAmazon
from .test_deploying import DATA, remains
from .test_training_jobs import LOG, ROLE, artifact, aws, source  # noqa: F401


def test_a_job_and_an_endpoint_are_reported_in_lines(
    aws: Account, fake: FakeAmazon, small_text: Path, artifact: Path, tmp_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("charloom.sagemaker.jobs.follow.time.sleep", lambda seconds: None)
    monkeypatch.setattr(states, "POLL", 0)
    fake.put(DATA, b"archive")
    fake.next_job(logs=LOG, artifact=artifact)
    job = train(aws, small_text, name="job", role=ROLE, epochs=1, price=0.5, notify=show)
    assert "0.5 USD an hour" in capsys.readouterr().out
    wait(aws, job.name, notify=show)
    attach(aws, job.name, tmp_path / "model", notify=show)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in LOG] == LOG
    assert any(line.startswith("job Completed") for line in lines)
    deploy(aws, DATA, name="mine", role=ROLE, image="registry/image:1", price=0.25, notify=show)
    lines = capsys.readouterr().out.splitlines()
    assert "0.25 USD an hour, 182.50 USD a month" in lines[0]
    assert "mine InService" in lines


def test_on_a_terminal_the_price_is_said_where_no_one_listens(
    aws: Account, fake: FakeAmazon, small_text: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
) -> None:  # fmt: skip
    """Before anything is sent; with a listener, or off a terminal, nothing is shown."""
    monkeypatch.setattr(states, "POLL", 0)
    fake.put(DATA, b"archive")

    def start(**options: Any) -> None:
        train(aws, small_text, name="job", role=ROLE, epochs=1, price=0.5, **options)

    def serve(**options: Any) -> None:
        deploy(aws, DATA, name="mine", role=ROLE, image="registry/image:1", price=0.25, **options)

    made: list[list[str]] = []

    class Terminal(FakeTerminal):
        def write(self, text: str) -> int:
            if "USD an hour" in text:
                made.append([name for name in fake.operations() if name.startswith(("Create", "Put"))])
            return super().write(text)

    for act, price in ((start, "0.5 USD an hour"), (serve, "0.25 USD an hour, 182.50 USD a month")):
        fake.calls.clear()
        made.clear()
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        act()
        assert price in terminal.getvalue()
        assert made == [[]], "nothing was sent before"
        assert any(name.startswith("Create") for name in fake.operations())
    (shown,) = re.findall(r"when you are done: charloom (sagemaker delete mine .*)", terminal.getvalue())
    monkeypatch.setattr(sys, "stderr", listened := FakeTerminal())
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(shown))
    assert ended.value.code == 0
    assert remains(fake) == []
    serve(notify=lambda event: None)
    assert "USD" not in listened.getvalue()


def test_what_could_steer_a_terminal_is_not_shown_raw(capsys: pytest.CaptureFixture[str]) -> None:
    show(LogLine("a\x1b[2Jb"))
    show(TransferProgress("model.tar.gz", 5, 10))
    assert "\x1b" not in capsys.readouterr().out
