"""Several processes that train one model: torchrun's, on this machine, with gloo."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed
from torch.multiprocessing.spawn import spawn

import charloom
from charloom.errors import TrainingError, UsageError
from charloom.training.ranks import Ranks, join_ranks
from tests.faults.processes import environment, finish, newest_step, result, start, wait_until
from tests.training.test_run import OPTIONS, after

COMMON = {
    "hidden_size": 24, "embedding_size": 8, "batch_size": 8, "bptt": 32, "learning_rate": 0.01, "dropout": 0.0,
    "state_reset": 0.1, "seed": 3, "threads": 1, "device": "cpu",
}  # fmt: skip


def flags(**options: object) -> list[object]:
    return [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)]


def torchrun(*arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    # Not --master-addr: torchrun's static rendezvous keeps the dead processes' addresses after a restart.
    launch = ("--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", 2, "--max-restarts", restarts)
    return start(*launch, "-m", "charloom", *arguments, module="torch.distributed.run")


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def as_rank(rank: int, port: int, *arguments: object) -> subprocess.Popen[str]:
    """One of two `python -m charloom …`, each with its rank in the environment, so that its own status is seen."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables["TORCHELASTIC_RUN_ID"] = "test"
    return subprocess.Popen(
        [sys.executable, "-m", "charloom", *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), **{name: str(value) for name, value in variables.items()}},
    )


def in_two_processes(work: Callable[[Ranks], None], tmp_path: Path) -> list[str]:
    """Which ranks did the work to its end."""
    spawn(_joined, (work, str(tmp_path / "meeting")), nprocs=2)  # type: ignore[no-untyped-call]
    return ended(tmp_path)


def ended(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("ended-*"))


def _joined(rank: int, work: Callable[[Ranks], None], meeting: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    try:
        work(Ranks(rank, 2, rank))
        Path(meeting).with_name(f"ended-{rank}").touch()
    finally:
        distributed.destroy_process_group()


def _exchange(ranks: Ranks) -> None:
    own = ranks.rank
    tensors = [torch.full((2, 3), float(own)), torch.tensor([1.0, 10.0]) * (own + 1)]
    means = ranks.average(tensors, [float(own), 5.0])
    assert torch.equal(tensors[0], torch.full((2, 3), 0.5))
    assert torch.equal(tensors[1], torch.tensor([1.5, 15.0]))
    assert means == [0.5, 5.0]

    part = torch.arange(6.0).view(1, 2, 3) + 100 * own
    joined = ranks.gather(part, dim=1)
    assert torch.equal(joined, torch.cat([torch.arange(6.0).view(1, 2, 3), torch.arange(6.0).view(1, 2, 3) + 100], 1))
    random = ranks.gather(torch.full((1, 4), own, dtype=torch.uint8), dim=0)
    assert random.tolist() == [[0] * 4, [1] * 4]

    assert ranks.share(0.1 + own) == 0.1
    assert ranks.share(float("inf") if own == 0 else 0.0) == float("inf")
    for content in (b"", b"\x00\xff" * 1000, "é".encode()):
        assert ranks.share_bytes(content if own == 0 else b"other") == content

    ranks.check_same("ab" * 32, "text")
    with pytest.raises(TrainingError, match=r"do not have the same text: give every machine the same"):
        ranks.check_same(("ab" if own == 0 else "cd") * 32, "text")
    assert ranks.writes is (own == 0)


@pytest.mark.slow
def test_what_two_ranks_tell_each_other(tmp_path: Path) -> None:
    assert in_two_processes(_exchange, tmp_path) == ["ended-0", "ended-1"]


def _learn_and_leave(rank: int, meeting: int, folder: str) -> None:
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": meeting}
    os.environ.update({"TORCHELASTIC_RUN_ID": "test", **{name: str(value) for name, value in variables.items()}})
    with join_ranks(lambda rank: torch.device("cpu")) as ranks:
        weights = torch.nn.Parameter(torch.full((3,), float(ranks.rank)))
        optimizer = torch.optim.AdamW([weights])
        weights.sum().backward()  # type: ignore[no-untyped-call]
        ranks.average([weights.data], [])
        optimizer.step()
        assert gloo_threads()
    assert not gloo_threads(), "a thread that outlives its group can abort the process as it exits"
    (Path(folder) / f"ended-{rank}").touch()


def gloo_threads() -> list[str]:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_no_thread_outlives_the_group(tmp_path: Path) -> None:
    spawn(_learn_and_leave, (port(), str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    assert ended(tmp_path) == ["ended-0", "ended-1"]


def test_alone_nothing_is_exchanged() -> None:
    alone, tensor = Ranks(), torch.tensor([1.0, 2.0])
    assert alone.average([tensor], [3.0]) == [3.0]
    assert tensor.tolist() == [1.0, 2.0]
    assert alone.gather(tensor, 0) is tensor
    assert alone.share(2.5) == 2.5
    assert alone.share_bytes(b"bytes") == b"bytes"
    alone.check_same("ab", "text")
    assert alone.writes


def test_rows_are_shared_out_evenly_or_not_at_all() -> None:
    assert [Ranks(rank, 4).rows(12) for rank in range(4)] == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)]
    with pytest.raises(UsageError, match="batch-size = 7: 2 processes need a multiple of 2"):
        Ranks(0, 2).rows(7)


def test_another_programs_world_size_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some schedulers set WORLD_SIZE for every job; only torchrun's run id makes it ours."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with join_ranks(lambda rank: torch.device("cpu")) as ranks:
        assert ranks.world_size == 1


@pytest.mark.slow
def test_two_ranks_with_half_the_rows_are_one_with_all(small_text: Path, tmp_path: Path) -> None:
    options = {**COMMON, "steps": 40, "evaluate_every": 20}
    folder = tmp_path / "two"
    process = torchrun("train", small_text, "-o", folder, "--json", *flags(**options))
    answer = result(process)  # exactly one line
    alone = charloom.train(small_text, tmp_path / "one", **options)  # type: ignore[arg-type]
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        assert torch.allclose(weights, theirs[name], atol=2e-5), name
    assert answer["validation_loss"] == pytest.approx(alone.validation_loss, abs=1e-5)
    assert answer["steps"] == 40
    assert answer["characters"] == alone.characters
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [line["step"] for line in lines if "train_loss" in line]
    assert steps == list(range(1, 41)), "one rank writes"
    first = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text("utf-8").splitlines()]
    for one, two in zip(first, lines, strict=True):
        for key in ("train_loss", "gradient_norm", "learning_rate"):
            assert one.get(key, 0) == pytest.approx(two.get(key, 0), rel=1e-3), (one["step"], key)


def test_resume_with_another_number_of_processes_is_refused(small_text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    charloom.train(small_text, folder, should_stop=after(5), **OPTIONS)
    record = folder / "training" / "run.json"
    run = json.loads(record.read_bytes())
    assert run["world_size"] == 1
    record.write_text(json.dumps({**run, "world_size": 2}), "utf-8")
    with pytest.raises(TrainingError, match=r"began with 2 process.* and this is 1: start as many") as caught:
        charloom.train(small_text, folder, resume=True)
    assert "\n" not in str(caught.value)
    record.write_text(json.dumps(run), "utf-8")
    assert charloom.train(small_text, folder, resume=True).steps == OPTIONS["steps"]


@pytest.mark.slow
def test_rows_that_cannot_be_shared_out_are_a_usage_error(small_text: Path, tmp_path: Path) -> None:
    options = flags(**{**COMMON, "batch_size": 7, "steps": 5})
    meeting = port()
    processes = [as_rank(rank, meeting, "train", small_text, "-o", tmp_path / "m", *options) for rank in range(2)]
    for process in processes:
        status, out, err = finish(process)
        assert (status, out) == (2, "")
        assert "batch-size = 7: 2 processes need a multiple of 2" in err
        assert "Traceback" not in err
    assert not (tmp_path / "m" / "config.json").exists()


@pytest.mark.slow
def test_ranks_with_different_texts_are_refused(small_text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(small_text.read_text("utf-8")[:-1] + "?", "utf-8")
    meeting, options = port(), flags(**COMMON, steps=5)
    processes = [
        as_rank(rank, meeting, "train", text, "-o", tmp_path / "m", *options)
        for rank, text in enumerate((small_text, other))
    ]
    for process in processes:
        status, out, err = finish(process)
        assert (status, out) == (1, "")
        assert "do not have the same text" in err
        assert "Traceback" not in err
    assert not (tmp_path / "m").exists()


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes a launcher has started; its threads may have started some each."""
    tasks = Path(f"/proc/{process.pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.skipif(not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(), reason="needs Linux's /proc")
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_is_started_again_and_goes_on(small_text: Path, tmp_path: Path, victim: int) -> None:
    steps = 1_000
    options = flags(**{**COMMON, "dropout": 0.2, "averaging": 0.9}, steps=steps, evaluate_every=250)
    command = ("train", small_text, "--json", "--checkpoint-every", "0.2s", *options)
    expected = result(torchrun(*command, "-o", tmp_path / "whole"))
    folder = tmp_path / "m"
    process = torchrun(*command, "-o", folder, "--resume", restarts=2)
    wait_until(lambda: newest_step(folder) > 0, process)
    workers = [
        pid
        for pid in children(process)
        if f"RANK={victim}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]
    assert len(workers) == 1
    os.kill(workers[0], signal.SIGKILL)
    answer = result(process)
    assert 0 < answer["resumed_from_step"] < steps
    assert (answer["steps"], answer["validation_loss"]) == (steps, expected["validation_loss"])
    for name in ("model.safetensors", "model.onnx"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (folder / "training").exists()
