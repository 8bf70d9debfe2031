"""Write docs/reference, or with --pin the list of options that a test holds."""

from __future__ import annotations

import sys
from pathlib import Path

from reference.pages import PAGES, option_names

_ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> None:
    """Write what was asked for, and say which pages changed."""
    if arguments == ["--pin"]:
        (_ROOT / "tests" / "cli" / "options.txt").write_text(option_names(), "utf-8")
        return
    for name, made in PAGES.items():
        file, text = _ROOT / "docs" / "reference" / name, made()
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
            sys.stderr.write(f"wrote docs/reference/{name}\n")


main(sys.argv[1:])
