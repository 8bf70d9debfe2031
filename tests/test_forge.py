"""What a public forge reads: workflows, issue templates, addresses, the citation. None of it has run there yet."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from charloom.version import __version__

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(set((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"})


def read(path: Path) -> dict[Any, Any]:
    data = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(data, dict)
    return data


def project() -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return data


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow_for_tests_for_the_site_and_for_a_release() -> None:
    assert {path.stem for path in WORKFLOWS} == {"tests", "docs", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_bounded_and_calls_what_is_there(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}, "a job that needs more says so itself"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert set(job.get("permissions", {})) <= {"pages", "id-token"}
        needed = job.get("needs")
        assert needed is None or needed in workflow["jobs"]
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./-]+", step.get("uses", "a/b@v1"))
        for script in re.findall(r"\bscripts/\w+", step.get("run", "")):
            assert (ROOT / script).is_file()


def test_every_python_that_the_package_names_is_tested_on_every_system() -> None:
    matrix = read(ROOT / ".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    named = [line.rpartition(" ")[2] for line in project()["classifiers"] if ":: Python :: 3." in line]
    assert matrix["python"] == named
    assert [system.partition("-")[0] for system in matrix["system"]] == ["ubuntu", "macos", "windows"]


def test_a_release_is_uploaded_without_a_password() -> None:
    workflow = read(ROOT / ".github/workflows/release.yml")
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text("utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field["id"] for field in form["body"]]
    assert len(set(fields)) == len(fields) >= 2
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"], citation["abstract"]) == (
        __version__,
        project()["license"],
        project()["description"],
    )


def test_all_pages_name_one_address() -> None:
    (address,) = {re.sub(r"(?<=/charloom)(/.*)?$", "", url) for url in project()["urls"].values()}
    assert read(ROOT / "CITATION.cff")["repository-code"] == address
    pages = [ROOT / name for name in ("README.md", "SECURITY.md", "docs/how-to/install.md")]
    for page in [*pages, *(ROOT / ".github").rglob("*.yml")]:
        found = set(re.findall(r"https://github\.com/[\w-]+/charloom\b", page.read_text("utf-8")))
        assert found <= {address}, page
        assert found or page.parent.name in ("workflows", "ISSUE_TEMPLATE")


def test_the_readme_begins_on_an_empty_machine() -> None:
    """The first block fetches the project and ends in its environment; Windows needs no sh."""
    text = (ROOT / "README.md").read_text("utf-8")
    first = re.findall(r"^```\w+\n(.*?)^```", text, re.M | re.S)[0]
    assert first.startswith("git clone https://")
    assert "scripts/quickstart" in first
    windows = re.search(r"On Windows, in PowerShell.*?```text\n(.*?)^```", text, re.M | re.S)
    assert windows is not None
    assert "scripts/" not in windows[1]
    assert "charloom quickstart" in windows[1]
