from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ablation
import browser
import budget_law
import classify
import generation
import going_on
import learning
import odd_lines
import scoring
import serving
import throughput
from article_generation import TunedGenerator
from article_loop import ArticleNetwork
from throughput_worker import CASES, PEAKS, operations_per_character

OURS = ["--ours", "hidden-size=12", "embedding-size=4", "batch_size=8", "bptt=30", "steps=60", "evaluate_every=20"]
SMALL = ["--article-hidden-size", "8", *OURS]


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    result: dict[str, Any] = json.loads(lines[0])
    return result


def test_learning_measures_both_sides(prose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "loss.svg"
    learning.main([str(prose), "--json", "--protocols", "--picture", str(picture), *SMALL])
    found = report(capsys)
    ours, article = found["ours"], found["article"]
    for count in ("characters", "validation_characters", "protocol"):
        assert ours[count] == article[count]
    for side in (ours, article):
        assert side["points"][-1]["loss"] < math.log(article["vocab_size"])
        assert 0 < side["training_seconds"] <= side["wall_seconds"]
    parts = ("setup_seconds", "training_seconds", "evaluation_seconds", "publishing_seconds")
    assert sum(ours[part] for part in parts) == pytest.approx(ours["wall_seconds"])
    assert ours["losses"]["cold-60"] == pytest.approx(min(point["loss"] for point in ours["points"]))
    assert found["protocols"].keys() == {"stateful", "windows-256", "cold-60"}
    assert found["comparison"]["extrapolated"]
    assert "NOT the article's size" in found["comparison"]["article_basis"]
    assert found["comparison"]["article_seconds"] == pytest.approx(18 * article["seconds_per_epoch"])
    drawn = picture.read_text("utf-8")
    assert "time extrapolated" in drawn
    assert "charloom" in drawn


def test_learning_prints_a_table(prose: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learning.main([str(prose), "--target", "9", *SMALL])
    out = capsys.readouterr().out
    assert "time to cold-60 9.0" in out
    assert "measured: it reached 9.0 in epoch 1" in out
    assert "ours / article" in out
    assert "EXTRAPOLATED" not in out


def test_learning_as_it_is(prose: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learning.main([str(prose), "--as-is", "--protocols", "--json", *SMALL])
    found = report(capsys)
    assert found["article"] is found["comparison"] is None
    assert found["ours"]["protocol"] == "windows-256"
    assert found["protocols"].keys() == {"stateful", "windows-256", "cold-60"}


def test_ablation_prints_a_row_for_each_text_and_way(prose: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["hidden-size=12", "embedding-size=4", "batch_size=8", "bptt=30", "steps=20"]
    ways = ["--way", "optimizer=adamw", "--way", "dropout=0", "learning_rate=0.01"]
    ablation.main([str(prose), str(prose), "--all", *small, *ways])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 4
    assert {row.count("|") for row in (head, *rows)} == {8}
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[:2] for row in cells[:2]] == [
        ["prose.txt", "`--optimizer adamw`"],
        ["prose.txt", "`--dropout 0 --learning-rate 0.01`"],
    ]
    assert [row[5:] for row in cells[2:]] == [row[5:] for row in cells[:2]], "the same runs"
    assert cells[0][5] != cells[1][5]
    assert all(1 < float(loss) < math.log(len(set(prose.read_text("utf-8"))) + 1) for row in cells for loss in row[5:])


def test_going_on_prints_a_row_for_each_pair(prose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.txt"
    new.write_text(prose.read_text("utf-8")[-5_000:].upper(), "utf-8")
    going_on.main([f"{prose}={new}", "--hidden-size", "8", "--old-steps", "4", "--steps", "4"])
    head, _, row = capsys.readouterr().out.splitlines()[-3:]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert head.count("|") == row.count("|")
    assert cells[0] == "prose → new"
    assert all(1 < float(cell) < 6 for cell in cells[2:9])


def test_the_law_is_shown_beside_what_was_reached(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget_law, "RECORDS", tmp_path / "runs.json")
    (tmp_path / "runs.json").write_text(
        '[["old", 8, 1000, 90000, 1600, 3.5], ["old", 16, 3000, 90000, 1600, 3.0]]', "utf-8"
    )
    budget_law.main(["--run", f"new={prose}", "--units", "8", "12", "--read", "3200"])
    runs = budget_law.read_runs()
    assert [(run.text, run.units) for run in runs] == [("new", 8), ("new", 12), ("old", 8), ("old", 16)]
    assert all(run.read == pytest.approx(3200, rel=0.02) for run in runs[:2])
    assert capsys.readouterr().out.count("root mean square 0.000") == 2, "two numbers fit two runs"


def test_the_table_of_the_law_is_what_the_runs_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "training.md").read_text("utf-8")
    section = (
        page.split("### Does the law hold for other texts?")[1].split("|---|---|---|---|---|---|")[1].split("\n\n")[0]
    )
    shown = [[cell.strip() for cell in row.split("|")[2:-1]] for row in section.strip().splitlines()]
    found = []
    for text in ("tiny Shakespeare", "a novel", "Python source", "tunes (ABC)", "a Chinese novel", "logs"):
        runs = [run for run in budget_law.read_runs() if run.text == text]
        floor, scale, law = budget_law.fit(runs)
        off = math.sqrt(sum((said - run.loss) ** 2 for said, run in zip(law, runs, strict=True)) / len(runs))
        span = max(run.loss for run in runs) - min(run.loss for run in runs)
        found.append([f"{floor:.2f}".replace("-", "−"), f"{scale:.2f}", str(len(runs)), f"{span:.2f}", f"{off:.3f}"])
    assert shown == found


@pytest.mark.parametrize("option", ["threads=2", "clean=nfc", "hidden_size"])
def test_learning_refuses_what_would_be_unfair(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        learning.main(["text.txt", "--ours", option])
    assert option.split("=")[0] in capsys.readouterr().err


def looks(*losses: float) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "seconds": 10.0 * epoch, "wall_seconds": 11.0 * epoch, "loss": loss}
        for epoch, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "seconds", "extrapolated"),
    [
        ([2.0], 180, True),
        ([2.0, 1.5], 180, True),
        ([1.5] * 20, 180, False),
        ([1.6, 1.5, 1.44, 1.43], 30, False),
    ],
)
def test_the_articles_time(losses: list[float], seconds: float, extrapolated: bool) -> None:
    article = {"points": looks(*losses), "seconds_per_epoch": 10.0, "hidden_size": 512}
    found = learning.compare({"points": looks(1.5, 1.4477)}, article, 1.4477)
    assert (found["article_seconds"], found["extrapolated"]) == (seconds, extrapolated)
    assert (found["ours_seconds"], found["ours_wall_seconds"]) == (20, 22)
    assert found["ours_over_article"] == pytest.approx(20 / seconds)


def test_nothing_is_extrapolated_to_another_target() -> None:
    article = {"points": looks(2.0), "seconds_per_epoch": 10.0, "hidden_size": 512}
    found = learning.compare({"points": looks(1.5)}, article, 1.5)
    assert found["article_seconds"] is found["ours_over_article"] is None
    assert not found["extrapolated"]


def test_operations_are_six_times_the_weights_that_multiply() -> None:
    article, default = CASES[0].shape(512), CASES[2].shape(512)
    biases = 2 * 2 * 4 * 512 + 38
    assert operations_per_character(article) == 6 * (article.parameters - biases)
    table_and_biases = 66 * 64 + 2 * 4 * 512 + 66
    assert operations_per_character(default) == 6 * (default.parameters - table_and_biases)


def a_log(*, faults: int) -> list[str]:
    """Lines of a log, the last of them faults."""
    does = ("read", "wrote", "sent", "lost")
    good = [f"{place:05} INFO node-{place % 7} {does[place % 4]} {place * 37 % 1000} bytes" for place in range(120)]
    return [*good, *[f"{place:05} FATAL disk {place % 3} is gone" for place in range(faults)]]


@pytest.mark.slow
def test_odd_lines_tries_every_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled = [f"{'KERNDTLB' if 'gone' in line else '-'} {line}" for line in a_log(faults=12)]
    (tmp_path / "BGL_2k.log").write_text("\n".join(labelled) + "\n")
    for name in ("Hadoop", "Zookeeper"):
        (tmp_path / f"{name}_2k.log").write_text("\n".join(a_log(faults=12)) + "\n")
    odd_lines.main([str(tmp_path), "--tries", "--steps", "2", "--seeds", "2", "--json"])
    found = report(capsys)
    assert found.keys() == odd_lines.TRIES.keys()
    for name, row in found.items():
        known_good = () if "cross-score" in name or "every other" in name else ("BGL, known-good half",)
        logs = ("BGL itself", "Zookeeper itself", "Hadoop itself", *known_good)
        assert row.keys() == {f"{log}, {by}" for log in logs for by in ("worst", "mean")}
        assert all(len(figures) == 2 and all(0 <= figure <= 1 for figure in figures) for figures in row.values())


def test_odd_lines_are_counted_by_hand() -> None:
    assert odd_lines.auroc([1.0, 2.0, 2.0, 3.0], [False, False, True, True]) == pytest.approx(3.5 / 4)


@pytest.mark.slow
def test_throughput(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(throughput, "MODES", {"1 thread": (1, 1), "2 processes": (2, 1)})
    throughput.main(["--hidden-size", "8", "--seconds", "0.02", "--repeats", "1", "--json"])
    found = report(capsys)
    assert found["peak_gflops"]["1 thread"].keys() == PEAKS.keys()
    peak = max(found["peak_gflops"]["1 thread"].values())
    assert len(found["rows"]) == 2 * len(CASES)
    for row in found["rows"]:
        cores = 2 if row["mode"] == "2 processes" else 1
        assert row["gflops"] == pytest.approx(row["characters_per_second"] * row["operations_per_character"] / 1e9)
        assert row["share"] == pytest.approx(row["gflops"] / (cores * peak))
        if cores == 1:
            assert row["speed_up"] == 1
    throughput.show(found)
    assert "charloom, GRU 1 × 8" in capsys.readouterr().out


@pytest.mark.slow
def test_generation(capsys: pytest.CaptureFixture[str]) -> None:
    generation.main(["--hidden-size", "8", "--characters", "40", "--repeats", "1", "--json"])
    found = report(capsys)
    assert found["rates"].keys() >= {"article", "tuned", "int8", "int8_batch", "int8_engine", "limit"}
    assert all(rate > 0 for rate in found["rates"].values())
    assert found["seconds"]["charloom_process"] > 0
    generation.show(found)
    assert "first character after a prompt of 1,000" in capsys.readouterr().out


def test_the_tuned_step_is_the_articles_network() -> None:
    network = ArticleNetwork(30, 16).eval()
    tuned = TunedGenerator(network)
    state = None
    for token in (3, 7, 29, 0, 3):
        logits, state = network(torch.tensor([[token]]), state)
        tuned.step(token)
        for layer in range(2):
            for ours, theirs in zip(tuned._state[layer], state, strict=True):
                torch.testing.assert_close(ours[0], theirs[layer, 0])
        assert logits.shape == (1, 1, 30)


def test_scoring(prose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text(prose.read_text("utf-8")[:3000], "utf-8")
    scoring.main([str(text), "--hidden-size", "8", "--seconds", "0.02", "--repeats", "1", "--json"])
    found = report(capsys)
    assert len(found["characters_per_second"]) == 9
    assert min(found["characters_per_second"].values()) > 0
    scoring.show_rates(found)
    assert "reference: 64 texts written" in capsys.readouterr().out


@pytest.mark.parametrize("way", scoring.WAYS)
def test_memory_of_scoring(prose: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    scoring.main([str(prose), "--watch", way])
    found = report(capsys)
    assert not prose.read_text("utf-8").endswith("\n")
    assert found["characters"] == 100_000 + (0 if way == "whole" else 1), "the last line is read as if it had an end"
    assert found["end"] > 10


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (apt-get install chromium)")
def test_browser(capsys: pytest.CaptureFixture[str]) -> None:
    browser.main(["--hidden-size", "8", "--characters", "40", "--repeats", "1", "--json"])
    found = report(capsys)
    assert found["rates"].keys() == {"page", "steps", "charloom_int8", "page_in_javascript"}
    assert all(rate > 0 for rate in found["rates"].values())
    assert found["bytes_beyond"] <= browser.BEYOND
    browser.show(found)
    assert "target 12,000" in capsys.readouterr().out


@pytest.mark.slow
def test_serving(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--hidden-size", "8", "--streams", "1,5", "--characters", "30", "--flood", "70", "--json"]
    serving.main(arguments)
    found = report(capsys)
    assert [row["streams"] for row in found["ours"]] == [1, 5]
    rows = [*found["ours"], found["flood"]]
    assert all(row["characters_per_second"] > 0 for row in [*rows, *found["article"]])
    assert [row["wrong"] for row in rows] == [0, 0, 0]
    serving.show(found)
    assert "charloom serve, flood" in capsys.readouterr().out


def test_classify_measures_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    for name, letters in (("hard", "kptz"), ("soft", "lmnr")):
        lines = [f"{a}{b}{c}a" for a in letters for b in "aeiou" for c in letters]
        (folder / f"{name}.txt").write_text("\n".join([*lines, *lines]) + "\n")
    arguments = [str(folder), str(tmp_path / "models"), "--steps", "20", "--hidden-size", "8"]
    classify.main([*arguments, "--json"])
    found = report(capsys)
    assert found["classes"] == {"hard": [72, 8], "soft": [72, 8]}
    for side in ("charloom", "3-gram"):
        assert found[side]["accuracy"] == found[side]["mean_recall"] == found[side]["auroc"] == 1


def test_the_figures_of_a_classifier_by_hand() -> None:
    nats = {"aa": {"a": 1.0, "b": 2.0}, "ab": {"a": 3.0, "b": 2.0}, "bb": {"a": 2.0, "b": 1.5}}
    found = classify.figures({"a": ["aa", "ab"], "b": ["bb"]}, {"a": 0.9, "b": 0.1}, nats.__getitem__)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy_uniform"] == pytest.approx(2 / 3)
    assert found["mean_recall"] == pytest.approx(3 / 4)
    assert found["auroc"] == pytest.approx(1 / 2)
    gram = classify.trigram(["ab"], 3)
    assert gram("ab") == pytest.approx(-3 * math.log(1.1 / 1.3))
    assert gram("b") == pytest.approx(-math.log(0.1 / 1.3) - math.log(1 / 3))
