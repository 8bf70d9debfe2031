from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from charloom.bundle import ModelShape
from charloom.settings import Cell
from charloom.training.model import CharacterModel
from charloom.training.torch_session import TorchSession
from tests.reference import forward

CELLS: tuple[Cell, ...] = ("rnn", "lstm", "gru")
SHAPES = [
    ModelShape(cell=cell, num_layers=layers, hidden_size=7, embedding_size=embedding, dropout=0.4, vocab_size=11)
    for cell, layers, embedding in product(CELLS, (1, 2), (0, 5))
]
NAMES = [f"{shape.cell}-{shape.num_layers}-e{shape.embedding_size}" for shape in SHAPES]


def random_model(shape: ModelShape, seed: int = 0) -> CharacterModel:
    """A model whose every weight, biases too, is far from its initial value."""
    torch.manual_seed(seed)
    model = CharacterModel(shape)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.6)
    return model


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_forward_is_the_textbooks(shape: ModelShape) -> None:
    model = random_model(shape)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    rng = np.random.default_rng(5)
    ids = rng.integers(0, shape.vocab_size, (9, 3))
    # A state that is not zero: a carried one.
    state = [rng.normal(0, 0.5, (3, 7)) for _ in range(shape.num_layers * shape.states_per_layer)]
    expected, expected_state = forward(shape, weights, ids, state)
    session = TorchSession(model)
    logits, after = session.run(ids, tuple(part.astype(np.float32) for part in state))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)
    assert len(after) == len(expected_state)
    for found, part in zip(after, expected_state, strict=True):
        np.testing.assert_allclose(found, part, rtol=0, atol=2e-5)
    # And the state matters: from zeros the first logits are others.
    fresh, _ = session.run(ids, tuple(np.zeros((3, 7), np.float32) for _ in state))
    assert np.abs(fresh[0] - logits[0]).max() > 1e-2


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_state_carried_over_calls_is_one_call(shape: ModelShape) -> None:
    session = TorchSession(random_model(shape))
    ids = np.random.default_rng(1).integers(0, shape.vocab_size, (12, 2))
    zeros = tuple(np.zeros((2, 7), np.float32) for _ in range(shape.num_layers * shape.states_per_layer))
    whole, end = session.run(ids, zeros)
    first, middle = session.run(ids[:5], zeros)
    second, end_again = session.run(ids[5:], middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-6)
    for found, part in zip(end_again, end, strict=True):
        np.testing.assert_allclose(found, part, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_recurrent_matrices_are_orthogonal(shape: ModelShape) -> None:
    torch.manual_seed(2)
    model = CharacterModel(shape)
    hidden = shape.hidden_size
    for layer in range(shape.num_layers):
        weights = model.state_dict()[f"recurrent.weight_hh_l{layer}"]
        gates = weights.split(hidden)
        assert len(gates) == {"rnn": 1, "gru": 3, "lstm": 4}[shape.cell]
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(hidden), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [1, 2])
def test_forget_bias_is_one_and_the_others_zero(layers: int) -> None:
    shape = ModelShape(cell="lstm", num_layers=layers, hidden_size=6, embedding_size=4, dropout=0, vocab_size=9)
    state = CharacterModel(shape).state_dict()
    for layer in range(layers):
        total = state[f"recurrent.bias_ih_l{layer}"] + state[f"recurrent.bias_hh_l{layer}"]
        entry, forget, candidate, output = total.split(6)
        assert forget.tolist() == [1.0] * 6
        assert not entry.any()
        assert not candidate.any()
        assert not output.any()
    assert not state["output.bias"].any()


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_parameter_count(shape: ModelShape) -> None:
    assert sum(weights.numel() for weights in CharacterModel(shape).parameters()) == shape.parameters


def test_articles_shape_has_its_parameter_count() -> None:
    shape = ModelShape(cell="lstm", num_layers=2, hidden_size=512, embedding_size=0, dropout=0.2, vocab_size=38)
    assert shape.parameters == 3_251_238
    assert sum(weights.numel() for weights in CharacterModel(shape).parameters()) == 3_251_238


def test_dropout_only_while_training() -> None:
    shape = ModelShape(cell="gru", num_layers=2, hidden_size=16, embedding_size=4, dropout=0.5, vocab_size=9)
    model = random_model(shape)
    ids = torch.zeros((4, 2), dtype=torch.long)
    model.train()
    one, two = (model(ids, model.initial_state(2))[0] for _ in range(2))
    assert not torch.equal(one, two)
    session = TorchSession(model)
    zeros = tuple(np.zeros((2, 16), np.float32) for _ in range(2))
    np.testing.assert_array_equal(session.run(ids.numpy(), zeros)[0], session.run(ids.numpy(), zeros)[0])
    assert model.training, "a session leaves the model as it found it"
