from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import charloom
from charloom.bundle import ModelShape
from charloom.events import Evaluated, Event
from charloom.settings import ModelSettings, RunSettings, TrainingSettings
from charloom.training.batches import RingBatches
from charloom.training.learner import Learner
from charloom.training.model import CharacterModel, WeightDrop, WindowDropout
from charloom.training.ranks import Ranks
from charloom.training.state import TrainingState, fresh_state
from charloom.training.trainer import weights_in_place
from tests.training.test_run import OPTIONS, after

SHAPE = ModelShape(cell="lstm", num_layers=1, hidden_size=6, embedding_size=4, dropout=0, vocab_size=7)
HH = "recurrent.weight_hh_l0"


def settings(model: dict[str, Any] | None = None, **training: Any) -> RunSettings:
    given = {"batch_size": 4, "bptt": 8, "seed": 5, **training}
    return RunSettings(model=ModelSettings(dropout=0, **(model or {})), training=TrainingSettings(**given))


def learner_of(run: RunSettings, shape: ModelShape = SHAPE) -> tuple[Learner, TrainingState]:
    state = fresh_state(shape, run, torch.device("cpu"), Ranks())
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, 400).astype(np.uint16)
    batches = RingBatches(ids, run.training.batch_size, run.training.bptt, seed=0)
    state.model.train()
    return Learner(state, batches, run.training, run.model.weight_drop, Ranks()), state


def weights_of(state: TrainingState) -> dict[str, Tensor]:
    return {name: weights.detach().clone() for name, weights in state.model.named_parameters()}


class TestWindowDropout:
    def test_one_mask_for_all_times_and_another_for_each_row(self) -> None:
        torch.manual_seed(0)
        dropped = WindowDropout(0.5)(torch.ones(9, 5, 64))
        assert torch.equal(dropped, dropped[:1].expand(9, 5, 64))
        rows = [tuple(row.tolist()) for row in dropped[0]]
        assert len(set(rows)) == 5

    def test_another_mask_for_every_window(self) -> None:
        torch.manual_seed(0)
        dropout = WindowDropout(0.5)
        assert not torch.equal(dropout(torch.ones(2, 3, 64)), dropout(torch.ones(2, 3, 64)))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_the_share_is_dropped_and_the_mean_kept(self, share: float) -> None:
        torch.manual_seed(0)
        dropped = WindowDropout(share)(torch.ones(1, 400, 500))
        deviation = math.sqrt(share * (1 - share) / dropped.numel())
        assert float((dropped == 0).double().mean()) == pytest.approx(share, abs=5 * deviation)
        assert float(dropped.double().mean()) == pytest.approx(1, abs=5 * deviation / (1 - share))
        assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - share)])

    def test_nothing_happens_in_evaluation_or_with_share_zero(self) -> None:
        values = torch.randn(3, 2, 8)
        assert WindowDropout(0.9).eval()(values) is values
        assert WindowDropout(0.0)(values) is values

    def test_the_gradient_has_the_same_mask(self) -> None:
        torch.manual_seed(0)
        values = torch.ones(4, 2, 16, requires_grad=True)
        dropped = WindowDropout(0.5)(values)
        dropped.sum().backward()
        assert values.grad is not None
        assert torch.equal(values.grad, dropped.detach())

    @pytest.mark.parametrize("window_dropout", [True, False])
    def test_the_network_uses_it_unless_it_is_turned_off(self, window_dropout: bool) -> None:
        model = CharacterModel(SHAPE, 0.5, window_dropout=window_dropout)
        assert isinstance(model.input_dropout, WindowDropout) is window_dropout
        assert isinstance(model.dropout, WindowDropout) is window_dropout
        assert model.input_dropout(torch.ones(2, 2, 64)).eq(0).any()


class TestWeightDrop:
    def test_the_masked_network_is_the_textbooks_with_masked_weights(self) -> None:
        torch.manual_seed(1)
        model = CharacterModel(SHAPE)
        whole = model.get_parameter(HH).detach().clone()
        drop = WeightDrop(model.recurrent, 0.4)
        drop.drop()
        masked = model.get_parameter(HH).detach().clone()
        assert ((masked == 0) | torch.isclose(masked, whole / 0.6)).all()
        ids = torch.randint(0, 7, (5, 3))
        logits, _ = model(ids, model.initial_state(3))
        drop.restore()

        assert model.embedding is not None
        weight_ih, bias_ih, bias_hh = (
            model.get_parameter(f"recurrent.{name}_l0") for name in ("weight_ih", "bias_ih", "bias_hh")
        )
        hidden, cell = torch.zeros(3, 6), torch.zeros(3, 6)
        for time, expected in enumerate(logits):
            gates = model.embedding(ids[time]) @ weight_ih.T + bias_ih
            gates = gates + hidden @ masked.T + bias_hh
            enter, forget, new, leave = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            assert torch.allclose(model.output(hidden), expected, atol=1e-6)

    def test_weights_are_put_back_bit_for_bit_and_gradients_masked(self) -> None:
        torch.manual_seed(1)
        model = CharacterModel(SHAPE.model_copy(update={"num_layers": 2}))
        before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
        drop = WeightDrop(model.recurrent, 0.5)
        drop.drop()
        dropped = {name: model.get_parameter(name) == 0 for name in before if "weight_hh" in name}
        assert len(dropped) == 2
        assert all(mask.any() and not mask.all() for mask in dropped.values())
        torch.nn.init.ones_(model.output.bias)
        before["output.bias"].fill_(1)
        logits, _ = model(torch.randint(0, 7, (9, 3)), model.initial_state(3))
        logits.square().sum().backward()
        drop.restore()
        for name, weights in model.named_parameters():
            assert torch.equal(weights, before[name]), name
            if name in dropped:
                assert weights.grad is not None
                assert (weights.grad[dropped[name]] == 0).all()
                assert (weights.grad[~dropped[name]] != 0).all()

    def test_the_gradient_is_that_of_the_masked_network(self) -> None:
        """By a difference quotient: change one kept weight w, and the loss changes as through w / keep."""
        torch.manual_seed(2)
        model = CharacterModel(SHAPE).double()
        ids = torch.randint(0, 7, (9, 3))

        def loss(change: float, row: int, column: int) -> Tensor:
            drop = WeightDrop(model.recurrent, 0.5)
            with torch.no_grad():
                model.get_parameter(HH)[row, column] += change
            torch.manual_seed(3)
            drop.drop()
            model.zero_grad()
            logits, _ = model(ids, tuple(part.double() for part in model.initial_state(3)))
            value: Tensor = logits.square().mean()
            value.backward()  # type: ignore[no-untyped-call]
            drop.restore()
            with torch.no_grad():
                model.get_parameter(HH)[row, column] -= change
            return value.detach()

        loss(0, 0, 0)
        gradient = model.get_parameter(HH).grad
        assert gradient is not None
        gradient = gradient.clone()
        places = [(int(row), int(column)) for row, column in gradient.nonzero()[:5]]
        places += [(int(row), int(column)) for row, column in (gradient == 0).nonzero()[:2]]
        for row, column in places:
            slope = float(loss(1e-6, row, column) - loss(-1e-6, row, column)) / 2e-6
            assert slope == pytest.approx(float(gradient[row, column]), rel=1e-4, abs=1e-9)

    @pytest.mark.parametrize("share", [0.2, 0.7])
    def test_the_share_that_is_dropped(self, share: float) -> None:
        torch.manual_seed(0)
        recurrent = torch.nn.GRU(4, 120)
        drop = WeightDrop(recurrent, share)
        drop.drop()
        weights = recurrent.get_parameter("weight_hh_l0")
        deviation = math.sqrt(share * (1 - share) / weights.numel())
        assert float(weights.eq(0).double().mean()) == pytest.approx(share, abs=5 * deviation)
        assert recurrent.get_parameter("weight_ih_l0").ne(0).all()
        drop.restore()

    def test_share_zero_draws_nothing(self) -> None:
        model = CharacterModel(SHAPE)
        drop, before = WeightDrop(model.recurrent, 0.0), torch.get_rng_state()
        drop.drop()
        drop.restore()
        assert torch.equal(torch.get_rng_state(), before)

    def test_an_update_leaves_dropped_weights_alone(self) -> None:
        """Without decay and moments of earlier updates, a weight that was dropped has nothing to move it in AdamW."""
        learner, state = learner_of(settings({"weight_drop": 0.5}, optimizer="adamw", weight_decay=0, state_reset=0))
        before = weights_of(state)
        learner.update(0.01, lambda: False)
        after_it = weights_of(state)
        assert 0.25 < float(after_it[HH].ne(before[HH]).float().mean()) < 0.75
        assert after_it["recurrent.weight_ih_l0"].ne(before["recurrent.weight_ih_l0"]).all()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_layer_by_layer_without_dropout_is_the_fused_call(cell: Any) -> None:
    torch.manual_seed(0)
    shape = SHAPE.model_copy(update={"cell": cell, "num_layers": 3})
    model = CharacterModel(shape)
    state = tuple(torch.randn(3, 2, 6) for _ in range(shape.states_per_layer))
    ids = torch.randint(0, 7, (11, 2))
    model.train()
    learned = model(ids, state)
    gradients = torch.autograd.grad(learned[0].square().sum(), list(model.parameters()))
    model.eval()
    fused = model(ids, state)
    assert torch.allclose(learned[0], fused[0], atol=1e-6)
    assert len(learned[1]) == len(fused[1]) == shape.states_per_layer
    for one, other in zip(learned[1], fused[1], strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, atol=1e-6)
    expected = torch.autograd.grad(fused[0].square().sum(), list(model.parameters()))
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_dropout_between_layers_only_while_training() -> None:
    torch.manual_seed(0)
    model = CharacterModel(SHAPE.model_copy(update={"num_layers": 2, "dropout": 0.5}))
    ids, state = torch.randint(0, 7, (11, 2)), model.initial_state(2)
    model.train()
    ends = [model(ids, state)[1][0] for _ in range(2)]
    assert torch.equal(ends[0][0], ends[1][0]), "the first layer has no dropout before it"
    assert not torch.equal(ends[0][1], ends[1][1]), "the second layer has"
    model.eval()
    assert torch.equal(model(ids, state)[0], model(ids, state)[0])


class TestAveraging:
    def test_it_is_the_recursion_by_hand(self) -> None:
        learner, state = learner_of(settings(averaging=0.35))
        expected = weights_of(state)
        for update in range(1, 8):
            learner.update(0.01, lambda: False)
            # 0.35 is reached at the fourth update: (1 + 4) / (10 + 4) = 0.357.
            kept = min(0.35, (1 + update) / (10 + update))
            now = weights_of(state)
            expected = {name: kept * old + (1 - kept) * now[name] for name, old in expected.items()}
        assert state.average.keys() == expected.keys()
        for name, average in state.average.items():
            assert torch.allclose(average, expected[name], atol=1e-6), name
            assert not torch.allclose(average, weights_of(state)[name], atol=1e-6), name

    def test_inside_the_block_the_model_is_the_average(self) -> None:
        learner, state = learner_of(settings(averaging=0.9))
        for _ in range(3):
            learner.update(0.01, lambda: False)
        own = weights_of(state)
        with weights_in_place(state):
            assert all(torch.equal(now, state.average[name]) for name, now in weights_of(state).items())
        assert all(torch.equal(now, own[name]) for name, now in weights_of(state).items())
        with pytest.raises(ZeroDivisionError), weights_in_place(state):
            raise ZeroDivisionError
        assert all(torch.equal(now, own[name]) for name, now in weights_of(state).items())

    def test_without_it_nothing_is_kept(self) -> None:
        learner, state = learner_of(settings())
        learner.update(0.01, lambda: False)
        assert state.average == {}

    @pytest.mark.slow
    def test_the_average_is_evaluated_and_saved(self, small_text: Path, tmp_path: Path) -> None:
        """Averaging changes nothing in how it learns, so a twin without it knows the weights of every step."""
        events: list[Event] = []
        options = {**OPTIONS, "steps": 12, "evaluate_every": 12, "schedule": "constant", "dropout": 0}
        charloom.train(small_text, tmp_path / "m", notify=events.append, **options, averaging=0.9)
        charloom.train(small_text, tmp_path / "plain", **options)
        average: dict[str, Tensor] = {}
        for step in range(1, 13):
            # The twin evaluated at every step is the same twin: evaluations leave no trace in the learning.
            folder = tmp_path / f"stopped-{step}"
            charloom.train(small_text, folder, should_stop=after(step), **options)
            now = load_file(max((folder / "training").glob("checkpoint-*")))
            now = {name.removeprefix("model."): w for name, w in now.items() if name.startswith("model.")}
            if not average:
                first = load_file(min((folder / "training").glob("checkpoint-*")))
                average = {name: first["model." + name] for name in now}
            kept = min(0.9, (1 + step) / (10 + step))
            average = {name: kept * average[name] + (1 - kept) * now[name] for name in now}
        saved = load_file(tmp_path / "m" / "model.safetensors")
        plain = load_file(tmp_path / "plain" / "model.safetensors")
        evaluations = [event for event in events if isinstance(event, Evaluated)]
        assert evaluations[-1].best, "the test needs the last weights to be the best"
        for name, weights in saved.items():
            assert torch.allclose(weights, average[name], atol=1e-6), name
        assert not torch.allclose(saved["output.weight"], plain["output.weight"], atol=1e-3)
        measured = charloom.load(tmp_path / "m").evaluate(small_text, protocol="windows-256")
        assert measured.loss == pytest.approx(evaluations[-1].validation_loss, abs=1e-5)

    @pytest.mark.slow
    def test_resumed_is_uninterrupted(self, small_text: Path, tmp_path: Path) -> None:
        options = {**OPTIONS, "averaging": 0.95, "weight_drop": 0.2, "input_dropout": 0.1, "num_layers": 2}
        charloom.train(small_text, tmp_path / "whole", **options)
        charloom.train(small_text, tmp_path / "m", should_stop=after(13), **options)
        assert charloom.train(small_text, tmp_path / "m", resume=True).resumed_from_step == 13
        whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
        assert (tmp_path / "m" / "model.safetensors").read_bytes() == whole
