"""What all tests share: real corpora where they are at hand, a cache of their own, one small trained model."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import hypothesis
import pytest

import charloom

# Networks this small are slower on two threads, and very much slower where another process wants the cores.
# Before torch is first imported, and in the environment, so that it holds for subprocesses too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some tests import ONNX Runtime before charloom does.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Whoever runs the tests may be deaf to a closed terminal (nohup); the programs that are tested must not be.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says nothing of whether it is right.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parents[1]
CORPORA = Path(os.environ.get("CHARLOOM_TEST_CORPORA") or ROOT.parent / "shared" / "data")


def _real_corpus(name: str) -> Path:
    path = CORPORA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {CORPORA}: CHARLOOM_TEST_CORPORA names another folder")
    return path


@pytest.fixture(scope="session")
def shakespeare() -> Path:
    """Tiny Shakespeare, 1,115,394 characters."""
    return _real_corpus("tinyshakespeare.txt")


@pytest.fixture(scope="session")
def names() -> Path:
    """32,033 first names, one a line."""
    return _real_corpus("names.txt")


def pytest_collection_finish() -> None:
    """Set aside what importing made, so that `_nothing_left_behind` looks only at what its test made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process left running, or a file left open, fails the test that left it, and not a later one.

    First of all fixtures and so the last to end: what a test's other fixtures close is closed by then.
    """
    started: list[subprocess.Popen[Any]] = []
    begin = subprocess.Popen.__init__

    def recording(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        begin(process, *arguments, **options)
        started.append(process)

    monkeypatch.setattr(subprocess.Popen, "__init__", recording)
    yield
    running = [process for process in started if process.poll() is None]
    for process in running:
        process.kill()
        process.wait()
    for process in started:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    left = [str(process.args) for process in running]
    started.clear()
    gc.collect()  # an unclosed file warns here, in its own test
    gc.freeze()  # what is left outlives the test: modules imported late, fixtures of several tests
    assert not left, f"still running after the test: {left}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The server's log goes to the stderr of the test that sets it up, and not to a closed one afterwards."""
    loggers = [logging.getLogger(name) for name in ("charloom", "charloom.serving", "uvicorn")]
    kept = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 20,000 characters of English prose."""
    prose = "\n".join(topics[name] for name in sorted(topics))[:20_000]
    path = tmp_path_factory.mktemp("text") / "small.txt"
    path.write_text(prose, "utf-8")
    return path


@pytest.fixture(scope="session")
def trained(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small model trained on `small_text`. Tests that change files must copy it first."""
    folder = tmp_path_factory.mktemp("model") / "small"
    charloom.train(
        small_text,
        folder,
        hidden_size=32,
        embedding_size=16,
        batch_size=8,
        bptt=32,
        steps=60,
        evaluate_every=30,
        learning_rate=0.01,
        dropout=0.1,
        threads=1,
        device="cpu",
    )
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as a site, built strictly."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert built.returncode == 0, built.stderr  # not --quiet: it would silence the warnings that strictness counts
    return folder
