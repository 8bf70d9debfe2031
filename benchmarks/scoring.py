"""How fast are many lines scored, beside the rate at which 64 texts are written, and does memory grow with the text?

python benchmarks/scoring.py FILE [--seconds 8] [--repeats 3] [--json]
python benchmarks/scoring.py FILE --memory [--megabytes 200]

Rates: an LSTM of 2 × 512 with random weights (they cost what trained ones do), one thread. The lines of FILE are
scored as `charloom score --lines` does. References in the same run: ONNX Runtime instead of the kernel; the kernel
writing 64 texts; and the article's network in PyTorch writing one text, one character a step. Everything is
measured in turns and the best turn of each counts.

Memory: FILE is repeated to so many megabytes and scored by a process of its own: by lines, whole, and as one line.
Peak resident memory is taken after the first 10 million characters and at the end. The network is as small as can be,
for it is the text that grows; with a larger one both figures rise by what its weights and one run of it take.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from article_loop import ArticleNetwork, State
from charloom.bundle import ModelShape
from charloom.events import ignore
from charloom.kernel.network import open_network
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.scored_files import NamedFiles, in_memory
from charloom.runtime.scoring import Scorer, Text
from charloom.runtime.session import Logits, Nats, Session, initial_state
from charloom.runtime.session import State as SessionState
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import CharacterVocabulary, Ids
from charloom.training.model import CharacterModel

STREAMS = 64
CHECKED = 10_000_000  # characters before the first look at the memory
WAYS = ("lines", "whole", "one line")
_STEPS_A_TURN = 8
_LINES_A_TURN = 8192  # what `score --lines` gathers

Record = dict[str, Any]


def sessions(vocab_size: int, hidden_size: int, num_layers: int = 2) -> dict[str, Session]:
    """A random network by precision, with two threads, and as ONNX Runtime runs its int8 graph."""
    torch.manual_seed(1)
    shape = ModelShape(
        cell="lstm",
        num_layers=num_layers,
        hidden_size=hidden_size,
        embedding_size=64,
        dropout=0,
        vocab_size=vocab_size,
    )
    weights = {name: tensor.detach().numpy() for name, tensor in CharacterModel(shape).state_dict().items()}
    int8 = build_int8_graph(shape, weights)
    assert int8 is not None
    return {
        "int8": open_network(shape, weights, "int8"),
        "int8, two threads": open_network(shape, weights, "int8", threads=2),
        "float32": open_network(shape, weights, "float32"),
        "onnx": OnnxSession(int8, shape),
    }


Steps = Iterator[int]
"""Does the work; yields how many characters each piece of it was."""


def scored_lines(session: Session, vocabulary: CharacterVocabulary, path: Path) -> Steps:
    """Score a file's lines, a window of them at a time, over and over."""
    while True:
        lines = NamedFiles([str(path)], "utf-8", ignore).lines()
        while window := list(islice(lines, _LINES_A_TURN)):
            yield sum(score.characters for score in Scorer(session, vocabulary, ()).in_turn(window))


def scored_whole(session: Session, vocabulary: CharacterVocabulary, path: Path) -> Steps:
    """Score the beginning of a file as one text, over and over."""
    text = path.read_text("utf-8")[:20_000]
    while True:
        yield sum(score.characters for score in Scorer(session, vocabulary, ()).side_by_side([in_memory(text)]))


def written(session: Session) -> Steps:
    """Write 64 texts, eight characters of each at a time."""
    generator, settings = np.random.default_rng(1), [SamplingSettings(temperature=1)] * STREAMS
    state, ids = initial_state(session.shape, STREAMS), np.zeros(STREAMS, dtype=np.int64)
    while True:
        written, state = session.write(ids, state, generator.random((_STEPS_A_TURN, STREAMS)), settings)
        ids = written[-1]
        yield written.size


@torch.no_grad()
def written_by_the_article(vocab_size: int, hidden_size: int) -> Steps:
    """Write one text with `nn.LSTM`, one character a step."""
    network = ArticleNetwork(vocab_size, hidden_size).eval()
    state: State | None = None
    ids = torch.zeros((1, 1), dtype=torch.long)
    while True:
        logits, state = network(ids, state)
        ids = torch.multinomial(torch.softmax(logits[0], dim=-1), 1)
        yield 1


def measure(jobs: dict[str, Steps], seconds: float, repeats: int, say: Callable[[str], None]) -> dict[str, float]:
    """Characters a second of each, the best of all turns."""
    best = dict.fromkeys(jobs, 0.0)
    for turn in range(repeats):
        for name, steps in jobs.items():
            next(steps)
            started, characters = time.perf_counter(), 0
            while (passed := time.perf_counter() - started) < seconds or not characters:
                characters += next(steps)
            passed = time.perf_counter() - started
            best[name] = max(best[name], characters / passed)
        say(f"turn {turn + 1} of {repeats} done")
    return best


def rates(path: Path, hidden_size: int, seconds: float, repeats: int) -> Record:
    """Measure everything and compare."""
    torch.set_num_threads(1)
    vocabulary = CharacterVocabulary.from_text(path.read_text("utf-8"))
    session = sessions(vocabulary.size, hidden_size)
    jobs = {
        "score --lines, int8": scored_lines(session["int8"], vocabulary, path),
        "score --lines, int8, two threads": scored_lines(session["int8, two threads"], vocabulary, path),
        "score --lines, float32": scored_lines(session["float32"], vocabulary, path),
        "score --lines, int8 by ONNX Runtime": scored_lines(session["onnx"], vocabulary, path),
        "score, one file, int8": scored_whole(session["int8"], vocabulary, path),
        "score, one file, int8, two threads": scored_whole(session["int8, two threads"], vocabulary, path),
        "score, one file, ONNX Runtime": scored_whole(session["onnx"], vocabulary, path),
        "reference: 64 texts written, int8": written(session["int8"]),
        "reference: the article's loop": written_by_the_article(vocabulary.size - 1, hidden_size),
    }
    best = measure(jobs, seconds, repeats, lambda line: print(line, file=sys.stderr, flush=True))
    return {"hidden_size": hidden_size, "vocab_size": vocabulary.size, "characters_per_second": best}


def show_rates(report: Record) -> None:
    """Print the table."""
    best = report["characters_per_second"]
    *_, writing, article = best
    print(f"LSTM 2 × {report['hidden_size']}, {report['vocab_size']} ids, one thread\n")
    print(f"{'':<38}{'characters/s':>13}{'÷ 64 texts':>12}{'÷ article':>11}")
    for name, rate in best.items():
        print(f"{name:<38}{rate:>13,.0f}{rate / best[writing]:>12.2f}{rate / best[article]:>11.1f}")


class Watched(Session):
    """A session that remembers the peak of memory after its first characters."""

    def __init__(self, session: Session) -> None:
        """Watch `session`."""
        self.shape = session.shape
        self.early = 0.0
        self._session = session
        self._read = 0

    def run(self, ids: Ids, state: SessionState) -> tuple[Logits, SessionState]:
        """Run it."""
        return self._session.run(ids, state)

    def nats(self, ids: Ids, targets: Ids, state: SessionState) -> tuple[Nats, SessionState]:
        """Score by it."""
        self._read += ids.size
        if not self.early and self._read >= CHECKED:
            self.early = peak_megabytes()
        return self._session.nats(ids, targets, state)


def peak_megabytes() -> float:
    """Of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def watch_memory(path: Path, way: str) -> Record:
    """Score a file in this process and tell its peaks of memory."""
    started = time.perf_counter()
    with path.open("rb") as file:
        vocabulary = CharacterVocabulary.from_text(file.read(1 << 20).decode("utf-8", "ignore"))
    session = Watched(sessions(vocabulary.size, 4, 1)["float32"])
    scorer, files = Scorer(session, vocabulary, ()), NamedFiles([str(path)], "utf-8", ignore)
    texts: Iterator[Text] = files.whole() if way == "whole" else files.lines()
    scores = scorer.side_by_side(texts) if way == "whole" else scorer.in_turn(texts)
    characters = sum(score.characters for score in scores)
    seconds = time.perf_counter() - started
    return {"way": way, "characters": characters, "seconds": seconds, "early": session.early, "end": peak_megabytes()}


def memory(source: Path, megabytes: int) -> list[Record]:
    """Every way in a process of its own."""
    found: list[Record] = []
    for way in WAYS:
        with tempfile.TemporaryDirectory(prefix="charloom-") as folder:
            path = Path(folder) / "text.txt"
            content = source.read_bytes()
            content = content.replace(b"\n", b" ") if way == "one line" else content
            with path.open("wb") as file:
                while file.tell() < megabytes * 1_000_000:
                    file.write(content)
            command = [sys.executable, __file__, str(path), "--watch", way]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(ran.stdout))
    return found


def show_memory(found: list[Record]) -> None:
    """Print the table."""
    print(
        f"{'':<12}{'characters':>14}{'seconds':>9}{'characters/s':>14}{'peak after 10 M, MB':>21}{'at the end, MB':>16}"
    )
    for row in found:
        rate = row["characters"] / row["seconds"]
        print(
            f"{row['way']:<12}{row['characters']:>14,}{row['seconds']:>9.0f}{rate:>14,.0f}{row['early']:>21.0f}"
            f"{row['end']:>16.0f}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="a text in UTF-8, such as tiny Shakespeare")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement in a turn, at least")
    parser.add_argument("--repeats", type=int, default=3, help="turns of everything")
    parser.add_argument("--hidden-size", type=int, default=512, help="another size, to try this out")
    parser.add_argument("--memory", action="store_true", help="look at memory instead of rates")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the text for --memory")
    parser.add_argument("--watch", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    if arguments.watch:
        print(json.dumps(watch_memory(arguments.file, arguments.watch)))
        return
    if arguments.memory:
        looks = memory(arguments.file, arguments.megabytes)
        print(json.dumps({"memory": looks})) if arguments.json else show_memory(looks)
        return
    report = rates(arguments.file, arguments.hidden_size, arguments.seconds, arguments.repeats)
    print(json.dumps(report)) if arguments.json else show_rates(report)


if __name__ == "__main__":
    main()
