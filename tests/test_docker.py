"""The server's image, as far as it can be looked at without Docker; tests/proofs/test_container.py runs its command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, file], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_signals_reach_the_server(file: Path) -> None:
    """In exec form there is no shell between Docker and the server, which would keep SIGTERM to itself."""
    text = file.read_text("utf-8")
    for instruction in ("ENTRYPOINT", "CMD"):
        (form,) = re.findall(rf"^{instruction} (.*)$", text, re.M)
        assert all(isinstance(part, str) for part in json.loads(form))


def test_only_what_the_image_needs_is_sent_to_docker() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    for file in DOCKERFILES:
        copied = re.findall(r"^COPY (?!--from)(.*) \S+$", file.read_text("utf-8"), re.M)
        assert {name for names in copied for name in names.split()} - {"."} <= kept
    assert kept == {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "constraints.txt", "src", "docker"}
