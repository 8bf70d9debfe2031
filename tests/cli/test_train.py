from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line
from tests.faults.processes import PATIENCE, history, wait_until

QUICK = ("--hidden-size", 16, "--embedding-size", 8, "--batch-size", 4, "--bptt", 20, "--steps", 12)


def test_json_has_the_promised_fields_and_nothing_else_on_stdout(
    charloom: Charloom, small_text: Path, tmp_path: Path
) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", "--json", *QUICK)
    assert ran.status == 0
    promised = {
        "model", "validation_loss", "bits_per_char", "protocol", "epochs", "characters", "seconds",
        "characters_per_second", "parameters", "resumed_from_step",
    }  # fmt: skip
    assert promised <= set(ran.json)
    assert ran.json["resumed_from_step"] == 0
    assert ran.json["protocol"] == "stateful"
    assert ran.json["bits_per_char"] == pytest.approx(ran.json["validation_loss"] / math.log(2))
    assert ran.json["characters"] == 12 * 4 * 20


def test_people_see_loss_and_the_next_command(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", *QUICK)
    assert ran.status == 0
    assert re.search(r"validation \d\.\d+ nats = \d\.\d+ bits/char", ran.err)
    assert "protocol windows-256" in ran.err
    assert f"charloom generate {tmp_path / 'm'} --prompt" in ran.err
    assert "bits per character (stateful)" in ran.out


def test_quiet_says_nothing_on_stderr(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", "--quiet", *QUICK)
    assert ran.status == 0
    assert ran.err == ""


def test_flags_reach_the_model(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", "--cell", "gru", "--num-layers", 2, "--quiet", *QUICK)
    assert ran.status == 0
    shape = json.loads((tmp_path / "m/config.json").read_text())["model"]
    assert shape["cell"] == "gru"
    assert shape["num_layers"] == 2
    assert shape["hidden_size"] == 16


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--recipe", "enormous"), "no such recipe: enormous; choose article, base"),
        (("--cell", "transformer"), "--cell transformer: choose rnn, lstm or gru"),
        (("--dropout", "1.5"), "--dropout 1.5: give less than 1"),
        (("--learning-rate", "-1"), "--learning-rate -1: "),
        (("--hidden-size", "0"), "--hidden-size 0: "),
        (("--epochs", "0"), "--epochs 0: "),
        (("--epochs", "nan"), "--epochs nan: give a finite number"),
        (("--epochs", "1", "--steps", "3"), "charloom: give epochs or steps, not both"),
        (("--epochs", "1", "--budget", "3s"), "charloom: give budget or epochs, not both"),
        (("--budget", "0s"), "--budget 0s: give a time above zero"),
        (("--clean", "polish"), "clean"),
        (("--encoding", "utf-9"), "no such text encoding"),
        (("--device", "toaster"), "device = 'toaster'"),
        (("--nonsense", "1"), "--nonsense"),
        (("--checkpoint-every", "soon"), "--checkpoint-every soon: "),
        (("--seed", "-1"), "--seed -1: "),
        (("--resume", "--overwrite"), "not both"),
    ],
)
def test_options_that_cannot_work_are_usage_errors(
    charloom: Charloom, small_text: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", *arguments)
    assert ran.status == 2
    assert says in one_line(ran)
    assert not (tmp_path / "m").exists()


def test_texts_that_cannot_be_learned_are_failures(charloom: Charloom, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "same.txt").write_text("a" * 5000)
    (tmp_path / "latin.txt").write_bytes("Grüße\nan alle\n".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    cases = {
        "nowhere.txt": "no such file",
        "empty.txt": "is empty",
        "same.txt": "one character, 'a', 5,000 times",
        "latin.txt": "latin.txt is not UTF-8: byte 0xFC at offset 2 (line 1)",
        "folder": "no text in the folder",
    }
    for name, says in cases.items():
        ran = charloom("train", tmp_path / name, "-o", tmp_path / "m")
        assert ran.status == 1, name
        assert says in one_line(ran)
        assert not (tmp_path / "m").exists()


def test_a_short_text_shrinks_the_batch_unless_the_user_set_it(charloom: Charloom, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("to be or not to be, that is the question. " * 20)  # 840 characters
    ran = charloom("train", tmp_path / "short.txt", "-o", tmp_path / "m", "--steps", 3, "--hidden-size", 8)
    assert ran.status == 0
    assert "7 rows in windows of 100 instead of 16" in ran.err
    ran = charloom("train", tmp_path / "short.txt", "-o", tmp_path / "n", "--batch-size", 64, "--bptt", 60)
    assert ran.status == 1
    assert "3,840 are needed; --batch-size 12 or --bptt 11 would fit" in one_line(ran)


def test_a_taken_folder_needs_overwrite(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    assert charloom("train", small_text, "-o", folder, *QUICK).status == 0
    before = (folder / "config.json").read_bytes()
    ran = charloom("train", small_text, "-o", folder, *QUICK)
    assert ran.status == 1
    assert "already holds a model" in one_line(ran)
    assert (folder / "config.json").read_bytes() == before
    assert charloom("train", small_text, "-o", folder, "--overwrite", "--seed", 2, *QUICK).status == 0
    assert (folder / "config.json").read_bytes() != before


def test_a_failed_overwrite_leaves_the_old_model(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    (tmp_path / "same.txt").write_text("aaaa")
    assert charloom("train", tmp_path / "same.txt", "-o", folder, "--overwrite").status == 1
    assert charloom("inspect", folder).status == 0


def test_an_output_that_cannot_be_written(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = charloom("train", small_text, "-o", tmp_path / "file/m", *QUICK)
    assert ran.status == 1
    assert "cannot write" in one_line(ran)


def test_a_finished_run_resumes_to_itself_at_once(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    first = charloom("train", small_text, "-o", tmp_path / "m", "--json", *QUICK)
    again = charloom("train", small_text, "-o", tmp_path / "m", "--json", "--resume", *QUICK)
    assert again.status == 0
    assert again.json == first.json
    assert "nothing to resume" in again.err


def test_resume_of_nothing_starts_and_says_so(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("train", small_text, "-o", tmp_path / "m", "--resume", "--json", *QUICK)
    assert ran.status == 0
    assert ran.json["resumed_from_step"] == 0
    assert "starting from the beginning" in ran.err


def _start(arguments: list[str], **options: object) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-m", "charloom", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,  # type: ignore[call-overload]
    )
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_best_and_resume_goes_on(
    charloom: Charloom, small_text: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "m"
    arguments = ["train", str(small_text), "-o", str(folder), "--hidden-size", "16", "--steps", "100000"]
    process = _start([*arguments, "--json", "--evaluate-every", "100000"])
    wait_until(lambda: bool(history(folder)), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    result = json.loads(out)
    assert result["interrupted"] is True
    assert f"charloom train {small_text} -o {folder} --resume" in err
    assert charloom("generate", folder, "--length", 10, "--json").status == 0

    process = _start([*arguments, "--json", "--resume", "--evaluate-every", "100000"])
    assert process.stderr is not None
    for line in process.stderr:
        if "from step" in line:
            break
    wait_until(lambda: history(folder)[-1]["step"] > result["steps"], process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert json.loads(out)["resumed_from_step"] == result["steps"]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(small_text: Path, tmp_path: Path) -> None:
    """A real limit: no file of this process may grow beyond 200 kB, and the graph needs more."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    folder = tmp_path / "m"
    arguments = ["train", str(small_text), "-o", str(folder), "--hidden-size", "128", "--steps", "4"]
    process = _start([*arguments, "--bptt", "20"], preexec_fn=limit)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert out == ""
    assert "Traceback" not in err
    assert "disk is full" in err.splitlines()[-1]
    assert not (folder / "config.json").exists()
    assert not list(folder.rglob("*.part"))


@pytest.mark.slow
def test_names_are_learned(charloom: Charloom, names: Path, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    ran = charloom("train", names, "-o", folder, "--recipe", "names", "--steps", 600, "--seed", 1, "--json")
    assert ran.status == 0
    made = charloom("generate", folder, "--items", 300, "--seed", 1, "--json").json["items"]
    assert len(made) == 300
    real = set(names.read_text().split())
    lengths = [len(name) for name in made]
    assert 4 < sum(lengths) / len(lengths) < 9  # real names have 6.1 letters on average
    assert all(re.fullmatch("[a-z]+", name) for name in made)
    assert sum(name in real for name in made) > len(made) / 10  # and some of them exist
