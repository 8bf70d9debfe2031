from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.settings import Cell, Optimizer, TrainingSettings
from charloom.training.model import CharacterModel
from charloom.training.optimizer import make_optimizer, orthogonalize, renewal_interval
from charloom.training.schedule import learning_rate

Array = NDArray[np.float64]


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


def model_of(cell: Cell = "lstm", layers: int = 1, hidden_size: int = 5) -> CharacterModel:
    shape = ModelShape(cell=cell, num_layers=layers, hidden_size=hidden_size, embedding_size=3, dropout=0, vocab_size=7)
    torch.manual_seed(0)
    return CharacterModel(shape)


def give_gradients(model: CharacterModel, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for weights in model.parameters():
        weights.grad = torch.randn(weights.shape, generator=generator)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_matrices_decay(optimizer: Optimizer) -> None:
    model = model_of()
    settings = TrainingSettings(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1)
    before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    make_optimizer(model, settings).step()
    # Loshchilov and Hutter: without a gradient a weight shrinks by rate × decay.
    for name, weights in model.named_parameters():
        torch.testing.assert_close(weights.detach(), before[name] * (0.95 if weights.dim() == 2 else 1))


def test_without_decay_it_is_adam() -> None:
    """Kingma and Ba's first step is the rate against the gradient's sign, whatever the gradient's size."""
    model = model_of()
    optimizer = make_optimizer(model, TrainingSettings(optimizer="adamw", weight_decay=0, learning_rate=0.1))
    give_gradients(model, 0)
    before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    optimizer.step()
    for name, weights in model.named_parameters():
        assert weights.grad is not None
        torch.testing.assert_close(weights.detach(), before[name] - 0.1 * weights.grad.sign(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 3), (2, 3, 8), (4, 64, 64)])
def test_orthogonalize_keeps_the_directions(shape: tuple[int, int, int]) -> None:
    """The singular vectors stay what they are, most singular values come near 1."""
    blocks = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(blocks, full_matrices=False)
    values = left.mT @ orthogonalize(blocks) @ right.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(values, torch.diag_embed(diagonal), atol=1e-3, rtol=0)
    # A square matrix of random numbers has a few tiny values, which take longer.
    assert float(diagonal.flatten().quantile(0.1)) > 0.65
    assert float(diagonal.max()) < 1.25


def test_orthogonalize_in_bfloat16_gives_about_the_same() -> None:
    blocks = torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(1))
    rounded, exact = orthogonalize(blocks.bfloat16()), orthogonalize(blocks)
    assert rounded.dtype == torch.bfloat16
    likeness = (rounded.float() * exact).sum((1, 2)) / rounded.float().norm(dim=(1, 2)) / exact.norm(dim=(1, 2))
    assert float(likeness.min()) > 0.999


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
def test_orthogonalize_whatever_the_size(factor: float) -> None:
    blocks = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(orthogonalize(blocks * factor), orthogonalize(blocks), atol=1e-4, rtol=0)
    assert not orthogonalize(torch.zeros(2, 3, 3)).any()


def muon_by_hand(weights: Array, gradients: list[Array], interval: int, rate: float, decay: float) -> Array:
    """Muon in float64, gate by gate of 5 units (Jordan et al., 2024); a direction serves for `interval` steps."""
    parts, height = [], 5
    for gate in range(len(weights) // height):
        rows = slice(gate * height, (gate + 1) * height)
        part, momentum, direction = weights[rows], np.zeros_like(weights[rows]), np.zeros_like(weights[rows])
        for step, whole in enumerate(gradients):
            momentum = 0.95 * momentum + 0.05 * whole[rows]
            if step % interval == 0:
                direction = 0.95 * momentum + 0.05 * whole[rows]
                direction = direction / np.linalg.norm(direction)
                for _ in range(5):
                    square = direction @ direction.T
                    direction = 3.4445 * direction + (-4.7750 * square + 2.0315 * square @ square) @ direction
            part = part * (1 - rate * decay) - rate * 0.2 * math.sqrt(max(part.shape)) * direction
        parts.append(part)
    return np.concatenate(parts)


def test_the_larger_the_network_beside_the_window_the_longer_a_direction_serves() -> None:
    """5·H operations for a character's 1: at most 0.15 of an update's, as far as 4 to 8 steps reach."""
    sizes = {64: 4, 128: 4, 256: 6, 384: 8, 512: 8, 1024: 8}
    assert {size: renewal_interval(size, 1_600) for size in sizes} == sizes
    assert renewal_interval(512, 6_400) == 4
    assert renewal_interval(128, 640) == 7


@pytest.mark.parametrize(("batch_size", "interval"), [(16, 4), (1, 8), (3, 6)])
@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("lstm", 2), ("gru", 3)])
def test_muon_by_hand(cell: Cell, layers: int, batch_size: int, interval: int) -> None:
    """Nine steps: the recurrent matrices by Muon, and the rest exactly as PyTorch's AdamW."""
    settings = TrainingSettings(optimizer="muon", weight_decay=0.1, learning_rate=0.02, batch_size=batch_size, bptt=10)
    model, other = model_of(cell, layers), model_of(cell, layers)
    optimizer, reference = (
        make_optimizer(model, settings),
        make_optimizer(other, settings.model_copy(update={"optimizer": "adamw"})),
    )
    before = {name: weights.detach().double().numpy().copy() for name, weights in model.named_parameters()}
    gradients: dict[str, list[Array]] = {name: [] for name in before}
    for step in range(9):
        for each, chosen in ((model, optimizer), (other, reference)):
            give_gradients(each, step)
            chosen.step()
        for name, weights in model.named_parameters():
            assert weights.grad is not None
            gradients[name].append(weights.grad.double().numpy())
    for (name, weights), expected in zip(model.named_parameters(), other.parameters(), strict=True):
        if name.startswith("recurrent.weight"):
            by_hand = muon_by_hand(before[name], gradients[name], interval, 0.02, 0.1)
            np.testing.assert_allclose(weights.detach().numpy(), by_hand, atol=1e-5)
        else:
            assert torch.equal(weights, expected)
