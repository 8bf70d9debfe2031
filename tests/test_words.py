"""The list of words not to write, and where it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import words


def test_the_list_is_read() -> None:
    listed = words.listed_words()
    assert listed["stands"] == "is"
    assert listed["keeps back"] == "held out"


def test_of_a_test_names_docstrings_and_comments_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = '''"""A gnu."""
def test_a_gnu_here(gnu_1, x="a gnu"):
    """Two
    gnus, a gnu."""
    x = [  # gnu
        "gnu", f"gnu {x}",
    ]
    return "gnu", signum, "bad luck"  # bad
class BadLuck: ...
def bad_luck(): ...
'''
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(program)
    monkeypatch.setattr(words, "ROOT", tmp_path)
    found = words.found_words({"gnu": "antelope", "bad luck": "chance"})
    assert [(line.split(":")[1], line.split("'")[1]) for line in found] == [
        ("1", "gnu"),
        ("2", "gnu"),
        ("2", "gnu"),
        ("4", "gnu"),
        ("5", "gnu"),
        ("10", "bad luck"),
    ]
