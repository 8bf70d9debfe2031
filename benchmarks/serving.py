"""How many people can one server answer, and how soon? Ours beside a server that wraps the article's loop.

python benchmarks/serving.py [--streams 1,16,64,256] [--characters 200] [--flood 1000] [--json]

LSTM 2 × 512, 65 symbols. Every stream is a request of its own over HTTP (`/v1/completions`, streaming) from one client
process on the same machine, so the client takes its share of the cores. Measured: characters a second of all streams
together, the time to the first character, and the time between two events that carry text. Each text must equal the
seeded text that the model writes alone: none is lost, none mixed up. The engine's own rate, without HTTP, is measured
in the same run. `--flood` opens so many streams at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import charloom
from generation import make_model

HERE = Path(__file__).parent
PROMPT = "0"
SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_k": 5, "top_p": 1.0}

Record = dict[str, Any]


@dataclass
class Stream:
    """What one client saw."""

    text: str = ""
    first: float = float("nan")
    gaps: list[float] = field(default_factory=list)
    done: bool = False


async def ask(url: str, body: Record) -> Stream:
    """Send one streaming request over a connection of its own, and read it to the end."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content)
    started, seen = time.perf_counter(), Stream()
    last = started
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit(f"the server answered {status.decode().strip()}: {(await reader.read()).decode()[:500]}")
    async for line in reader:
        if not line.startswith(b"data: "):
            continue
        now = time.perf_counter()
        if line.startswith(b"data: [DONE]"):
            seen.done = True
            continue
        piece = "".join(choice["text"] for choice in json.loads(line[6:])["choices"])
        if not piece:
            continue
        if seen.text:
            seen.gaps.append(now - last)
        else:
            seen.first = now - started
        seen.text += piece
        last = now
    writer.close()
    return seen


async def crowd(url: str, streams: int, characters: int) -> tuple[list[Stream], float]:
    """So many streams at once, stream i with seed i; and the seconds until the last has ended."""
    bodies = [
        {"prompt": PROMPT, "max_tokens": characters, "stream": True, "seed": i, **SAMPLING} for i in range(streams)
    ]
    started = time.perf_counter()
    seen = await asyncio.gather(*(ask(url, body) for body in bodies))
    return seen, time.perf_counter() - started


def figures(seen: Sequence[Stream], seconds: float) -> Record:
    """Rates and percentiles of what the clients saw."""
    gaps = [gap for one in seen for gap in one.gaps]
    firsts = [one.first for one in seen]
    return {
        "streams": len(seen),
        "characters_per_second": sum(len(one.text) for one in seen) / seconds,
        "first_p50": float(np.percentile(firsts, 50)),
        "first_p99": float(np.percentile(firsts, 99)),
        "gap_p99": float(np.percentile(gaps, 99)) if gaps else None,
    }


@contextmanager
def server(command: Sequence[str | Path | int]) -> Iterator[str]:
    """A server process; its address."""
    with subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the server did not start: see its message above")
            yield json.loads(line)["address"]
        finally:
            process.terminate()
            process.wait(60)


def engine_rate(model: charloom.Model, streams: int, characters: int) -> float:
    """Characters a second of the engine alone."""
    with model.engine() as engine:
        started = time.perf_counter()
        texts = [engine.submit(PROMPT, length=characters, seed=i, **SAMPLING) for i in range(streams)]
        return sum(text.result().characters for text in texts) / (time.perf_counter() - started)


def mixed_up(model: charloom.Model, seen: Sequence[Stream], characters: int) -> int:
    """How many streams did not get the seeded text that the model writes alone, whole."""
    texts = model.generate_samples(PROMPT, len(seen), length=characters, seed=0, **SAMPLING)
    return sum(not one.done or one.text != text.text for one, text in zip(seen, texts, strict=True))


def measure(streams: Sequence[int], characters: int, flood: int, hidden_size: int) -> Record:
    """Both servers, one after the other, and the engine."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_model(Path(folder), hidden_size)
        model = charloom.load(path, precision="int8")
        report: Record = {"hidden_size": hidden_size, "characters": characters, "ours": [], "article": []}
        report["engine"] = max(engine_rate(model, 64, characters) for _ in range(3))
        serve: list[str | Path | int] = [
            "-m",
            "charloom",
            "serve",
            path,
            "--port",
            "0",
            "--json",
            "--quiet",
            "--max-queue",
            max([flood, *streams]),
        ]
        with server(serve) as url:
            asyncio.run(crowd(url, 1, 10))
            for count in streams:
                seen, seconds = asyncio.run(crowd(url, count, characters))
                wrong = mixed_up(model, seen, characters)
                report["ours"].append({**figures(seen, seconds), "wrong": wrong})
            if flood:
                seen, seconds = asyncio.run(crowd(url, flood, characters))
                report["flood"] = {**figures(seen, seconds), "wrong": mixed_up(model, seen, characters)}
        with server([HERE / "article_server.py", hidden_size, model.vocabulary.size]) as url:
            for count in (1, 64):
                few = max(1, characters * 4 // (10 * count))  # its rate does not depend on how many wait
                report["article"].append(figures(*asyncio.run(crowd(url, count, few))))
    return report


def show(report: Record) -> None:
    """Print the table."""
    article = report["article"][-1]["characters_per_second"]
    print(
        f"LSTM 2 × {report['hidden_size']}, {report['characters']} characters a stream; the engine alone, 64 rows: ",
        end="",
    )
    print(f"{report['engine']:,.0f} characters/s\n")
    print(f"{'':<24}{'streams':>8}{'characters/s':>14}{'× article':>11}{'of engine':>11}", end="")
    print(f"{'first p50, ms':>15}{'p99':>8}{'gap p99, ms':>13}{'wrong':>7}")
    rows = [("charloom serve", row) for row in report["ours"]]
    rows += [("charloom serve, flood", report["flood"])] if "flood" in report else []
    for name, row in [*rows, *(("the article's loop", row) for row in report["article"])]:
        rate = row["characters_per_second"]
        gap = "" if row["gap_p99"] is None else f"{1000 * row['gap_p99']:.1f}"
        print(
            f"{name:<24}{row['streams']:>8}{rate:>14,.0f}{rate / article:>11.1f}{rate / report['engine']:>11.2f}"
            f"{1000 * row['first_p50']:>15.1f}{1000 * row['first_p99']:>8.0f}{gap:>13}{row.get('wrong', ''):>7}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", default="1,16,64,256", help="how many at once, separated by commas")
    parser.add_argument("--characters", type=int, default=200, help="that each stream asks for")
    parser.add_argument("--flood", type=int, default=0, help="so many streams at once as well, 1000 for one")
    parser.add_argument("--hidden-size", type=int, default=512, help="another size, to try this out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    counts = [int(count) for count in arguments.streams.split(",")]
    report = measure(counts, arguments.characters, arguments.flood, arguments.hidden_size)
    print(json.dumps(report)) if arguments.json else show(report)


if __name__ == "__main__":
    main()
