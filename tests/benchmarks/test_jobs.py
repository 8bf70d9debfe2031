"""The page that gathers the figures of the jobs: it has those of the other pages, and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import jobs


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pages, to be changed."""
    copy = tmp_path / "docs"
    shutil.copytree(jobs.DOCS, copy)
    monkeypatch.setattr(jobs, "DOCS", copy)
    return copy


def change(page: Path, old: str, new: str) -> None:
    text = page.read_text("utf-8")
    assert old in text
    page.write_text(text.replace(old, new), "utf-8")


def test_the_page_has_the_figures_of_the_other_pages() -> None:
    assert jobs.on_page(jobs.PAGE.read_text("utf-8")) == jobs.table(), "python benchmarks/jobs.py --write"


@pytest.mark.parametrize("job", jobs.JOBS, ids=lambda job: job.job)
def test_another_figure_there_is_another_here(docs: Path, job: jobs.Job) -> None:
    row, figures = job.row(), [job.ours.read(), job.other.read()]
    for source, figure in zip((job.ours, job.other), figures, strict=True):
        change(docs / source.page, figure, "0.1234")
        assert job.row() != row
        assert source.read() == "0.1234"
        change(docs / source.page, "0.1234", figure)


def test_the_better_figure_is_bold(docs: Path) -> None:
    name = next(job for job in jobs.JOBS if job.job == "tell the language of a name")
    ours, other = name.ours.read(), name.other.read()
    assert f"| **{ours}** | {other}, " in name.row()
    change(docs / name.ours.page, f"{ours} ({other})", "0.801 (0.901)")
    assert "| 0.801 | **0.901**, " in name.row()


def test_a_row_that_is_gone_is_an_error(docs: Path) -> None:
    change(docs / "how-to" / "find-odd-lines.md", "| BGL, the log itself learned |", "| BGL |")
    with pytest.raises(ValueError, match="has no row 'BGL, the log itself learned'"):
        jobs.table()
