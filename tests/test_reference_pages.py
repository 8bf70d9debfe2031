"""The reference pages say what the code says, and no option has gone or come unnoticed."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

import charloom
from charloom.cli.main import COMMANDS
from charloom.serving.settings import ServeSettings
from reference.pages import PAGES, option_names
from reference.python_summary import used_types

ROOT = Path(__file__).resolve().parents[1]


def difference(committed: str, made: str) -> str:
    lines = difflib.unified_diff(committed.splitlines(), made.splitlines(), "committed", "made from the code", n=0)
    return "\n".join(list(lines)[:40])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    file, made = ROOT / "docs" / "reference" / name, PAGES[name]()
    committed = file.read_text("utf-8")
    assert made == committed, f"run scripts/reference\n{difference(committed, made)}"


def test_the_options_are_pinned() -> None:
    """What somebody's scripts may use. To change it on purpose: scripts/reference --pin."""
    committed, made = (ROOT / "tests" / "cli" / "options.txt").read_text("utf-8"), option_names()
    assert made == committed, f"meant? then run scripts/reference --pin\n{difference(committed, made)}"


def test_nothing_is_left_out() -> None:
    """The pages hold what is looked up here in other ways than they were made."""
    pages = {name: (ROOT / "docs" / "reference" / name).read_text("utf-8") for name in PAGES}
    for command in COMMANDS:
        assert f"`{command}`" in pages["command-line.md"]
    for name in charloom.__all__:
        assert f"### charloom.{name}\n" in pages["python.md"]
        assert f"- [`charloom.{name}`](python.md" in pages["python-summary.md"]
    for name in ServeSettings.model_fields:
        assert f"| `{name}` |" in pages["settings.md"]
        assert f"`--{name.replace('_', '-')}`" in pages["command-line.md"]
    assert "charloom_request_success_total" in pages["metrics.md"]
    assert "`POST /invocations`" in pages["http-api.md"]


def test_the_summary_leads_to_descriptions_and_names_no_type_without_one() -> None:
    summary = (ROOT / "docs" / "reference" / "python-summary.md").read_text("utf-8")
    whole = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    heads = {re.sub(r"[^\w-]", "", head.lower()) for head in re.findall(r"^#{3,4} (.+)$", whole, re.M)}
    anchors = re.findall(r"\]\(python\.md#([^)]+)\)", summary)
    assert set(anchors) == heads - {"charloom__version__"}
    assert len(anchors) == len(set(anchors))
    assert summary.count("](python.md)") == 4, "the page itself, the version, and two classes of a function's name"
    assert "- [`Model.generate`](python.md#modelgenerate) `(prompt: str = ''" in summary.replace("    - ", "- ")
    described = set(re.findall(r"^ *- \[?`(?:[\w.]+\.)?(\w+)`", summary, re.M))
    assert used_types(summary) <= described
    assert "- `Masks`: `str | Sequence[str]` A regular expression, or several." in summary


def test_what_a_page_says_of_an_option() -> None:
    """One row of each kind, as a person would write it."""
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert "| `--output`, `-o` | path | required | The model directory to write. |" in text
    assert "| `--cell` | `rnn`, `lstm`, `gru`" in text
    assert "| `--window-dropout`, `--no-window-dropout` | flag | `true` |" in text
    assert "| `--top-p` | number, above 0 to 1 | `1` |" in text
    assert "| `--steps` | whole number, from 1 to 2^40 |  |" in text
    assert "--empty" not in text
