"""A time to train: the plan's arithmetic, the choice of a network, and runs that keep to it."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from mlflow.tracking import MlflowClient

import charloom
from charloom.bundle import open_model_directory
from charloom.errors import UsageError
from charloom.events import Evaluated, Event, Notice, StepTaken, TrainingStarted
from charloom.settings import Chosen, CorpusSettings, RunSettings, TrainingSettings, run_settings
from charloom.text.corpus import CorpusSource
from charloom.training import budget as budgets
from charloom.training import speed as speeds
from charloom.training.budget import SIZES, Choice, choose, choose_again, predicted_loss
from charloom.training.data import TrainingData, model_shape, prepare_data
from charloom.training.ranks import Ranks
from charloom.training.schedule import Growth, Plan
from charloom.training.state import Progress
from tests.training.test_run import after
from tests.training.test_tracking import runs

SETTINGS = TrainingSettings(learning_rate=0.01, warmup=0.1)
BY_STEPS = Plan(SETTINGS, steps=100, evaluate_every=20)
BY_CLOCK = Plan(SETTINGS, steps=500, evaluate_every=None, budget=110.0, reserve=10.0)
SMALL: dict[str, Any] = {
    "hidden_size": 16, "embedding_size": 8, "batch_size": 4, "bptt": 20, "threads": 1, "device": "cpu",
}  # fmt: skip


class TestPlan:
    def test_by_steps(self) -> None:
        assert BY_STEPS.share_done(Progress(step=0)) == 1 / 101
        assert BY_STEPS.share_done(Progress(step=99)) == 100 / 101
        assert [BY_STEPS.is_over(Progress(step=step)) for step in (0, 99, 100)] == [False, False, True]
        assert BY_STEPS.steps_expected(Progress(step=3)) == 100
        assert BY_STEPS.seconds_left(Progress(step=25, seconds=5.0)) == 15.0

    def test_by_the_clock(self) -> None:
        assert BY_CLOCK.learning_seconds(Progress()) == 100
        assert BY_CLOCK.share_done(Progress()) == 1e-6
        # 10 updates took 5 s in all: the coming one will take half a second.
        progress = Progress(step=10, seconds=49.5, training_seconds=5.0, started_at=9.5)
        assert BY_CLOCK.share_done(progress) == 0.5
        assert not BY_CLOCK.is_over(progress)
        # 10 updates in 40 s with all that belongs to them, 50.5 s to go.
        assert BY_CLOCK.steps_expected(progress) == 10 + round(10 / 40 * 50.5)
        assert BY_CLOCK.seconds_left(progress) == 60.5

    def test_windows_grow_by_the_clock(self) -> None:
        plan = replace(BY_CLOCK, growth=Growth(0.5))
        parts = {second: plan.parts(Progress(seconds=float(second))) for second in (0, 30, 31, 60, 61, 100, 105)}
        assert parts == {0: 3, 30: 3, 31: 2, 60: 2, 61: 1, 100: 1, 105: 1}
        assert BY_CLOCK.parts(Progress()) == BY_STEPS.parts(Progress()) == 1
        # 30 s make 45 updates where a second makes one with whole windows, and what comes makes as many as that says.
        progress = Progress(step=45, seconds=30.0, training_seconds=30.0)
        assert plan.steps_expected(progress) == round(45 + 30 * 2 * 2 / 3 + 40)
        assert plan.steps_expected(Progress(step=90, seconds=65.0)) == round(90 * 125 / 90)
        assert plan.steps_expected(Progress()) == 500

    def test_an_update_that_would_not_fit_is_not_begun(self) -> None:
        progress = Progress(step=10, seconds=99.4, training_seconds=5.0)
        assert not BY_CLOCK.is_over(progress)
        progress.seconds = 99.6
        assert BY_CLOCK.is_over(progress)
        assert BY_CLOCK.share_done(progress) == 1
        assert BY_CLOCK.steps_expected(progress) == 10

    def test_one_update_is_made_however_short_the_budget(self) -> None:
        progress = Progress(step=0, seconds=1_000.0)
        assert not BY_CLOCK.is_over(progress)
        progress.step = 1
        assert BY_CLOCK.is_over(progress)
        assert BY_CLOCK.seconds_left(progress) == 0

    def test_a_reserve_as_long_as_the_budget_leaves_something(self) -> None:
        assert Plan(SETTINGS, 1, None, budget=10.0, reserve=9.0).learning_seconds(Progress()) == 7

    def test_a_late_start_leaves_a_third_of_the_budget_to_learn_in(self) -> None:
        """A model that has learned nothing is worth no time at all."""
        plan = Plan(SETTINGS, 1, None, budget=30.0, reserve=6.0)
        in_time = Progress(seconds=14.0, started_at=14.0)
        assert plan.overrun(in_time) == 0
        assert plan.learning_seconds(in_time) == 24
        late = Progress(seconds=90.0, started_at=90.0)
        assert plan.learning_seconds(late) == 100
        assert plan.share_done(late) == 14 / 24, "the schedule's end is learned"
        assert plan.seconds_left(late) == 16
        late.step, late.seconds, late.training_seconds = 10, 95.0, 5.0
        assert not plan.is_over(late)
        assert plan.steps_expected(late) == 20
        late.seconds = 99.6
        assert plan.is_over(late)

    def test_evaluations_take_nothing_of_that_third(self) -> None:
        """Of a budget of a second, a first look takes longer than a third."""
        plan = Plan(SETTINGS, 1, None, budget=30.0, reserve=6.0)
        late = Progress(step=10, seconds=91.0, started_at=90.0, training_seconds=1.0)
        before = plan.share_done(late)
        late.seconds, late.looking_seconds = 101.0, 10.0
        assert plan.share_done(late) == before
        assert plan.learning_seconds(late) == 110
        assert plan.overrun(Progress(seconds=9.0, started_at=4.0, looking_seconds=5.0)) == 0

    def test_what_is_reserved_follows_the_last_evaluation(self) -> None:
        """A neighbour that slowed the first estimate is gone, or has come."""
        plan = Plan(SETTINGS, 1, None, budget=110.0, reserve=30.0, reserved_readings=5)
        assert plan.learning_seconds(Progress()) == 80
        assert plan.learning_seconds(Progress(reading_seconds=1.0)) == 105
        assert plan.learning_seconds(Progress(reading_seconds=4.0)) == 90
        assert plan.learning_seconds(Progress(reading_seconds=40.0)) == 77, "most of the time is for learning"

    def test_the_first_evaluation_waits_where_it_takes_long(self) -> None:
        """Else a short budget is spent on looking at a network that has learned nothing."""
        plan = Plan(SETTINGS, 1, None, budget=10.0, reserve=4.0, reserved_readings=2)  # 2 s a reading
        assert not plan.evaluation_is_due(Progress(step=1, seconds=4.6, started_at=0.0, training_seconds=0.1))
        assert plan.evaluation_is_due(Progress(step=30, seconds=4.8, started_at=0.0, training_seconds=0.1))

    @pytest.mark.parametrize("plan", [BY_STEPS, BY_CLOCK])
    def test_the_rate_warms_up_and_falls_to_nothing(self, plan: Plan) -> None:
        shares = [Progress(step=step, seconds=float(step)) for step in range(100)]
        rates = [plan.rate(progress) for progress in shares]
        assert max(rates) == pytest.approx(0.01, rel=1e-3)
        assert rates.index(max(rates)) == pytest.approx(10, abs=1)
        assert rates[:10] == sorted(rates[:10])
        assert rates[11:] == sorted(rates[11:], reverse=True)
        assert rates[-1] < 1e-5
        shares[40].rate_scale = 0.25
        assert plan.rate(shares[40]) == rates[40] / 4

    def test_evaluations_by_steps(self) -> None:
        due = [step for step in range(101) if BY_STEPS.evaluation_is_due(Progress(step=step))]
        assert due == [2, 20, 40, 60, 80, 100]
        assert not BY_STEPS.evaluation_is_due(Progress(step=40, evaluated_step=40))

    def test_evaluations_by_the_clock(self) -> None:
        """Every twentieth of 100 s, the first after an eighth of that."""

        def is_due(**values: Any) -> bool:
            return BY_CLOCK.evaluation_is_due(Progress(training_seconds=0.1, **values))

        assert not is_due(step=0, seconds=50.0)
        assert not is_due(step=3, seconds=7.6, started_at=7.0)
        assert is_due(step=3, seconds=7.7, started_at=7.0)
        assert not is_due(step=9, seconds=24.9, evaluated_step=5, evaluated_at=20.0)
        assert is_due(step=9, seconds=25.0, evaluated_step=5, evaluated_at=20.0)
        # An evaluation that takes 1 s is made every 19 s at the most.
        slow = {"step": 9, "evaluated_step": 5, "evaluated_at": 20.0, "evaluation_seconds": 1.0}
        assert not is_due(seconds=38.9, **slow)
        assert is_due(seconds=39.0, **slow)
        assert is_due(step=9, seconds=100.0, evaluated_step=8, evaluated_at=99.9), "the last weights are measured"
        assert not is_due(step=9, seconds=100.0, evaluated_step=9, evaluated_at=99.9)


class TestPrediction:
    def test_by_hand(self) -> None:
        assert predicted_loss(1e6, 5e5, 1e6) == pytest.approx(1.17 + 68.8 / 1e6**0.5 + 197.0 / 5e5**0.46)
        worth = 1e6 * (1 + 13.0 * (1 - math.exp(-9 / 13.0)))
        assert predicted_loss(1e6, 1e7, 1e6) == pytest.approx(1.17 + 68.8 / 1e6**0.5 + 197.0 / worth**0.46)

    def test_repetition_is_worth_less_than_new_text_and_has_an_end(self) -> None:
        assert predicted_loss(1e6, 1e7, 1e6) > predicted_loss(1e6, 1e7, 1e7)
        assert predicted_loss(1e6, 1e12, 1e6) == pytest.approx(predicted_loss(1e6, 1e13, 1e6))

    def test_more_is_never_worse(self) -> None:
        amounts = [10**exponent for exponent in (3, 3.5, 4, 5, 5.999, 6, 6.001, 7, 8, 10)]
        for fixed in amounts:
            for less, more in itertools.pairwise(amounts):
                assert predicted_loss(fixed, more, 1e6) <= predicted_loss(fixed, less, 1e6)
                assert predicted_loss(more, fixed, 1e6) < predicted_loss(less, fixed, 1e6)
                assert predicted_loss(1e6, fixed, more) <= predicted_loss(1e6, fixed, less)


@pytest.fixture(scope="module")
def long_text(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    path = tmp_path_factory.mktemp("text") / "long.txt"
    path.write_text(small_text.read_text("utf-8") * 60, "utf-8")
    return prepare_data(CorpusSource([str(path)]), CorpusSettings(), lambda event: None)


def machine(
    monkeypatch: pytest.MonkeyPatch, multiplications: float, bfloat16: float = 0, input_dropout: float = 1
) -> list[int]:
    """A machine that makes so many multiplications a second; returns the sizes that are measured on it.

    In bfloat16 it makes so many times as many; 0 = it does not compute in that. With input dropout it has a part of its
    speed, which is measured beside the sizes.
    """
    measured: list[int] = []

    def speed(data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks, until: float = 0) -> float:
        if until > 0:
            measured.append(settings.model.hidden_size)
        faster = bfloat16 if settings.training.precision == "bfloat16" else 1
        if settings.model.input_dropout:
            faster *= input_dropout
        return faster * multiplications / (6 * model_shape(data, settings.model).parameters)

    monkeypatch.setattr(speeds, "measure_speed", speed)
    monkeypatch.setattr(budgets, "computes_bfloat16", lambda device: bfloat16 > 0)
    return measured


def chosen(data: TrainingData, fixed: frozenset[str] = frozenset(), **options: Any) -> Choice:
    settings = run_settings(RunSettings(), {"budget": "10m", **options})
    return choose(data, settings, fixed | frozenset(options), torch.device("cpu"), Ranks())


class TestChoice:
    @pytest.mark.parametrize(("counted", "wall", "taken"), [(4, 10, 4), (0, 10, 10), (0.5, 10, 10), (16, 3, 3)])
    def test_a_coarse_clock_of_processor_time_is_not_believed(
        self, counted: float, wall: float, taken: float, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that counts in steps of 16 ms says that three updates took nothing, or five times what they took."""
        monkeypatch.setattr(speeds, "_seconds", lambda state, learner, *clocks: [counted, wall][: len(clocks)])
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        settings = run_settings(RunSettings(), {**SMALL, "budget": "10m"})
        speed = speeds.measure_speed(long_text, settings, torch.device("cpu"), Ranks())
        assert speed == pytest.approx(4 * 20 / taken)

    @pytest.mark.parametrize("name", get_args(Chosen))
    def test_a_recipe_may_free_what_is_chosen(
        self, name: str, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine(monkeypatch, 1e12)
        given = dict(zip(get_args(Chosen), (3, 200, 0.77, 0.11, 0.3, 3, 17, True, 0.5), strict=True))
        settings = run_settings(RunSettings(), {"budget": "10m", **given})
        fixed = frozenset(given) - {name} - ({"hidden_size"} if name == "num_layers" else set())  # with the size only
        found = choose(long_text, settings, fixed, torch.device("cpu"), Ranks()).settings
        values = found.model.model_dump() | found.training.model_dump()
        assert {each for each in given if values[each] != given[each]} == set(given) - fixed

    def test_a_faster_machine_takes_a_larger_network(
        self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = []
        for multiplications in (1e8, 3e9, 1e11, 1e13):
            machine(monkeypatch, multiplications)
            sizes.append(chosen(long_text).settings.model.hidden_size)
        assert sizes == sorted(set(sizes))
        assert set(sizes) <= set(SIZES)

    def test_more_time_takes_a_larger_network(self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, 1e10)
        short, long = chosen(long_text, budget="1m"), chosen(long_text, budget="10h")
        assert short.settings.model.hidden_size < long.settings.model.hidden_size
        assert short.settings.model.dropout <= long.settings.model.dropout

    def test_it_is_the_best_prediction_of_all(self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
        measured = machine(monkeypatch, 3e10)
        size = chosen(long_text).settings.model.hidden_size
        assert measured == [*SIZES[: len(measured) // 2]] * 2, "in two rounds, the second of which found nothing faster"
        predictions = {}
        for candidate in measured:
            model = RunSettings().model.model_copy(update={"hidden_size": candidate})
            parameters = model_shape(long_text, model).parameters
            read = 0.9 * 600 * 3e10 / (6 * parameters)
            predictions[candidate] = predicted_loss(parameters, read, long_text.characters)
        assert size == min(predictions, key=lambda candidate: predictions[candidate])

    def test_a_tiny_text_takes_a_small_network(self, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, 1e14)
        data = prepare_data(CorpusSource([str(small_text)]), CorpusSettings(), lambda event: None)
        choice = chosen(data)
        assert model_shape(data, choice.settings.model).parameters <= 3 * data.characters
        assert choice.settings.model.dropout == 0.5, "read very often: the full measure"

    @pytest.mark.parametrize(
        ("passes", "least", "most"), [(3, 0.0, 0.03), (8, 0.1, 0.2), (16, 0.3, 0.36), (25, 0.44, 0.5), (99, 0.5, 0.5)]
    )
    def test_a_text_that_is_read_more_often_takes_more_dropout(
        self, passes: float, least: float, most: float, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a network with about a parameter a character."""
        size = next(
            size
            for size in SIZES
            if model_shape(long_text, RunSettings().model.model_copy(update={"hidden_size": size})).parameters
            > long_text.characters
        )
        model = RunSettings().model.model_copy(update={"hidden_size": size})
        speed = passes * long_text.characters / (0.9 * 600)
        machine(monkeypatch, speed * 6 * model_shape(long_text, model).parameters)
        chosen_model = chosen(long_text, hidden_size=size).settings.model
        assert least <= chosen_model.dropout <= most
        assert chosen_model.input_dropout == pytest.approx(min(0.1, chosen_model.dropout / 3), abs=0.01)

    def test_passes_are_promised_at_the_speed_with_input_dropout(
        self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine(monkeypatch, 3e11)
        usual = chosen(long_text, hidden_size=128)
        machine(monkeypatch, 3e11, input_dropout=0.8)
        slowed = chosen(long_text, hidden_size=128)
        assert usual.settings.model.input_dropout > 0
        assert slowed.speed == pytest.approx(0.8 * usual.speed)
        assert slowed.steps == pytest.approx(0.8 * usual.steps, abs=1)
        assert slowed.settings.model.dropout <= usual.settings.model.dropout
        given = chosen(long_text, hidden_size=128, input_dropout=0.05)
        assert given.speed == pytest.approx(slowed.speed), "it is slowed once, not twice"

    def test_a_text_that_is_read_often_is_learned_by_two_layers(
        self, long_text: TrainingData, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def layers(data: TrainingData, budget: str, **options: Any) -> int:
            return chosen(data, budget=budget, **options).settings.model.num_layers

        machine(monkeypatch, 3e11)
        passes = {budget: float(chosen(long_text, budget=budget).reason.split()[8]) for budget in ("30s", "10h")}
        assert passes["30s"] < 10 < passes["10h"]
        assert (layers(long_text, "30s"), layers(long_text, "10h")) == (1, 2)
        assert layers(long_text, "10h", num_layers=1) == layers(long_text, "10h", hidden_size=64) == 1
        deep = chosen(long_text, budget="10h").settings.model
        assert model_shape(long_text, deep).parameters <= 3 * long_text.characters
        for times, found in ((1, 1), (3, 1), (15, 2)):  # 20,000 characters, 60,000, 300,000
            path = tmp_path / f"{times}.txt"
            path.write_text(small_text.read_text("utf-8") * times, "utf-8")
            short = prepare_data(CorpusSource([str(path)]), CorpusSettings(), lambda event: None)
            assert layers(short, "10h") == found, "narrow layers are taken singly"

    def test_windows_grow_where_nothing_speaks_against_it(
        self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Thirds are read at half the speed here: 0.3 of the time at that, 0.3 at two thirds, 0.4 at the whole."""

        def speed(data: TrainingData, settings: RunSettings, *_: object) -> float:
            return 1e6 if settings.training.bptt > 50 else 5e5

        monkeypatch.setattr(speeds, "measure_speed", speed)
        grown = chosen(long_text, hidden_size=128)
        whole = chosen(long_text, hidden_size=128, grow_windows=False)
        assert grown.settings.training.grow_windows
        assert not whole.settings.training.grow_windows
        assert not chosen(long_text, hidden_size=128, bptt=100).settings.training.grow_windows
        assert grown.speed == whole.speed == 1e6
        assert grown.steps == pytest.approx((0.3 * 3 / 2 + 0.3 * 2 * 2 / 3 + 0.4) * whole.steps, abs=1)
        passes, fewer = (float(choice.reason.split()[8]) for choice in (whole, grown))
        assert fewer == pytest.approx((0.3 / 2 + 0.3 * 2 / 3 + 0.4) * passes, abs=0.1)

    def test_what_was_given_stays(self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
        measured = machine(monkeypatch, 1e12)
        given = {"hidden_size": 200, "batch_size": 3, "bptt": 17, "learning_rate": 0.5, "dropout": 0.77}
        given |= {"input_dropout": 0.11, "weight_decay": 0.3}
        settings = chosen(long_text, **given).settings  # type: ignore[arg-type]
        assert measured == [200]
        assert {
            name: getattr(settings.model, name, None) or getattr(settings.training, name) for name in given
        } == given

    @pytest.mark.parametrize(
        ("faster", "taken"), [(0, "float32"), (0.7, "float32"), (1.0, "float32"), (1.6, "bfloat16")]
    )
    def test_the_faster_precision_is_taken(
        self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch, faster: float, taken: str
    ) -> None:
        machine(monkeypatch, 3e10, bfloat16=faster)
        choice = chosen(long_text)
        assert choice.settings.training.precision == taken
        assert ("bfloat16" in choice.reason) == (taken == "bfloat16")
        assert chosen(long_text, precision="float32").settings.training.precision == "float32"

    def test_the_reason_names_size_rows_and_passes(
        self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine(monkeypatch, 3e10)
        choice = chosen(long_text, num_layers=2, grow_windows=False)
        settings = choice.settings
        passes = choice.steps * settings.training.batch_size * settings.training.bptt / long_text.characters
        assert f"LSTM 2 × {settings.model.hidden_size} " in choice.reason
        assert f"{settings.training.batch_size} rows × {settings.training.bptt}" in choice.reason
        assert f"read the text {passes:.1f} times" in choice.reason
        assert "in 10m" in choice.reason
        assert "\n" not in choice.reason

    def test_no_loss_is_promised(self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
        """The law knows the order of sizes, not what this text will come to."""
        machine(monkeypatch, 3e10)
        said = chosen(long_text).reason
        assert not re.search(r"\b(nats|bits|loss|perplexity|promises?)\b", said)
        for law in (0.0, 5.0):  # whatever floor the law has
            monkeypatch.setattr(budgets, "_FLOOR", law)
            assert chosen(long_text).reason == said


def busy(monkeypatch: pytest.MonkeyPatch, probes: int, slower: float = 8) -> list[int]:
    """A machine that is so much slower, for other programs, while so many sizes are measured."""
    honest = machine(monkeypatch, 3e10)
    speed = speeds.measure_speed

    def crowded(
        data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks, until: float = 0
    ) -> float:
        found = speed(data, settings, device, ranks, until)
        return found / slower if len(honest) <= probes else found

    monkeypatch.setattr(speeds, "measure_speed", crowded)
    return honest


class TestNeighbours:
    """Other programs that keep the cores busy while sizes are measured."""

    @pytest.fixture
    def quiet(self, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch) -> Choice:
        machine(monkeypatch, 3e10)
        return chosen(long_text)

    @pytest.mark.parametrize("probes", [1, 2, 3, 5])
    def test_a_busy_first_round_changes_nothing(
        self, quiet: Choice, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch, probes: int
    ) -> None:
        busy(monkeypatch, probes)
        assert chosen(long_text) == quiet

    def test_always_busy_it_is_a_smaller_network_and_measuring_ends(
        self, quiet: Choice, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        measured = busy(monkeypatch, 10_000)
        assert chosen(long_text).settings.model.hidden_size < quiet.settings.model.hidden_size
        assert len(measured) <= 3 * len(SIZES)

    def test_where_the_time_for_it_is_gone_what_was_measured_is_known(
        self, quiet: Choice, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Time for the first round and a half: the sizes that are not measured again keep their speed."""
        measured = machine(monkeypatch, 3e10)
        enough = 1.5 * SIZES.index(quiet.settings.model.hidden_size)
        monkeypatch.setattr(time, "perf_counter", lambda: 12.0 * len(measured) / enough)
        assert chosen(long_text).settings == quiet.settings

    @pytest.mark.parametrize("factor", [0.1, 0.5, 0.8, 1, 1.25, 2, 5, 30])
    def test_chosen_again_by_the_runs_own_speed(
        self, quiet: Choice, long_text: TrainingData, monkeypatch: pytest.MonkeyPatch, factor: float
    ) -> None:
        """What would have been chosen on a machine of that speed, if the time that is lost is worth it."""
        settings = run_settings(RunSettings(), {"budget": "10m"})
        progress = Progress(characters=round(quiet.speed * factor * 20), training_seconds=20.0, seconds=22.0)
        again = choose_again(long_text, settings, frozenset(), torch.device("cpu"), Ranks(), quiet, progress)
        machine(monkeypatch, 3e10 * factor)
        there = chosen(long_text, budget="578s", num_layers=1).settings.model.hidden_size
        before = quiet.settings.model.hidden_size
        if 0.8 <= factor <= 1.25:
            assert again is None
        elif again is None:
            assert abs(SIZES.index(there) - SIZES.index(before)) <= 1
        else:
            assert again.settings.model.hidden_size == there != before
            assert again.speed == pytest.approx(
                3e10 * factor / (6 * model_shape(long_text, again.settings.model).parameters), rel=1e-4
            )

    def test_the_plan_sees_that_a_size_was_misjudged(self) -> None:
        plan = Plan(SETTINGS, 500, None, budget=100.0, promised=1_000.0)
        early, later = Progress(step=20, seconds=6.9), Progress(step=20, seconds=9.9)
        assert plan.is_misjudged(early, 1_251)
        assert not plan.is_misjudged(early, 1_250)
        assert not plan.is_misjudged(early, 100), "the machine may become faster"
        assert plan.is_misjudged(later, 799)
        assert not plan.is_misjudged(later, 800)
        assert not plan.is_misjudged(Progress(step=19, seconds=9.9), 1_501)
        assert not plan.is_misjudged(Progress(step=20, seconds=10.0), 1_501)
        growing = replace(plan, growth=Growth(0.5))
        assert not growing.is_misjudged(replace(later, parts=3), 401), "thirds take longer"
        assert growing.is_misjudged(replace(later, parts=3), 399)
        assert growing.is_misjudged(replace(later, parts=1), 799)
        assert not BY_CLOCK.is_misjudged(early, 1e9)
        assert not BY_STEPS.is_misjudged(early, 1e9)

    @pytest.mark.slow
    def test_a_run_that_is_much_faster_than_promised_begins_again_once(
        self, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text, folder, events = tmp_path / "long.txt", tmp_path / "m", list[Event]()
        text.write_text(small_text.read_text("utf-8") * 60, "utf-8")
        machine(monkeypatch, 1e6)  # so slow that the smallest is best, and any machine is faster

        def notify(event: Event) -> None:
            events.append(event)
            if isinstance(event, StepTaken):
                machine(monkeypatch, 1e9)  # still slower than any, and a larger one is best

        def started() -> list[int]:
            return [place for place, event in enumerate(events) if isinstance(event, TrainingStarted)]

        def should_stop() -> bool:
            return len(started()) == 2 and len(events) - started()[1] > 45

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        options: dict[str, Any] = {"budget": "10h", "threads": 1, "device": "cpu", "notify": notify}
        options["track"] = ["tensorboard", "mlflow"]
        charloom.train(text, folder, should_stop=should_stop, **options)
        first, second = started()
        assert [event.step for event in events[:first] if isinstance(event, StepTaken)] == []
        assert [event.step for event in events[first:second] if isinstance(event, StepTaken)] == [*range(1, 21)]
        (notice, reason) = [event.message for event in events[first:second] if isinstance(event, Notice)]
        assert "starting again, once" in notice
        run = json.loads((folder / "training" / "run.json").read_bytes())
        hidden = run["settings"]["model"]["hidden_size"]
        assert hidden > SIZES[0]
        assert run["record"]["choice"] == reason
        assert f"× {hidden} " in reason
        steps = [event.step for event in events[second:] if isinstance(event, StepTaken)]
        assert steps == [*range(1, steps[-1] + 1)]
        assert _progress(folder)["seconds"] > _progress(folder)["started_at"] > 0
        assert _progress(folder)["step"] == steps[-1]
        tracked = runs(MlflowClient(tracking_uri=(folder / "mlruns").as_uri()))
        assert [one.data.params["hidden_size"] for one in tracked] == [str(SIZES[0]), str(hidden)]
        assert [one.info.status for one in tracked] == ["KILLED", "KILLED"], "the second was stopped"
        assert len(list((folder / "tensorboard").iterdir())) == 1

        machine(monkeypatch, 1e13)
        result = charloom.train(text, folder, resume=True, should_stop=after(25), threads=1, device="cpu")
        assert result.resumed_from_step == steps[-1]
        assert open_model_directory(folder).config.model.hidden_size == hidden

    def test_a_size_that_was_given_is_kept_however_fast_it_is(
        self, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine(monkeypatch, 1e3)
        events: list[Event] = []
        options: dict[str, Any] = {**SMALL, "budget": "10h", "notify": events.append}
        charloom.train(small_text, tmp_path / "m", should_stop=after(40), **options)
        assert len([event for event in events if isinstance(event, TrainingStarted)]) == 1

    def test_where_no_larger_network_fits_it_goes_on(
        self, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine(monkeypatch, 1e3)
        events: list[Event] = []
        options: dict[str, Any] = {"budget": "10h", "threads": 1, "device": "cpu", "notify": events.append}
        charloom.train(small_text, tmp_path / "m", should_stop=after(40), **options)
        assert [event.step for event in events if isinstance(event, StepTaken)] == [*range(1, 41)]
        assert len([event for event in events if isinstance(event, TrainingStarted)]) == 1


class TestRuns:
    @pytest.mark.slow
    def test_it_keeps_to_its_time(self, small_text: Path, tmp_path: Path) -> None:
        events: list[Event] = []
        result = charloom.train(small_text, tmp_path / "m", budget="3s", threads=1, device="cpu", notify=events.append)
        assert result.seconds > 1.5, "by the same clock as the budget"
        (reason,) = [
            event.message for event in events if isinstance(event, Notice) if event.message.startswith("in 3s")
        ]
        config = open_model_directory(tmp_path / "m").config
        assert config.training["choice"] == reason
        assert f"× {config.model.hidden_size} " in reason
        steps = [event for event in events if isinstance(event, StepTaken)]
        evaluated = [event.step for event in events if isinstance(event, Evaluated)]
        assert evaluated[-1] == result.steps == len(steps)
        assert not (tmp_path / "m" / "training").exists()

    @pytest.mark.parametrize(
        ("recipe", "hidden_size", "bptt"),
        [({"recipe": "tiny"}, 256, 64), ({"recipe": "names"}, SIZES[0], 40), ({}, SIZES[0], 100)],
    )
    def test_a_recipe_that_was_asked_for_is_not_changed_but_for_what_it_calls_free(
        self,
        small_text: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        recipe: dict[str, str],
        hidden_size: int,
        bptt: int,
    ) -> None:
        machine(monkeypatch, 1e6)  # so slow that the smallest is best
        charloom.train(small_text, tmp_path / "m", budget="0.5s", threads=1, device="cpu", **recipe)  # type: ignore[arg-type]
        config = open_model_directory(tmp_path / "m").config
        assert config.model.hidden_size == hidden_size
        assert config.training["settings"]["bptt"] == bptt

    def test_a_resumed_run_has_the_rest_of_its_time(self, small_text: Path, tmp_path: Path) -> None:
        folder, options = tmp_path / "m", {**SMALL, "budget": "600s"}
        charloom.train(small_text, folder, should_stop=after(30), **options)
        spent = _progress(folder)["seconds"]
        assert spent > 0
        stopped = charloom.train(small_text, folder, should_stop=after(5), resume=True)
        assert stopped.resumed_from_step == 30
        assert _progress(folder)["seconds"] > spent
        # With less time than it has already had, it ends at once; with a little more, it learns on a little.
        events: list[Event] = []
        result = charloom.train(
            small_text, folder, resume=True, budget=f"{_progress(folder)['seconds'] / 2:.6f}s", notify=events.append
        )
        assert not result.interrupted
        assert result.steps == 35
        assert not [event for event in events if isinstance(event, StepTaken)]

    def test_a_larger_budget_extends_a_run(self, small_text: Path, tmp_path: Path) -> None:
        folder = tmp_path / "m"
        charloom.train(small_text, folder, should_stop=after(30), **SMALL, budget="600s")
        spent = _progress(folder)["seconds"]
        longer = f"{spent + 600:.3f}s"
        result = charloom.train(small_text, folder, should_stop=after(5), resume=True, budget=longer)
        assert (result.interrupted, result.resumed_from_step, result.steps) == (True, 30, 35)
        assert result.seconds > spent

    def test_epochs_and_budget_are_refused_together(self, small_text: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give budget or epochs, not both"):
            charloom.train(small_text, tmp_path / "m", epochs=2, budget="3s")
        assert not (tmp_path / "m").exists()

    def test_without_any_length_it_is_a_budget(self, small_text: Path, tmp_path: Path) -> None:
        charloom.train(small_text, tmp_path / "m", should_stop=after(1), **SMALL)
        run = json.loads((tmp_path / "m" / "training" / "run.json").read_bytes())
        assert run["settings"]["training"]["budget"] == "20s", "a short text"
        assert run["settings"]["training"]["steps"] is run["settings"]["training"]["epochs"] is None

    def test_a_length_replaces_the_recipes_budget(self, small_text: Path, tmp_path: Path) -> None:
        assert charloom.train(small_text, tmp_path / "m", steps=2, **SMALL).steps == 2

    def test_measuring_leaves_no_trace_in_the_learning(self, small_text: Path, tmp_path: Path) -> None:
        """The first weights are the seed's, whatever was measured before."""
        first = []
        for budget in ({"budget": "600s"}, {"steps": 50}):
            folder = tmp_path / next(iter(budget))
            charloom.train(small_text, folder, should_stop=after(1), **SMALL, **budget)
            (start, _) = sorted((folder / "training").glob("checkpoint-*"))
            first.append(_weights(start))
        assert first[0].keys() == first[1].keys()
        assert all(torch.equal(first[0][name], first[1][name]) for name in first[0])


def _weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: weights for name, weights in load_file(checkpoint).items() if name.startswith(("model.", "random."))}


def _progress(folder: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(max((folder / "training").glob("checkpoint-*.safetensors")), framework="pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress
