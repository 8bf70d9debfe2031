from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from charloom.settings import TrainingSettings
from charloom.training.schedule import learning_rate
from charloom.training.state import make_optimizer


def test_constant_schedule() -> None:
    settings = TrainingSettings(learning_rate=0.01, schedule="constant", warmup=0.5)
    assert [learning_rate(done / 10, settings) for done in range(1, 11)] == [0.01] * 10


def test_cosine_schedule_by_hand() -> None:
    """A fifth of warm-up, then the cosine over the other four fifths."""
    settings = TrainingSettings(learning_rate=0.3, warmup=0.2)
    assert learning_rate(0.1, settings) == pytest.approx(0.15)
    assert learning_rate(0.2, settings) == pytest.approx(0.3)
    assert learning_rate(0.4, settings) == pytest.approx(0.15 * (1 + math.sqrt(0.5)))
    assert learning_rate(0.6, settings) == pytest.approx(0.15)
    assert learning_rate(0.8, settings) == pytest.approx(0.15 * (1 - math.sqrt(0.5)))
    assert learning_rate(1.0, settings) == pytest.approx(0)


def test_cosine_without_warmup_begins_at_the_top() -> None:
    settings = TrainingSettings(learning_rate=0.3, warmup=0)
    assert learning_rate(1e-9, settings) == pytest.approx(0.3)
    assert learning_rate(0.5, settings) == pytest.approx(0.15)


@pytest.mark.parametrize("warmup", [0, 0.05, 0.99])
def test_rates_stay_between_zero_and_the_highest(warmup: float) -> None:
    settings = TrainingSettings(learning_rate=0.01, warmup=warmup)
    rates = [learning_rate(done / 1000, settings) for done in range(1, 1000)]
    assert all(0 < rate <= 0.01 for rate in rates)


def test_only_matrices_decay() -> None:
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, TrainingSettings(weight_decay=0.5, learning_rate=0.1))
    with torch.no_grad():
        model.weight.fill_(1)
        model.bias.fill_(1)
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimizer.step()
    # Loshchilov and Hutter: without a gradient a weight shrinks by rate × decay.
    torch.testing.assert_close(model.weight.detach(), torch.full((2, 3), 0.95))
    torch.testing.assert_close(model.bias.detach(), torch.ones(2))


def test_without_decay_it_is_adam() -> None:
    """Kingma and Ba's first step is the rate against the gradient's sign, whatever the gradient's size."""
    model = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer(model, TrainingSettings(weight_decay=0, learning_rate=0.1))
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
    model.weight.grad = torch.tensor([[1e-3, -40.0]])
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), torch.tensor([[0.9, 2.1]]), atol=1e-5, rtol=0)
