"""All threads where the machine is quiet, one where it is crowded, whichever is the faster."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import charloom
from charloom.runtime.evaluation import evaluate_segments
from charloom.training import budget, one_run, trainer
from charloom.training.device import ThreadPace
from charloom.training.publish import publish

QUIET = {1: 0.2, 4: 0.1}
CROWDED = {1: 0.25, 4: 0.9}


class Machine:
    """Threads that take as long as a test says, and what watches them; remembers what each update ran with."""

    def __init__(self) -> None:
        self.threads = 4
        self.used: list[int] = []
        self.seconds = 0.0
        self.pace = ThreadPace(4, self.set_threads)

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def run(self, takes: dict[int, float], seconds: float) -> None:
        until = self.seconds + seconds
        self.used = []
        while self.seconds < until:
            self.used.append(self.threads)
            self.seconds += takes[self.threads]
            self.pace.took(takes[self.threads])


def test_a_quiet_machine_has_all_threads_after_the_first_second() -> None:
    machine = Machine()
    assert machine.threads == 1, "what comes before the first update is done by one"
    machine.run(QUIET, 60)
    assert machine.used.count(1) == 5
    assert set(machine.used[5:]) == {4}


def test_a_machine_that_is_crowded_from_the_start() -> None:
    machine = Machine()
    machine.run(CROWDED, 60)
    assert machine.used.count(1) > 0.7 * len(machine.used)


def test_one_thread_while_it_is_crowded_and_all_again_after_it() -> None:
    machine = Machine()
    machine.run(QUIET, 20)
    machine.run(CROWDED, 10)
    assert machine.used[-1] == 1
    machine.run(CROWDED, 60)
    assert machine.used.count(1) > 0.7 * len(machine.used)
    machine.run(QUIET, 15)
    machine.run(QUIET, 60)
    assert set(machine.used) == {4}


def test_slow_threads_stay_where_one_is_slower() -> None:
    machine = Machine()
    machine.run(QUIET, 20)
    machine.run({1: 1.0, 4: 0.5}, 200)
    assert machine.used.count(4) > 0.6 * len(machine.used)


def test_at_the_end_all_threads_are_back() -> None:
    machine = Machine()
    machine.run(QUIET, 20)
    machine.run(CROWDED, 10)
    assert machine.threads == 1
    machine.pace.end()
    assert machine.threads == 4


@given(st.lists(st.floats(1e-4, 10), max_size=300), st.integers(1, 64))
def test_there_is_one_thread_or_there_are_all(times: list[float], most: int) -> None:
    set_to: list[int] = []
    pace = ThreadPace(most, set_to.append)
    for seconds in times:
        pace.took(seconds)
    assert set(set_to) <= {1, most}
    assert set_to[:1] == [1] * (most > 1)
    assert all(one != other for one, other in itertools.pairwise(set_to))
    assert most > 1 or not set_to


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "watched"), [(None, True), (1, False)])
def test_only_a_run_on_a_clock_that_may_choose_is_watched(
    threads: int | None, watched: bool, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(ThreadPace, "took", lambda _self, seconds: seen.append(seconds))
    before = torch.get_num_threads()
    options = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 32, "device": "cpu", "threads": threads}
    charloom.train(small_text, tmp_path / "clock", budget="1s", **options)  # type: ignore[arg-type]
    assert bool(seen) == watched
    seen.clear()
    charloom.train(small_text, tmp_path / "steps", steps=3, **options)  # type: ignore[arg-type]
    assert not seen
    torch.set_num_threads(before)


@pytest.mark.parametrize("explicit", [None, 2])
def test_until_all_are_known_to_be_faster_one_thread_does_everything(
    explicit: int | None, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside other programs an evaluation, or what follows the last update, could take all of a short budget."""
    used: dict[str, set[int]] = {}

    def note(where: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            used.setdefault(where, set()).add(torch.get_num_threads())
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(trainer, "evaluate_segments", note("on the way", evaluate_segments))
    monkeypatch.setattr(one_run, "publish", note("at the end", publish))
    monkeypatch.setattr(budget, "_reading_seconds", note("before", budget._reading_seconds))
    monkeypatch.setattr(ThreadPace, "took", lambda _self, seconds: None)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    options: dict[str, Any] = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 32, "device": "cpu"}
    charloom.train(small_text, tmp_path / "m", budget="1s", threads=explicit, **options)
    assert used == {where: {explicit or 1} for where in ("before", "on the way", "at the end")}
    assert torch.get_num_threads() == (explicit or 3)
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch uses another OpenMP")
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")],
)
def test_threads_that_wait_let_others_have_the_core(given: dict[str, str], spins: str) -> None:
    """What OpenMP says of itself when torch is loaded; the user's own choice is kept."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    shown = subprocess.run(
        [sys.executable, "-c", "import charloom.training.run"],
        env={**others, **given, "OMP_DISPLAY_ENV": "VERBOSE"},
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    assert f"GOMP_SPINCOUNT = '{spins}'" in shown
