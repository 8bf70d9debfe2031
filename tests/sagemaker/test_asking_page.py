"""docs/how-to/ask-an-endpoint.md: its commands and its Python run as written, against our real server."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.cli.conftest import Charloom
from tests.test_documents import ROOT, blocks

from .fake_amazon import FakeAmazon

PAGE = ROOT / "docs" / "how-to" / "ask-an-endpoint.md"


@pytest.fixture
def endpoints(fake: FakeAmazon, server: str, monkeypatch: pytest.MonkeyPatch) -> FakeAmazon:
    """What the page speaks of."""
    monkeypatch.setattr("charloom.sagemaker.invocation._PAUSES", (0.05,))
    monkeypatch.setattr("charloom.sagemaker.batch_transform.POLL", 0.0)
    fake.connect_endpoint("shakespeare", server)
    fake.connect_endpoint("night-shift", server, async_output="s3://my-bucket/answers")
    fake.connect_model("shakespeare", server)
    (lines,) = blocks(PAGE, "json")
    fake.put("s3://my-bucket/lines/a.jsonl", lines.encode())
    return fake


@pytest.mark.slow
@pytest.mark.parametrize("language", ["sh", "sh async", "sh batch"])
def test_its_commands(endpoints: FakeAmazon, cli: Charloom, language: str) -> None:
    (block,) = blocks(PAGE, language)
    for command in block.splitlines():
        words = shlex.split(command)[1:]
        ran = cli(*words)
        assert ran.status == 0, f"{command}\n{ran.err}"
        assert ran.out.strip()
        endpoints.calls.clear()
        ran = cli(*words, "--dry-run", "--json")
        assert ran.status == 0, f"{command}\n{ran.err}"
        assert all("operation" in json.loads(line) for line in ran.out.splitlines())
        assert endpoints.calls == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python charloom", "python boto3"])
def test_its_python(endpoints: FakeAmazon, language: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(PAGE, language)
    exec(compile(code, PAGE.name, "exec"), {})
    shown = capsys.readouterr().out
    assert len(shown) > 400
    assert ("[DONE]" in shown) == ("boto3" in language)
    assert endpoints.operations("sagemaker-runtime")[:2] == ["InvokeEndpoint", "InvokeEndpointWithResponseStream"]
