"""Find words for which the field has a better one: `python -m words`. CONTRIBUTING.md has the table of them."""

from __future__ import annotations

import re
import sys
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
)
_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)  # commands, and what models write
_QUOTE = re.compile(r"^ *>.*$", re.M)


def listed_words() -> dict[str, str]:
    """The words not to write, each with the better one."""
    section = LIST.read_text("utf-8").partition("\n## Words\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.M)[1:]
    return {word.strip(): better for words, better in rows for word in words.split(",")}


def found_words(words: dict[str, str]) -> list[str]:
    """A line for each place where one of the words is."""
    pattern = re.compile(r"\b(" + "|".join(word.replace(" ", r"\s+") for word in words) + r")\b", re.I)
    found = []
    for path in _files():
        text = path.read_text("utf-8")
        if path.suffix == ".md":
            text = _QUOTE.sub("", _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text))
        for match in pattern.finditer(text):
            word, line = " ".join(match[0].lower().split()), text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {word!r}: write {words[word]}")
    return found


def _files() -> list[Path]:
    return sorted(path for pattern in READ for path in ROOT.glob(pattern) if "assets" not in path.parts)


def main() -> int:
    """Print what was found."""
    found = found_words(listed_words())
    print("\n".join(found) if found else "words: plain")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
