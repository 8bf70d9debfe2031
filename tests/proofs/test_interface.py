"""Thousands of requests made from `/openapi.json`, valid and not: answers are as described, and none is a 5xx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.proofs.running import Running, running

CASES = 200
"""Of each operation, and of those with a body as many again that break the description."""

CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "log"
    with running(trained, "--max-tokens", 200, "--quiet", log=log) as found:
        yield found
    assert "Traceback" not in log.read_text("utf-8")


def busy(response: Any) -> bool:
    """The one 5xx that is documented."""
    return response.status_code == 503 and "retry-after" in response.headers


def ask_much(operation: Any, mode: GenerationMode, session: requests.Session, counts: Counter[int]) -> None:
    @seed(1)
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        response = case.call(session=session, timeout=60)
        counts[response.status_code] += 1
        if not busy(response):
            case.validate_response(response, checks=CHECKS)

    ask()


def test_every_operation(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    counts: dict[str, Counter[int]] = {}
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # ours are all valid
            counts[operation.label] = Counter()
            for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:
                ask_much(operation, mode, session, counts[operation.label])
    with capsys.disabled():
        print({label: dict(statuses) for label, statuses in counts.items()})  # noqa: T201
    assert sum(map(Counter.total, counts.values())) >= 2000
    assert counts["POST /v1/completions"][200] >= 20
    assert server.idle()
