"""Score a large file's lines with several workers of an engine that you have: processes, Ray or Spark.

    python examples/scoring_workers.py runs/log today.log scores.jsonl --workers 2
    python examples/scoring_workers.py runs/log today.log scores.jsonl --workers 2 --engine ray
    python examples/scoring_workers.py runs/log today.log scores.jsonl --workers 2 --engine spark

Each result has the line's number, and they are in the order of the lines. The model is sent to the workers as the
place where it is, and each worker opens it once. docs/how-to/score-on-several-workers.md explains it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import charloom

Row = dict[str, Any]
NEEDS = "Ray needs pip install 'ray[data]', Spark needs pip install pyspark pyarrow 'pandas<3'"
BLOCK = 1 << 18  # bytes of lines that are given to a worker at a time


@dataclass(frozen=True)
class Block:
    """Whole lines of a file: the number of the first, and where they are."""

    line: int
    offset: int
    size: int


def find_blocks(file: Path) -> list[Block]:
    """The file in blocks of lines; only their places are kept, and the workers read them.

    Raises:
        ValueError: the file is not UTF-8.
    """
    blocks, line, offset = [], 1, 0
    with file.open("rb") as content:
        while piece := content.read(BLOCK) + content.readline():
            try:
                text = lines_of(piece).decode()
            except UnicodeDecodeError as error:
                line += error.object.count(b"\n", 0, error.start)
                raise ValueError(f"line {line:,} of {file} is not UTF-8: save the file as UTF-8") from None
            blocks.append(Block(line, offset, len(piece)))
            line += text.count("\n")
            offset += len(piece)
    return blocks


def lines_of(content: bytes) -> bytes:
    """What charloom score reads: lines that end with a newline, also where they ended with a carriage return."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_block(file: Path, block: Block) -> list[Row]:
    """The lines of a block, with their numbers."""
    with file.open("rb") as content:
        content.seek(block.offset)
        text = lines_of(content.read(block.size)).decode("utf-8" if block.offset else "utf-8-sig")
    lines = text.removesuffix("\n").split("\n") if text else []
    return [{"line": number, "text": text} for number, text in enumerate(lines, block.line)]


def score_block(model: charloom.Model, file: Path, block: Block) -> list[Row]:
    """The scores of a block's lines."""
    rows = read_block(file, block)
    scores = model.score_lines(row["text"] for row in rows)
    return [{"line": row["line"], "nats": score.nats} for row, score in zip(rows, scores, strict=True)]


def with_processes(model: charloom.Model, file: Path, blocks: list[Block], workers: int) -> Iterator[Row]:
    """Python's own pool. Where a worker is killed, a new pool scores what was under way."""
    todo, deaths = deque(blocks), 0
    while todo:
        try:
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
                waiting = [pool.submit(score_block, model, file, block) for block in islice(todo, 4 * workers)]
                while waiting:
                    rows = waiting.pop(0).result()
                    todo.popleft()
                    if len(todo) > len(waiting):
                        waiting.append(pool.submit(score_block, model, file, todo[len(waiting)]))
                    yield from rows
        except BrokenProcessPool:
            deaths += 1
            if deaths > 3:
                raise


def with_ray(model: charloom.Model, file: Path, blocks: list[Block], workers: int) -> Iterator[Row]:
    """Ray Data. What a killed worker had under way is scored again."""
    import ray

    def read(row: Row) -> list[Row]:
        return read_block(file, Block(**row))

    def score(batch: dict[str, Any]) -> dict[str, Any]:
        return {"line": batch["line"], "nats": [one.nats for one in model.score_lines(batch["text"])]}

    ray.init(num_cpus=workers, include_dashboard=False)
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        places = ray.data.from_items([asdict(block) for block in blocks], override_num_blocks=len(blocks))
        scored = places.flat_map(read).map_batches(score, batch_size=None)
        yield from ({"line": int(row["line"]), "nats": float(row["nats"])} for row in scored.iter_rows())
    finally:
        ray.shutdown()


def with_spark(model: charloom.Model, file: Path, blocks: list[Block], workers: int) -> Iterator[Row]:
    """PySpark. A task whose worker is killed is run again."""
    import pandas
    from pyspark import StorageLevel
    from pyspark.sql import SparkSession

    def score(frames: Iterable[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for frame in frames:
            for number in frame["id"]:
                yield pandas.DataFrame(score_block(model, file, blocks[number]))

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # the workers' Python needs charloom too
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # its ports are for this machine alone
    session = SparkSession.builder.master(f"local[{workers},4]")  # a task is tried four times
    spark = session.config("spark.ui.enabled", "false").getOrCreate()
    try:
        numbers = spark.range(len(blocks), numPartitions=max(4 * workers, len(blocks) // 16))
        scored = numbers.mapInPandas(score, "line long, nats double").persist(StorageLevel.DISK_ONLY)
        scored.count()  # scores all; the iterator below takes one partition after the other, in their order
        yield from ({"line": row.line, "nats": row.nats} for row in scored.toLocalIterator())
    finally:
        spark.stop()


ENGINES = {"processes": with_processes, "ray": with_ray, "spark": with_spark}


def write_scores(options: argparse.Namespace) -> tuple[int, float]:
    """Write the file of scores, whole or not at all: how many, and the seconds that took."""
    started, count = time.perf_counter(), 0
    blocks = find_blocks(options.file)  # what cannot be read is said before the model is opened
    model = charloom.load(options.model)
    engine = ENGINES[options.engine] if blocks else with_processes
    unfinished = options.output.with_name(f"{options.output.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as output:
            for row in engine(model, options.file, blocks, options.workers):
                output.write(json.dumps(row) + "\n")
                count += 1
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(options.output)
    return count, time.perf_counter() - started


def main() -> None:
    """Read the command line, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model directory that every worker can read, or hf://user/name")
    parser.add_argument("file", type=Path, help="the lines, in UTF-8")
    parser.add_argument("output", type=Path, help="the scores to write, one JSON object a line")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, default="processes")
    options = parser.parse_args()
    if options.workers < 1:
        parser.error("--workers: give 1 or more")
    try:
        if options.output.exists() and options.output.samefile(options.file):
            parser.error(f"{options.output} is the file with the lines: name another for the scores")
        count, seconds = write_scores(options)
    except ImportError as error:
        sys.exit(f"{parser.prog}: {error}. {NEEDS}")
    except (OSError, ValueError, RuntimeError, charloom.CharloomError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(f"{count:,} lines in {seconds:.1f} s, {count / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
