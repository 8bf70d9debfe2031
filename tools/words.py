"""Find words for which the field has a better one: `python -m words`. CONTRIBUTING.md has the table of them.

Of tests, names, docstrings and comments are read: their other texts are data.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "CONTRIBUTING.md"
READ = (
    "src/**/*.py",
    "src/**/*.js",
    "src/**/*.html",
    "src/**/*.yaml",
    "docs/**/*.md",
    "README.md",
    "CHANGELOG.md",
    "tools/**/*.py",
    "benchmarks/**/*.py",
    "tests/**/*.py",
)
_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)  # commands, and what models write
_STATEMENT_ENDS = (tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_QUOTE = re.compile(r"^ *>.*$", re.M)


def listed_words() -> dict[str, str]:
    """The words not to write, each with the better one."""
    section = LIST.read_text("utf-8").partition("\n## Words\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.M)[1:]
    return {word.strip(): better for words, better in rows for word in words.split(",")}


def found_words(words: dict[str, str]) -> list[str]:
    """A line for each place where one of the words is."""
    listed = "|".join(word.replace(" ", r"[\s_]+") for word in words)
    pattern = re.compile(rf"(?<![^\W_])(?:{listed})(?![^\W_])", re.I)  # an underscore separates words
    found = []
    for path in _files():
        text = path.read_text("utf-8")
        if path.suffix == ".md":
            text = _QUOTE.sub("", _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text))
        elif path.is_relative_to(ROOT / "tests"):
            text = _without_data(text)
        for match in pattern.finditer(text):
            word, line = " ".join(match[0].lower().replace("_", " ").split()), text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {word!r}: write {words[word]}")
    return found


def _without_data(program: str) -> str:
    """The names, docstrings and comments of a program in Python, each in its line."""
    lines = [""] * (program.count("\n") + 2)
    before = tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        is_docstring = token.type == tokenize.STRING and before in _STATEMENT_ENDS
        if is_docstring or token.type in (tokenize.NAME, tokenize.COMMENT):
            for number, part in enumerate(token.string.split("\n"), start=token.start[0] - 1):
                lines[number] += f" {part}"
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type
    return "\n".join(lines)


def _files() -> list[Path]:
    return sorted(path for pattern in READ for path in ROOT.glob(pattern) if "assets" not in path.parts)


def main() -> int:
    """Print what was found."""
    found = found_words(listed_words())
    print("\n".join(found) if found else "words: plain")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
