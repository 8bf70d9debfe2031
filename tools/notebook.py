"""Carry out the article's notebook and keep what it says: `scripts/notebook`, or `python tools/notebook.py`.

    python tools/notebook.py                     # in place, with a few minutes of training
    python tools/notebook.py --output FILE       # into another file

Environment variables reach the notebook: CHARLOOM_NOTEBOOK_CORPUS, _HIDDEN_SIZE and _EPOCHS.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FORMAT: Any = nbformat  # it has no types of its own
NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "the-article.ipynb"


def carried_out(notebook: Path, folder: Path, timeout: int = 3600) -> Any:
    """The notebook with what its cells say when they run in a folder, times left out.

    Raises:
        CellExecutionError: a cell fails.
    """
    content = FORMAT.read(notebook, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(content, timeout=timeout, resources=place, record_timing=False, coalesce_streams=True)
    client.execute()
    return content


def main(arguments: list[str] | None = None) -> None:
    """Run it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=NOTEBOOK, help="where to write it; in place if not given")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        content = carried_out(NOTEBOOK, Path(folder))
    FORMAT.write(content, given.output)


if __name__ == "__main__":
    main()
