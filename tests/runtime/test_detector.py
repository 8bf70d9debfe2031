"""Odd lines by a threshold that lines themselves give."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import charloom
from charloom import Detector
from charloom.errors import CorpusError, StorageError, UsageError
from charloom.kernel.weights import read_weights
from charloom.runtime.threshold import fit_threshold

ODD = ["Traceback (most recent call last):", "2026-03-02 12:00:00 worker-2 GET /../../etc/passwd 200", "worker-3 GE"]


def log(day: int, count: int = 400) -> list[str]:
    """Ordinary lines of a day."""
    draw = random.Random(day)
    return [
        f"2026-03-0{day} {draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02} "
        f"worker-{draw.randint(1, 4)} GET /items/{draw.randint(1, 99)} 200"
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def log_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.txt").write_text("\n".join(log(1, 3000)) + "\n")
    charloom.train(
        folder / "log.txt", folder / "model", steps=200, hidden_size=32, num_layers=1, batch_size=16, bptt=64,
        threads=1, device="cpu", items=False,
    )  # fmt: skip
    return folder / "model"


def test_a_changed_date_does_not_matter_where_the_stream_itself_is_fitted(log_model: Path) -> None:
    today = log(2)
    lines = [*today[:100], ODD[0], *today[100:250], ODD[1], *today[250:], ODD[2]]
    detector = Detector(log_model).fit(lines, false_alarms=2)
    found = [score.text for score in detector.score(lines) if score.odd]
    assert set(ODD) <= set(found)
    assert len(found) <= len(ODD) + 2
    assert detector.is_odd(ODD[0])
    assert not detector.is_odd(sorted(today)[200])


def test_a_mask_takes_what_moves_on_out_of_the_bill(log_model: Path) -> None:
    detector = Detector(log_model, mask=r"\d+").fit(log(1), false_alarms=4, good=True)
    assert detector.threshold is not None
    flagged = sum(bool(score.odd) for score in detector.score(log(2)))
    assert flagged < 40, "a day with another date"
    assert all(score.odd for score in detector.score([ODD[0], ODD[2]]))
    (score,) = charloom.load(log_model).score_lines(["worker-77 GET"], mask=[r"\d+", "GET"], per_char=True)
    assert score.per_char is not None
    assert [letter for letter, bits in score.per_char if bits == 0] == list("77GET")
    assert score.characters == len("worker- ") + 1
    assert score.worst_bits == max(bits for _, bits in score.per_char)
    (nothing,) = charloom.load(log_model).score_lines(["77"], mask=r"(?s).+")
    assert nothing.characters == 1, "the line end is not part of the match"


@pytest.mark.parametrize("wanted", [1, 3, 20])
def test_so_many_false_alarms_as_were_accepted(wanted: int) -> None:
    draws = np.random.default_rng(1)
    counts = []
    for _ in range(200):
        fitted, others = draws.gamma(2.0, 3.0, 1000), draws.gamma(2.0, 3.0, 1000)
        threshold = fit_threshold(fitted.tolist(), wanted, good=True)
        assert sum(map(threshold.is_odd, fitted)) == wanted - 1
        counts.append(sum(map(threshold.is_odd, others)))
    assert np.mean(counts) == pytest.approx(wanted, rel=0.25)


def test_odd_lines_hardly_move_the_threshold_of_their_stream() -> None:
    ordinary = np.random.default_rng(1).normal(3, 0.5, 1000).tolist()
    alone = fit_threshold(ordinary, 2, good=False)
    among = fit_threshold([*ordinary, *[20.0] * 100], 2, good=False)
    assert among.bits == alone.bits
    assert fit_threshold([1.0] * 100, 1, good=False).bits == 1.0
    assert not fit_threshold([1.0] * 100, 1, good=False).is_odd(None)


def test_a_stream_is_answered_as_it_comes(log_model: Path) -> None:
    detector = Detector(log_model).fit(log(1))
    taken = 0

    def stream() -> Iterator[str]:
        nonlocal taken
        for line in ODD:
            taken += 1
            yield line

    for number, score in enumerate(detector.score(stream(), live=True), start=1):
        assert (taken, score.text, score.odd) == (number, ODD[number - 1], True)


def test_saved_and_pickled_it_says_the_same(log_model: Path, tmp_path: Path) -> None:
    detector = Detector(log_model, by="mean", mask="[0-9]+").fit(log(1), false_alarms=3, good=True)
    detector.save(tmp_path / "threshold.json")
    again = Detector.load(tmp_path / "threshold.json", log_model)
    other = pickle.loads(pickle.dumps(detector))  # noqa: S301
    expected = list(detector.score([*log(3, 20), *ODD]))
    for copy in (again, other):
        assert list(copy.score([*log(3, 20), *ODD])) == expected
        assert repr(copy) == repr(detector)
    assert "fitted on 400 lines" in repr(detector)


@pytest.fixture(scope="module")
def other_model(log_model: Path) -> Path:
    """A model of the same log that has hardly learned it."""
    folder = log_model.parent
    charloom.train(
        folder / "log.txt", folder / "other", steps=20, hidden_size=8, num_layers=1, batch_size=16, bptt=64,
        threads=1, device="cpu", items=False,
    )  # fmt: skip
    return folder / "other"


def test_what_costs_both_models_as_much_is_not_odd(log_model: Path, other_model: Path, tmp_path: Path) -> None:
    """Of `qqqqqqqq` neither knows anything; what one alone would have foreseen counts."""
    detector = Detector(log_model, against=other_model).fit(log(3), good=True)
    (score,) = detector.score(["worker-2 GET /items/5 200"])
    (mine,), (other,) = (charloom.load(one).score_lines([score.text]) for one in (log_model, other_model))
    assert score.beyond_nats == mine.nats - other.nats < 0
    detector.save(tmp_path / "t.json")
    again = Detector.load(tmp_path / "t.json", log_model, against=other_model)
    copy = pickle.loads(pickle.dumps(detector))  # noqa: S301
    expected = [one.odd for one in detector.score([*log(3), *ODD])]
    assert expected[-3] is True, "a traceback"
    assert expected == [one.odd for one in again.score([*log(3), *ODD])]
    assert expected == [one.odd for one in copy.score([*log(3), *ODD])]


def test_a_saved_threshold_holds_for_what_it_was_fitted_with(
    log_model: Path, other_model: Path, tmp_path: Path
) -> None:
    alone, beside = tmp_path / "alone.json", tmp_path / "beside.json"
    detector = Detector(log_model).fit(log(1))
    detector.save(alone)
    Detector(log_model, against=other_model).fit(log(1)).save(beside)
    detector.save(beside)  # a threshold may take the place of one
    Detector(log_model, against=other_model).fit(log(1)).save(beside)
    exact = charloom.load(log_model, precision="float32" if detector.model.precision == "int8" else "int8")
    weights = {name: value * np.float32(0.5) for name, value in read_weights(detector.model.directory).items()}
    adapted = charloom.load(log_model).with_weights(weights)
    for path, model, against, says in (
        (alone, other_model, None, "was fitted with another model than"),
        (alone, adapted, None, "was fitted with another model than"),
        (alone, exact, None, "was fitted with precision"),
        (alone, log_model, other_model, "was fitted with one model alone"),
        (beside, log_model, None, "was fitted against another model: name that one too"),
        (beside, log_model, adapted, "was fitted against another model than"),
        (tmp_path / "none.json", log_model, None, "cannot read .*none.json: No such file"),
    ):
        with pytest.raises(UsageError, match=says) as refused:
            Detector.load(path, model, against=against)
        assert "\n" not in str(refused.value)
    for content in (
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"by": "mean"}',
        alone.read_bytes().replace(b'"bits": ', b'"bits": 1e999'),
    ):
        (tmp_path / "mine.json").write_bytes(content)
        with pytest.raises(UsageError, match=r"mine\.json is not a threshold that charloom saved"):
            Detector.load(tmp_path / "mine.json", log_model)
        with pytest.raises(StorageError, match="is there and is not a threshold"):
            detector.save(tmp_path / "mine.json")
        assert (tmp_path / "mine.json").read_bytes() == content


def test_a_column_of_a_table_keeps_its_rows(log_model: Path) -> None:
    """A row without a value is a row: it is not odd, and those behind it stay where they are."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    today = log(2, 60)
    for missing in (None, float("nan"), pandas.NA):
        lines = [*today[:20], ODD[0], missing, *today[20:], missing, ODD[1]]
        frame = pandas.DataFrame({"message": lines}, index=[3 * place % 7 for place in range(len(lines))])
        for column in (frame.message, frame.message.astype("string"), frame.message.astype("category")):
            detector = Detector(log_model).fit(column, false_alarms=2)
            assert detector.threshold is not None
            assert detector.threshold.lines == 62, "missing ones are left out"
            scores = list(detector.score(column))
            frame["odd"] = [score.odd for score in scores]
            assert [score.text for score in scores] == [None if pandas.isna(line) else line for line in lines]
            found = frame[frame.odd].message.tolist()
            assert {ODD[0], ODD[1]} <= set(found)
            assert len(found) <= 4
            assert not frame.odd[frame.message.isna()].any()
    empty = list(Detector(log_model).fit(log(1)).score(pandas.Series([None, ""], dtype="string")))
    assert [score.characters for score in empty] == [0, 1], "an empty line has its end"
    with pytest.raises(UsageError, match="12 is not a text but of type int"):
        list(charloom.load(log_model).score_lines(pandas.Series([12], dtype=object)))


def test_line_ends_of_other_systems_are_line_ends(log_model: Path) -> None:
    plain, *others = charloom.load(log_model).score_lines([ODD[0] + end for end in ("", "\n", "\r\n", "\r")])
    assert {score.nats for score in others} == {plain.nats}


def test_what_cannot_be_fitted(log_model: Path) -> None:
    with pytest.raises(UsageError, match="no threshold yet"):
        next(Detector(log_model).score(["a"]))
    with pytest.raises(CorpusError, match="3 lines are too few"):
        Detector(log_model).fit(["a", "b", "c"])
    with pytest.raises(UsageError, match="false alarms = 0"):
        Detector(log_model).fit(log(1), false_alarms=0)
    for wrong in (float("nan"), float("inf"), 10**400, -1):
        with pytest.raises(UsageError, match="false alarms = "):
            Detector(log_model).fit(log(1), false_alarms=wrong)
    with pytest.raises(UsageError, match="mask '\\('"):
        Detector(log_model, mask="(")
    with pytest.raises(UsageError, match="by = 'most'"):
        Detector(log_model, by="most")  # type: ignore[arg-type]


def test_where_a_threshold_cannot_be(log_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(log_model).fit(log(1))
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    (tmp_path / "large.log").write_bytes(b" " * (1 << 21) + b"{}")
    for name in ("pipe", "large.log", "."):
        with pytest.raises(StorageError, match="is there and is not a threshold"):
            detector.save(tmp_path / name)
    for name, says in (("none/t.json", "there is no folder"), ("large.log/t.json", "Not a directory")):
        with pytest.raises(StorageError, match=says):
            detector.save(tmp_path / name)
    with pytest.raises(StorageError, match="cannot write"):
        detector.save(tmp_path / ("x" * 300))
    monkeypatch.setenv("HOME", str(tmp_path))
    detector.save("~/t.json")
    assert Detector.load("~/t.json", log_model).threshold == detector.threshold
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.log", "pipe", "t.json"]
