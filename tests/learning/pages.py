"""A page of the documentation, carried out block by block as a reader would, but with little training."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.M | re.S)
_SAVED = re.compile(r"as\s+`([\w.-]+)`")
_ADDRESS = "127.0.0.1:8000"

# The commands that a reader types, with training made short. `charloom` and `torchrun` are this one file.
_SHIM = """#!{python}
import json, os, subprocess, sys
LENGTHS = ("--budget", "--epochs", "--steps", "--evaluate-every", "--hidden-size")
def shortened(words):
    if words[:1] == ["quickstart"]:
        return [*words, "python-docs", "--steps", "6"]
    if words[:1] != ["train"]:
        return words
    kept, skip = [], False
    for word in words:
        skip, dropped = word in LENGTHS, skip or word in LENGTHS
        kept += [] if dropped else [word]
    size = [] if "--init-from" in words else ["--hidden-size", "16"]
    return [*kept, *size, "--steps", "{steps}", "--threads", "1", "--device", "cpu"]
words = sys.argv[1:]
if os.path.basename(sys.argv[0]) == "torchrun":
    at = words.index("charloom") + 1
    command = ["-m", "torch.distributed.run", *words[:at], *shortened(words[at:])]
else:
    command = ["-m", "charloom", *shortened(words)]
sys.exit(subprocess.call([sys.executable, *command]))
"""


@dataclass(frozen=True)
class Block:
    """A block of a page: its language and marks, its content, the name it is to be saved under (or "")."""

    kind: str
    content: str
    file: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    text, end = page.read_text("utf-8"), 0
    for found in _BLOCK.finditer(text):
        last_words = text[end : found.start()].rstrip().rpartition("\n\n")[2]
        saved = _SAVED.findall(last_words)
        yield Block(found[1].strip(), found[2], saved[0] if saved else "")
        end = found.end()


def commands(page: Path) -> Iterator[list[str]]:
    """Every `charloom` command of a page, those that are skipped too, as words without redirections and pipes."""
    for block in blocks(page):
        if block.kind.split(" ")[0] != "sh":
            continue
        for line in _typed(block.content):
            for part in line.split(" | "):
                words = shlex.split(part.split(" > ")[0], comments=True)
                if "charloom" in words[:1] or words[:1] == ["torchrun"]:
                    yield words[words.index("charloom") + 1 :]


def _typed(content: str) -> Iterator[str]:
    """The commands of a block; one goes on behind a backslash, and where a quotation is open."""
    command = ""
    for line in content.replace("\\\n", " ").splitlines():
        command += ("\n" if command else "") + line
        if command.count("'") % 2 == 0:
            yield command
            command = ""


class Reader:
    """Follows a page in a folder."""

    def __init__(self, folder: Path, steps: int = 10) -> None:
        self.folder = folder
        self.said: list[tuple[Block, str]] = []
        self._server: subprocess.Popen[str] | None = None
        self._port = _free_port()
        self._bin = folder / ".bin"
        self._bin.mkdir()
        for name in ("charloom", "torchrun"):
            self._program(name, _SHIM.replace("{python}", sys.executable).replace("{steps}", str(steps)))
        self._program("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.environment = {
            **os.environ,
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }

    def follow(self, page: Path, then: Callable[[], None] = lambda: None) -> None:
        """Carry out every block, then what is given, while the server runs; `said` collects what is printed."""
        try:
            for block in blocks(page):
                self._carry_out(block)
            then()
        finally:
            if self._server is not None:
                self._server.terminate()
                self._server.communicate(timeout=60)

    def output_of(self, command: str) -> str:
        """What the block that holds this wrote to stdout."""
        (found,) = [said for block, said in self.said if command in block.content]
        return found

    def _carry_out(self, block: Block) -> None:
        content = block.content.replace(_ADDRESS, f"127.0.0.1:{self._port}")
        if block.file:
            (self.folder / block.file).write_text(content, "utf-8")
        elif block.kind == "python":
            self._run(block, [sys.executable, "-c", content])
        elif block.kind == "sh":
            self._run(block, ["bash", "-euo", "pipefail", "-c", content])
        elif block.kind == "sh serve":
            self._serve(content)

    def _run(self, block: Block, command: list[str]) -> None:
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=280, check=False
        )
        assert ran.returncode == 0, f"{block.content}\n{ran.stdout}\n{ran.stderr}"
        self.said.append((block, ran.stdout))

    def _serve(self, content: str) -> None:
        words = [sys.executable, "-m", *shlex.split(content), "--port", str(self._port), "--json"]
        self._server = subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        address = json.loads(self._server.stdout.readline())["address"]
        for _ in range(300):
            if httpx.get(f"{address}/health").status_code == 200:
                return
            time.sleep(0.1)
        raise AssertionError("the server did not become ready")

    def _program(self, name: str, content: str) -> None:
        path = self._bin / name
        path.write_text(content, "utf-8")
        path.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
