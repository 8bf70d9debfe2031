"""Two gigabytes of text in bounded memory, measured by the benchmark. `scripts/prove` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def test_two_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("\n".join(topics[name] for name in sorted(topics)) + "\n", "utf-8")
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks/preparing.py", tmp_path / "source.txt"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    print(ran.stdout)  # noqa: T201
    figures = {
        name: [float(figure.replace(",", "")) for figure in rest.split()]
        for name, rest in re.findall(r"^(\S.*?)((?: +[\d.,]+){2,4})$", ran.stdout, re.M)
    }
    prepared, loop = figures["charloom corpus prepare"], figures["reference: dictionary loop, 20 MB in memory"]
    assert prepared[-2] >= 3 * loop[-2]  # MB/s, in the same run
    assert prepared[-1] < 500  # MB resident
    assert next(rest[-1] for name, rest in figures.items() if name.startswith("an epoch's windows")) < 500
    assert figures["charloom train, 200 steps"][-1] < 1_500
    assert not list(tmp_path.glob("charloom-*"))
