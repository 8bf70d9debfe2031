"""A text long enough for 64 rows."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

import pytest


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 100,000 characters of English prose; the article's cleaning leaves most of them."""
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text("\n".join(topics[name] for name in sorted(topics))[:100_000], "utf-8")
    return path
