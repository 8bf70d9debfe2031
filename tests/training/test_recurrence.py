"""The compiled kernel's recurrent layers give what PyTorch's own give, gradients too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from charloom.bundle import ModelShape
from charloom.bundle.config import GATES
from charloom.kernel import layers
from charloom.kernel.layers import LayerKernel
from charloom.settings import Cell
from charloom.training import model as model_module
from charloom.training.model import CharacterModel
from charloom.training.recurrence import Inputs, read_layer

CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
FUSED: dict[Cell, Callable[..., tuple[Tensor, ...]]] = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}
KINDS = ("values", "embedded", "one-hot")
SIZES = [(1, 1, 1, 1), (7, 3, 5, 7), (12, 16, 8, 64), (9, 5, 16, 33), (20, 21, 6, 140)]


@dataclass
class Layer:
    """A layer with what it reads."""

    cell: Cell
    kind: str
    ids: Tensor
    values: Tensor
    weights: list[Tensor]
    state: tuple[Tensor, ...]

    @classmethod
    def random(cls, cell: Cell, kind: str, steps: int, rows: int, inputs: int, hidden: int) -> Layer:
        """Every number drawn; 11 symbols."""
        generator = torch.Generator().manual_seed(3)

        def draw(*shape: int, scale: float = 1.0) -> Tensor:
            return torch.randn(shape, generator=generator).mul_(scale).requires_grad_()

        width, scale = GATES[cell] * hidden, hidden**-0.5
        weights = [draw(width, 11 if kind == "one-hot" else inputs, scale=scale), draw(width, hidden, scale=scale)]
        weights += [draw(width, scale=0.2), draw(width, scale=0.2)]
        state = tuple(draw(1, rows, hidden, scale=0.4) for _ in range(2 if cell == "lstm" else 1))
        ids = torch.randint(0, 11, (steps, rows), generator=generator)
        return cls(cell, kind, ids, draw(11, inputs), weights, state)

    def by_torch(self) -> tuple[Tensor, ...]:
        """What PyTorch's own layer returns."""
        inputs = F.one_hot(self.ids, 11).float() if self.kind == "one-hot" else F.embedding(self.ids, self.values)
        start = self.state if self.cell == "lstm" else self.state[0]
        return FUSED[self.cell](inputs, start, self.weights, True, 1, 0.0, True, False, False)

    def by_kernel(self, kernel: LayerKernel) -> tuple[Tensor, ...]:
        """What the kernel's returns."""
        inputs = {
            "values": Inputs(F.embedding(self.ids, self.values)),
            "embedded": Inputs(self.values, self.ids),
            "one-hot": Inputs(None, self.ids),
        }[self.kind]
        return read_layer(kernel, inputs, self.state, self.weights)

    def gradients(self, found: tuple[Tensor, ...]) -> list[Tensor]:
        """Those of a sum that gives every number a weight of its own."""
        generator = torch.Generator().manual_seed(5)
        leaves = [*self.weights, *self.state, *([] if self.kind == "one-hot" else [self.values])]
        score = sum((part * torch.randn(part.shape, generator=generator)).sum() for part in found)
        return list(torch.autograd.grad(torch.as_tensor(score), leaves))


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=3e-6 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_are_torchs(cell: Cell, kind: str) -> None:
    for steps, rows, inputs, hidden in SIZES:
        layer, kernel = Layer.random(cell, kind, steps, rows, inputs, hidden), LayerKernel(cell, hidden)
        found, expected = layer.by_kernel(kernel), layer.by_torch()
        assert_close([part.detach() for part in found], [part.detach() for part in expected])
        gradients = layer.gradients(found)
        assert_close(gradients, layer.gradients(expected))
        again = layer.by_kernel(kernel)  # in memory that was used before
        assert all(map(torch.equal, again, found))
        assert all(map(torch.equal, layer.gradients(again), gradients))


@pytest.mark.parametrize("cell", CELLS)
def test_threads_share_the_rows(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_WORK", 1)
    layer, kernel = Layer.random(cell, "values", 10, 22, 6, 40), LayerKernel(cell, 40)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = layer.by_kernel(kernel)
        gradients = layer.gradients(alone)
        torch.set_num_threads(3)
        found = layer.by_kernel(kernel)
        assert_close([part.detach() for part in found], [part.detach() for part in alone])
        assert_close(layer.gradients(found), gradients)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_finite_differences(cell: Cell) -> None:
    layer, kernel = Layer.random(cell, "embedded", 4, 3, 3, 5), LayerKernel(cell, 5)
    gradients = layer.gradients(layer.by_kernel(kernel))
    leaves = [*layer.weights, *layer.state, layer.values]
    generator = torch.Generator().manual_seed(7)

    def score() -> float:
        drawn = torch.Generator().manual_seed(5)
        found = layer.by_kernel(kernel)
        return float(sum((part.double() * torch.randn(part.shape, generator=drawn)).sum() for part in found))

    for leaf, gradient in zip(leaves, gradients, strict=True):
        direction = torch.randn(leaf.shape, generator=generator) * 2e-3
        with torch.no_grad():
            leaf.add_(direction)
            above = score()
            leaf.sub_(2 * direction)
            below = score()
            leaf.add_(direction)
        expected = 2 * float((gradient * direction).sum())
        assert abs(above - below - expected) < 1e-4 * max(1.0, abs(expected) / 1e-2)


def test_gradients_are_computed_once() -> None:
    layer, kernel = Layer.random("lstm", "values", 3, 2, 4, 8), LayerKernel("lstm", 8)
    hidden, *_ = layer.by_kernel(kernel)
    hidden.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="computed before"):
        hidden.sum().backward()  # type: ignore[no-untyped-call]


def test_gradients_have_no_gradients() -> None:
    """Not of a score that is linear in the states either, whose own second derivatives are 0."""
    for power in (1, 2):
        layer, kernel = Layer.random("lstm", "values", 3, 2, 4, 8), LayerKernel("lstm", 8)
        hidden, *_ = layer.by_kernel(kernel)
        with pytest.raises(RuntimeError, match="have no gradients: leave out create_graph"):
            torch.autograd.grad(hidden.pow(power).sum(), layer.weights, create_graph=True)


SHAPES = [
    ModelShape(cell=cell, num_layers=layers, hidden_size=20, embedding_size=embedding, vocab_size=13, dropout=0)
    for cell in CELLS
    for layers, embedding in ((1, 6), (3, 0), (2, 6))
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.cell}-{shape.num_layers}-{shape.embedding_size}")
@pytest.mark.parametrize("rows", [1, 4])  # with one, there are fewer characters than symbols
def test_a_model_learns_as_with_torchs_layers(shape: ModelShape, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.randint(0, 13, (9, rows), generator=torch.Generator().manual_seed(1))
    results = []
    for variable in ("portable", "numpy"):
        monkeypatch.setenv("CHARLOOM_KERNEL", variable)
        torch.manual_seed(2)
        model = CharacterModel(shape)
        assert (model._choose_kernel() is None) == (variable == "numpy")
        logits, after = model(ids, tuple(part + 0.1 for part in model.initial_state(rows)))
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten()) + sum(part.square().sum() for part in after)
        loss.backward()
        gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
        assert len(gradients) == len(list(model.parameters()))
        results.append([logits.detach(), *(part.detach() for part in after), *gradients])
    assert_close(*results)


def test_where_torchs_layers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "open_layers", LayerKernel)
    shape = ModelShape(cell="gru", num_layers=1, hidden_size=8, embedding_size=4, vocab_size=5, dropout=0)
    assert CharacterModel(shape)._choose_kernel() is not None
    assert CharacterModel(shape).eval()._choose_kernel() is None
    assert CharacterModel(shape).double()._choose_kernel() is None
    assert CharacterModel(shape).to(torch.bfloat16)._choose_kernel() is None
    assert CharacterModel(shape).to("meta")._choose_kernel() is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_is_float32_but_for_its_rounding(cell: Cell, kind: str) -> None:
    kernel = layers.open_layers(cell, 140, bfloat16=True)
    if kernel is None:
        pytest.skip("this processor does not compute in bfloat16")
    layer = Layer.random(cell, kind, 20, 21, 6, 140)
    exact = layer.by_torch()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer.by_kernel(kernel)
    assert {part.dtype for part in found} == {torch.float32}
    pairs = zip([*found, *layer.gradients(found)], [*exact, *layer.gradients(exact)], strict=True)
    for one, other in ((each.detach() for each in pair) for pair in pairs):
        assert 0 < float((one - other).abs().max()) < 0.03 * float(other.abs().max())


def test_what_learns_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel where the processor has bfloat16 without AMX; PyTorch's layers elsewhere."""
    asked: list[bool] = []
    monkeypatch.setattr(model_module, "open_layers", lambda *_, bfloat16=False: asked.append(bfloat16))
    shape = ModelShape(vocab_size=5, embedding_size=4, hidden_size=8, num_layers=2, cell="lstm", dropout=0.0)
    for capabilities, expected in (({}, [True]), ({"amx_bf16": True}, [])):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capabilities=capabilities: capabilities)
        model, asked[:] = CharacterModel(shape).train(), []
        with torch.autocast("cpu", torch.bfloat16):
            assert model._choose_kernel() is None
        assert asked == expected
