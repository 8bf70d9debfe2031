"""A real server in a process of its own, for the proofs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    address: str
    port: int
    process: subprocess.Popen[str]

    def resident(self) -> int:
        """Bytes of memory it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's values that have these labels; 0 where there is none."""
        total = 0.0
        for line in httpx.get(f"{self.address}/metrics", timeout=30).text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == f"charloom_{name}" and all(f'{k}="{v}"' in head for k, v in labels.items()):
                total += float(value)
        return total

    def idle(self) -> bool:
        """Whether no row and no place in the queue is taken."""
        return self.metric("num_requests_running") == 0 == self.metric("num_requests_waiting")


@contextmanager
def running(
    model: Path, *options: object, log: Path | None = None, command: Sequence[object] = ()
) -> Iterator[Running]:
    """Serve a model on a free port; `log` takes what the server says."""
    given = command or (sys.executable, "-m", "charloom", "serve")
    line = [str(part) for part in (*given, model, "--port", 0, "--json", "--precision", "int8", *options)]
    with (
        Path(log or os.devnull).open("w", encoding="utf-8") as said,
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            listening = json.loads(process.stdout.readline())
            yield Running(listening["address"], listening["port"], process)
        finally:
            process.terminate()
            assert process.wait(40) == 0
