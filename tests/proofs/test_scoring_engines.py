"""The example of several workers on the real Ray Data and PySpark, in an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import charloom
from tests.proofs.toolkits import install, made
from tests.test_documents import ROOT, blocks

EXAMPLE = ROOT / "examples" / "scoring_workers.py"
PAGE = ROOT / "docs" / "how-to" / "score-on-several-workers.md"
PACKAGES = ("ray[data]==2.60.0", "pyspark==4.3.0", "pandas==2.3.3", "pyarrow==26.0.1")
FOREIGN = ("PYTHON", "VIRTUAL", "OMP_", "RAY_", "SPARK_", "PYSPARK_", "CHARLOOM_")
MARK = "CHARLOOM_TESTED_WORKERS"  # a variable that every process of an engine inherits
PATIENCE = 600  # seconds
LINES = ["The fox.", "", "one", "two", "line \x0b two", "no line end"]
needs_java = pytest.mark.skipif(
    not (shutil.which("java") or os.environ.get("JAVA_HOME")),
    reason="Spark needs Java: install it (apt-get install openjdk-17-jre-headless), or set JAVA_HOME",
)
both_engines = pytest.mark.parametrize("engine", ["ray", pytest.param("spark", marks=needs_java)])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes as Linux lists them"),
]

COUNT_CALLS = """
import os
import charloom

score_lines = charloom.Model.score_lines

def counted(model, *given, **named):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(".")
    return score_lines(model, *given, **named)

charloom.Model.score_lines = counted
"""

START_RAY = """
import json, sys, charloom, ray
model = charloom.load(sys.argv[1])
ray.init(num_cpus=2, include_dashboard=False)
table = ray.data.from_items([{"line": line, "text": text} for line, text in enumerate(json.loads(sys.argv[2]), 1)])
"""
END_RAY = """
print(json.dumps([[int(row["line"]), float(row["nats"])] for row in scored.iter_rows()]))
ray.shutdown()
"""
START_SPARK = """
import json, sys, charloom
from pyspark.sql import SparkSession
model = charloom.load(sys.argv[1])
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
table = spark.createDataFrame(list(enumerate(json.loads(sys.argv[2]), 1)), "line long, text string")
"""
END_SPARK = """
assert table.columns == ["line", "text"]
print(json.dumps([[row.line, row.nats] for row in scored.collect()]))
spark.stop()
"""


@dataclass(frozen=True)
class Workplace:
    """An environment with the engines, and a folder to work in."""

    python: Path
    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: object, **more: str) -> subprocess.Popen[str]:
        """A program of this environment; what it says on stderr goes to a file."""
        with (self.folder / "said").open("w") as said:
            return subprocess.Popen(
                [str(self.python), *map(str, arguments)],
                cwd=self.folder,
                env={**self.environment, **more},
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def run(self, *arguments: object, **more: str) -> str:
        """What it writes to stdout."""
        with self.start(*arguments, **more) as process:
            written, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, self.said
        return written

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8", "replace")

    def processes(self) -> Iterator[int]:
        """All processes that inherited the mark; one that has ended has none."""
        mark = f"{MARK}={self.environment[MARK]}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:
                continue

    def workers(self, first: int) -> Iterator[int]:
        """Those that have opened a model, but for the first process."""
        for pid in self.processes():
            try:
                if pid != first and "/charloom/kernel/" in Path(f"/proc/{pid}/maps").read_text():
                    yield pid
            except OSError:
                continue

    def wait_for_end(self) -> list[int]:
        """Wait until an engine's processes have ended, which is soon after the first one; kill those that stay."""
        deadline = time.monotonic() + 60
        while (left := list(self.processes())) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made("engines", PACKAGES, tmp_path_factory)
    install(folder, ROOT)
    return folder / "bin/python"


@pytest.fixture
def workplace(python: Path, tmp_path: Path) -> Iterator[Workplace]:
    """Nothing of an engine is left: no process, and no file where the program ran."""
    (tmp_path / "work").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    with tempfile.TemporaryDirectory(prefix="ray") as short:  # the paths of sockets have at most 107 bytes
        place = Workplace(python, tmp_path / "work", {
            **kept, MARK: str(tmp_path), "HOME": short, "PYSPARK_PYTHON": str(python),
            "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0", "SPT_NOENV": "1",  # titles leave environ whole
            "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": short,
            "JAVA_TOOL_OPTIONS": f"-XX:-UsePerfData -Djava.io.tmpdir={short}",
        })  # fmt: skip
        try:
            yield place
        finally:
            left = place.wait_for_end()
    assert not left
    assert {path.name for path in place.folder.iterdir()} <= {"said", "log.txt", "scores.jsonl", "calls"}


def processor_time(pid: int) -> int:
    """Ticks that a process has computed."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(values[11]) + int(values[12])


def kill_a_worker(workplace: Workplace, process: subprocess.Popen[str]) -> None:
    """Kill a worker that has scored for a tenth of a second of its processor's time."""
    seen: dict[int, int] = {}
    enough = os.sysconf("SC_CLK_TCK") // 10
    while process.poll() is None:
        for pid in workplace.workers(process.pid):
            try:
                if processor_time(pid) - seen.setdefault(pid, processor_time(pid)) >= enough:
                    os.kill(pid, signal.SIGKILL)
                    return
            except OSError:
                continue
        time.sleep(0.01)
    pytest.fail(f"the program ended before a worker was killed: {workplace.said}")


def check_scores(output: Path, model: Path, lines: list[str]) -> None:
    rows = [json.loads(row) for row in output.read_text().splitlines()]
    expected = charloom.load(model).score_lines(lines)
    assert [row["line"] for row in rows] == list(range(1, len(lines) + 1))
    assert [row["nats"] for row in rows] == pytest.approx([score.nats for score in expected])


@both_engines
def test_each_line_is_scored_once_and_has_its_number(
    engine: str, workplace: Workplace, trained: Path, tmp_path: Path
) -> None:
    file, scores, calls = (workplace.folder / name for name in ("log.txt", "scores.jsonl", "calls"))
    (tmp_path / "sitecustomize.py").write_text(COUNT_CALLS)
    file.write_bytes(b"\xef\xbb\xbfThe fox.\r\n\r\none\rtwo\nline \x0b two\r\nno line end")
    command = (EXAMPLE, trained, file, scores, "--workers", 2, "--engine", engine)
    workplace.run(*command, PYTHONPATH=str(tmp_path), CALLS=str(calls))
    check_scores(scores, trained, LINES)
    assert calls.read_text() == "."


@both_engines
def test_the_scores_are_whole_though_a_worker_is_killed(engine: str, workplace: Workplace, trained: Path) -> None:
    file, scores = workplace.folder / "log.txt", workplace.folder / "scores.jsonl"
    lines = [f"{number} the value of an object is a name, or the import of {number % 89}" for number in range(60_000)]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    with workplace.start(EXAMPLE, trained, file, scores, "--workers", 2, "--engine", engine) as process:
        kill_a_worker(workplace, process)
        assert process.wait(PATIENCE) == 0, workplace.said
    check_scores(scores, trained, lines)


@pytest.mark.parametrize(
    ("which", "start", "end"),
    [(0, START_RAY, END_RAY), pytest.param(1, START_SPARK, END_SPARK, marks=needs_java)],
    ids=["ray", "spark"],
)
def test_the_page_s_functions_score_a_table(
    which: int, start: str, end: str, workplace: Workplace, trained: Path
) -> None:
    code = blocks(PAGE, "python skip")
    assert len(code) == 2
    printed = workplace.run("-c", start + code[which] + end, trained, json.dumps(LINES))
    expected = charloom.load(trained).score_lines(LINES)
    found = sorted(json.loads(printed.splitlines()[-1]))
    assert [line for line, _ in found] == list(range(1, len(LINES) + 1))
    assert [nats for _, nats in found] == pytest.approx([score.nats for score in expected])
