"""Variables of the environment whose names are nearly those that charloom reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import charloom as package
from charloom.cli.variables import READ
from charloom.serving.settings import PREFIX, variables
from tests.cli.conftest import Charloom


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CHARLOOM_SERV_MAX_ROWS", "CHARLOOM_SERVE_MAX_ROWS"),
        ("charloom_serve_port", "CHARLOOM_SERVE_PORT"),
        ("CHARLOOM_SERVER_API_KEY", "CHARLOOM_SERVE_API_KEY"),
        ("CHARLOOM_CACHES", "CHARLOOM_CACHE"),
        ("CHARLOOM_SAGEMAKERROLE", "CHARLOOM_SAGEMAKER_ROLE"),
    ],
)
def test_a_misspelt_variable_is_said(charloom: Charloom, monkeypatch: pytest.MonkeyPatch, name: str, near: str) -> None:
    monkeypatch.setenv(name, "1")
    ran = charloom("corpus", "list", "--json")
    assert ran.status == 0
    assert ran.err == f"warning: the variable {name} in the environment is not read; did you mean {near}?\n"
    assert charloom("corpus", "list", "--json", "--quiet") == type(ran)(0, ran.out, "")


def test_other_variables_are_none_of_our_business(charloom: Charloom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*READ - {"CHARLOOM_KERNEL"}, *variables(), "CHARLOOM_API_KEY", "CHARLOOM_MODEL", "CHARLOOM_"):
        monkeypatch.setenv(name, "1")
    assert charloom("corpus", "list").err == ""


def test_all_variables_are_known() -> None:
    """What the code names is in the list, and the other way round; the build reads CHARLOOM_KERNELS."""
    code = "".join(path.read_text("utf-8") for path in Path(package.__file__).parent.rglob("*.py"))
    named = set(re.findall(r"\bCHARLOOM_[A-Z_]*[A-Z]\b", code))
    assert {name for name in named if not name.startswith(PREFIX)} == READ
    assert {name for name in named if name.startswith(PREFIX)} <= {*variables()}
