from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.bundle import EvaluationRecord
from charloom.cli.history import BLOCKS, history_table, loss_line, thin_out
from tests.cli.conftest import Charloom, one_line
from tests.terminal import on_a_terminal


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture
def unfinished(model: Path) -> Path:
    (model / "config.json").unlink()
    (model / "training").mkdir()
    (model / "training/run.json").write_text('{"steps": 500, "corpus": {"sources": ["my text.txt"]}}')
    return model


def record(step: int, loss: float | None = 2.0) -> EvaluationRecord:
    return EvaluationRecord(step, step / 100, step * 1.5, 1.9, loss, 2.9, "windows-256", 0.001, 1000.0)


def test_json_has_the_history(charloom: Charloom, trained: Path) -> None:
    ran = charloom("inspect", trained, "--json")
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text("utf-8").splitlines()]
    expected = {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}
    assert {item["step"]: item["validation_loss"] for item in ran.json["history"]} == expected
    assert all(item["train_loss"] and item["learning_rate"] is not None for item in ran.json["history"])
    assert "sample" not in ran.json["history"][0]
    assert ran.json["unfinished"] is False


def test_people_see_the_history(charloom: Charloom, trained: Path) -> None:
    ran = charloom("inspect", trained)
    assert "validation" in ran.out
    last = charloom("inspect", trained, "--json").json["history"][-1]
    assert f"{last['validation_loss']:.4f}" in ran.out
    table = [line for line in ran.out.splitlines() if line.endswith("best")]
    assert len(table) == 1


def test_a_long_history_is_thinned() -> None:
    history = [record(step, 2 + abs(step - 371) / 1000) for step in range(1, 1001)]
    rows = thin_out(history)
    assert 10 <= len(rows) <= 15
    assert {1, 371, 1000} <= {row.step for row in rows}
    table = history_table(history)
    assert "985 more" in table or "986 more" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_a_table_of_monstrous_figures_is_not_wider() -> None:
    monsters = EvaluationRecord(2**53 - 1, 1e299, 9e8, -1e299, 1e299, 1e299, "x", 1e-299, 1e299)
    lines = history_table([monsters, record(1, None)]).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len({len(line.removesuffix("  best")) for line in lines}) == 1


def test_the_loss_is_a_line_of_blocks() -> None:
    assert loss_line([record(1, 3.0), record(2, None), record(3, 2.0), record(4, 1.0)]) == (
        "validation loss 3.0000 █▅▁ 1.0000"
    )
    assert loss_line([record(1, 2.0), record(2, 2.0)]) == "validation loss 2.0000 ▁▁ 2.0000"
    assert loss_line([record(1, 2.0), record(2, None)]) == ""
    falls = loss_line([record(step, 1000 - step) for step in range(1000)]).split()[3]
    assert len(falls) == 40
    assert sorted(falls, key=BLOCKS.index, reverse=True) == list(falls)
    assert loss_line([record(1, 1.7e308), record(2, -1.7e308)]).split()[3] == "█▁"


def test_a_narrow_terminal_breaks_no_word_and_no_row(trained: Path) -> None:
    printed = on_a_terminal(["inspect", str(trained)], 40)
    lines = [line.rstrip() for line in printed.splitlines()]
    assert max(map(len, lines)) <= 40
    assert set(" ".join(lines).split()) <= set(on_a_terminal(["inspect", str(trained)], 300).split())
    last = json.loads((trained / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
    row = next(line for line in lines if line.lstrip().startswith(f"{last['step']:,} "))
    assert f"{last['validation_loss']:.4f}" in row
    assert f"{last['bits_per_char']:.4f}" in row


def test_a_terminal_without_blocks_gets_none(trained: Path) -> None:
    printed = on_a_terminal(["inspect", str(trained)], 80, PYTHONIOENCODING="ascii")
    assert "validation" in printed
    assert "\\u25" not in printed


def test_no_history(charloom: Charloom, model: Path) -> None:
    (model / "metrics.jsonl").unlink()
    ran = charloom("inspect", model)
    assert ran.status == 1
    assert "no evaluation is recorded" in ran.out


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00\n" * 9, b'{"step": 1, "validation_loss": NaN}\n', b"[" * 50_000, b'{"step": true}']
)
def test_a_hostile_history(charloom: Charloom, model: Path, content: bytes) -> None:
    (model / "metrics.jsonl").write_bytes(content)
    ran = charloom("inspect", model, "--json")
    assert ran.status == 1  # the file is altered
    assert ran.err == ""
    assert all(item["validation_loss"] is None for item in ran.json["history"])
    assert "NOT WHOLE: metrics.jsonl is altered" in charloom("inspect", model).out


def test_an_unfinished_run(charloom: Charloom, unfinished: Path) -> None:
    ran = charloom("inspect", unfinished)
    assert ran.status == 1
    assert "an unfinished run, at step 60 of 500" in ran.out
    assert f"charloom train 'my text.txt' -o {unfinished} --resume" in ran.out
    assert "validation" in ran.out
    ran = charloom("inspect", unfinished, "--json")
    assert ran.status == 1
    assert ran.json["unfinished"] is True
    assert ran.json["whole"] is False
    assert (ran.json["step"], ran.json["steps"]) == (60, 500)
    assert ran.json["history"]


def test_a_hostile_unfinished_run(charloom: Charloom, unfinished: Path) -> None:
    names = json.dumps({"steps": -5, "corpus": {"sources": ["\x1b[2J; rm -rf ~", 3]}})
    (unfinished / "training/run.json").write_text(names)
    ran = charloom("inspect", unfinished)
    assert ran.status == 1
    assert "\x1b" not in ran.out
    assert "at step 60\n" in ran.out
    assert f"charloom train $'\\x1b[2J; rm -rf ~' -o {unfinished} --resume" in ran.out


def test_an_interrupted_run_is_whole_and_can_go_on(charloom: Charloom, model: Path) -> None:
    (model / "training").mkdir()
    (model / "training/run.json").write_text('{"steps": 500, "corpus": {"sources": ["my text.txt"]}}')
    ran = charloom("inspect", model, "--json")
    assert ran.status == 0
    assert ran.json["whole"] is True
    assert ran.json["unfinished"] is True
    assert "--resume" in charloom("inspect", model).out


def test_the_run_that_train_leaves_is_what_inspect_reads(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import charloom as library

    with pytest.raises(ZeroDivisionError):
        library.train(
            small_text, tmp_path / "m", steps=40, evaluate_every=10, hidden_size=8, should_stop=lambda: 1 // 0 > 0
        )
    ran = charloom("inspect", tmp_path / "m", "--json")
    assert ran.json["unfinished"] is True
    assert ran.json["steps"] == 40
    assert "small.txt" in ran.json["resume"]


def test_what_others_wrote_into_the_model_cannot_act(charloom: Charloom, model: Path) -> None:
    config = json.loads((model / "config.json").read_bytes())
    config["library_version"] = "1\x1b]52;c;cm0gLXJm\x07"
    config["corpus"]["sources"] = ["a\x1b[2J\nit is whole\u2028\u202e", "　吾輩　猫.txt"]
    (model / "config.json").write_text(json.dumps(config), "utf-8")
    (model / "metrics.jsonl").write_bytes(b"")
    (model / "x\nit is whole\n\x1b[2J").write_bytes(b"")
    ran = charloom("inspect", model)
    assert not set("\x1b\x07\u2028\u202e") & set(ran.out + ran.err)
    assert "it is whole" not in ran.out.splitlines()
    assert "NOT WHOLE" in ran.out
    assert "　吾輩　猫.txt" in ran.out


def test_folders_of_trackers_are_no_part_of_the_model(charloom: Charloom, model: Path) -> None:
    for name in ("tensorboard", "mlruns"):
        (model / name).mkdir()
        (model / name / "file").write_text("x")
    ran = charloom("inspect", model, "--json")
    assert ran.status == 0
    assert {file["state"] for file in ran.json["files"]} == {"ok"}


def test_nothing_there(charloom: Charloom, tmp_path: Path) -> None:
    assert "no such model directory" in one_line(charloom("inspect", tmp_path / "nothing"))
    assert "holds no model" in one_line(charloom("inspect", tmp_path))
    assert charloom("inspect", "x" * 5000).status == 1


def test_it_needs_no_library_that_trains(trained: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'matplotlib', 'onnx', 'yaml', 'tensorboard', 'mlflow'): sys.modules[name] = None\n"
        "from charloom.cli.main import main\n"
        "main(['inspect', sys.argv[1], '--json'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(trained)], capture_output=True, text=True, check=True)
    assert all(math.isfinite(item["validation_loss"]) for item in json.loads(ran.stdout)["history"])
