"""Processes that are killed, or asked to end, and what is left of their work."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.runtime.session import Logits, State
from charloom.text.vocabulary import Ids
from charloom.training.torch_session import TorchSession
from tests.faults.processes import finish, history, newest_step, result, start, start_code, wait_until
from tests.training.test_run import OPTIONS

SMALL = (
    "--hidden-size", 32, "--embedding-size", 8, "--batch-size", 8, "--bptt", 32, "--learning-rate", 0.005,
    "--dropout", 0.1, "--seed", 3, "--threads", 1, "--device", "cpu", "--json",
)  # fmt: skip


# Trains, and kills itself at some moment after a checkpoint later than the one it resumed from. The run cannot end
# before, however fast the machine is: from a step on, it waits.
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path

import charloom.training.run
from charloom.cli.main import main
from tests.faults.processes import newest_step

folder, before, limit, moment = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
steps = 0

def kill():
    while newest_step(folder) <= before:
        time.sleep(0.001)
    time.sleep(moment)
    os.kill(os.getpid(), signal.SIGKILL)

def train(*arguments, should_stop, **options):
    def stop():
        global steps
        steps += 1
        while steps > limit and newest_step(folder) > before:
            time.sleep(0.001)
        return should_stop()
    return honest(*arguments, should_stop=stop, **options)

honest, charloom.train = charloom.training.run.train, train
threading.Thread(target=kill, daemon=True).start()
sys.exit(main(sys.argv[5:]))
"""


def kill_again_and_again(text: Path, tmp_path: Path, kills: int, steps: int) -> list[int]:
    """The steps that were reached before each kill; the result is that of a run that was not killed."""
    command = ("train", text, *SMALL, "--steps", steps, "--evaluate-every", steps // 10)
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    expected = result(start(*command, "-o", whole))

    moments = random.Random(17)
    reached = [0]
    for _ in range(kills):
        own = (folder, reached[-1], steps // (2 * kills), moments.uniform(0, 0.3))
        process = start_code(KILLED, *own, *command, "--checkpoint-every", "0.05s", "-o", folder, "--resume")
        assert finish(process)[0] == -signal.SIGKILL
        reached.append(newest_step(folder))
        assert not (folder / "config.json").exists()
    assert reached == sorted(set(reached)), "progress between the kills"
    assert reached[-1] < steps

    ended = result(start(*command, "-o", folder, "--resume"))
    assert ended["resumed_from_step"] == reached[-1]
    assert expected["resumed_from_step"] == 0
    for name in ("model.safetensors", "model.onnx", "vocabulary.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    for key in ("validation_loss", "best_step", "steps", "characters", "sample"):
        assert ended[key] == expected[key], key
    losses = [
        {record["step"]: record["validation_loss"] for record in history(run) if "validation_loss" in record}
        for run in (whole, folder)
    ]
    assert losses[0] == losses[1]
    recorded = [record["step"] for record in history(folder) if "train_loss" in record]
    assert recorded == sorted(set(recorded)), "no step is recorded twice"
    assert not (folder / "training").exists()
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    return reached[1:]


@pytest.mark.slow
def test_killed_three_times(small_text: Path, tmp_path: Path) -> None:
    assert len(kill_again_and_again(small_text, tmp_path, kills=3, steps=1_500)) == 3


@pytest.mark.slow
def test_killed_twenty_times(small_text: Path, tmp_path: Path) -> None:
    assert len(kill_again_and_again(small_text, tmp_path, kills=20, steps=8_000)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_model_and_a_checkpoint_of_the_step(
    small_text: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "m"
    command = ("train", small_text, "-o", folder, *SMALL, "--steps", 1_000_000, "--evaluate-every", 100)
    process = start(*command)
    wait_until(lambda: any("validation_loss" in record for record in history(folder)), process)
    process.send_signal(number)
    ended = result(process, status=130)
    assert ended["interrupted"]
    assert newest_step(folder) == ended["steps"] > 0
    model = charloom.load(folder)
    assert model.config.training["result"]["interrupted"]
    measured = model.evaluate(small_text, protocol="windows-256")
    assert measured.loss == pytest.approx(ended["validation_loss"], abs=1e-5)
    assert measured.bits_per_char == pytest.approx(ended["bits_per_char"], abs=1e-5)


class StopInEvaluation:
    """A `should_stop` that says so in the middle of an evaluation; counts what is evaluated after that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, evaluation: int) -> None:
        self.made = False
        self.evaluated_after = 0
        self._evaluations = 0
        self._wanted = evaluation
        honest = TorchSession.run

        def run(session: TorchSession, ids: Ids, state: State) -> tuple[Logits, State]:
            if ids.shape[0] == 256 and ids.shape[1] > 1:  # neither a sample nor the check of the exported graph
                self._reading()
            return honest(session, ids, state)

        monkeypatch.setattr(TorchSession, "run", run)

    def _reading(self) -> None:
        self._evaluations += 1
        if self.made:
            self.evaluated_after += 1
        if self._evaluations == self._wanted:
            self.made = True

    def __call__(self) -> bool:
        return self.made


@pytest.fixture
def validation(small_text: Path, tmp_path: Path) -> Path:
    """So large that an evaluation is several calls: 64 rows of 256 each."""
    path = tmp_path / "validation.txt"
    path.write_text(small_text.read_text("utf-8") * 4, "utf-8")
    return path


@pytest.mark.slow
def test_an_evaluation_is_broken_off_and_leaves_no_trace(
    small_text: Path, validation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {**OPTIONS, "steps": 20, "validation": str(validation), "averaging": 0.9}
    charloom.train(small_text, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        # An evaluation is five calls or so: the third of the second evaluation, which is after step 10.
        stop = StopInEvaluation(patch, evaluation=8)
        stopped = charloom.train(small_text, tmp_path / "m", should_stop=stop, **options)
    assert stop.made
    assert stop.evaluated_after == 0, "someone is waiting"
    assert (stopped.interrupted, stopped.steps, stopped.best_step) == (True, 10, 1)
    assert newest_step(tmp_path / "m") == 10
    recorded = [record["step"] for record in history(tmp_path / "m") if "validation_loss" in record]
    assert recorded == [1], "the evaluation that was broken off is not recorded"
    resumed = charloom.train(small_text, tmp_path / "m", resume=True)
    assert resumed.resumed_from_step == 10
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_a_signal_while_a_large_text_is_evaluated(small_text: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    large.write_text(small_text.read_text("utf-8") * 25, "utf-8")
    folder = tmp_path / "m"
    # Evaluations after steps 1, 2, 3 …: nearly all the time goes into them.
    process = start(
        "train", small_text, "-o", folder, *SMALL, "--steps", 1_000, "--evaluate-every", 1, "--validation", large
    )
    wait_until(lambda: any("validation_loss" in record for record in history(folder)), process)
    process.send_signal(signal.SIGTERM)
    ended = result(process, status=130)
    assert ended["interrupted"]
    assert newest_step(folder) == ended["steps"]
    assert list(ended["losses"]) == ["windows-256"]
