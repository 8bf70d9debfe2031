from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charloom.bundle import ModelShape
from charloom.errors import ModelDirectoryError, TrainingError
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.session import initial_state
from charloom.text.vocabulary import CharacterVocabulary
from charloom.training.agreement import TOLERANCE, compare
from charloom.training.torch_session import TorchSession
from tests.training.test_model import NAMES, SHAPES, random_model

Arrays = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


def weights_of(session_shape: ModelShape, seed: int = 0) -> tuple[TorchSession, Arrays]:
    model = random_model(session_shape, seed)
    return TorchSession(model), {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("small", SHAPES, ids=NAMES)
def test_graph_is_the_model_on_real_text(small: ModelShape, small_text: Path) -> None:
    text = small_text.read_text("utf-8")
    vocabulary = CharacterVocabulary.from_text(text)
    shape = small.model_copy(update={"vocab_size": vocabulary.size})
    torch_session, weights = weights_of(shape)
    onnx_session = OnnxSession(build_graph(shape, weights), shape)
    ids = vocabulary.encode(text[: 100 * 3]).reshape(3, 100).T  # (T, B): longer, and rounding grows in a random RNN
    state = initial_state(shape, 3)
    expected, expected_state = torch_session.run(ids, state)
    whole, end = onnx_session.run(ids, state)
    assert np.abs(expected).max() > 0.5, "a comparison of zeros would prove nothing"
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-4)
    for found, part in zip(end, expected_state, strict=True):
        np.testing.assert_allclose(found, part, rtol=0, atol=1e-4)

    first, middle = onnx_session.run(ids[:37], state)
    second, end_again = onnx_session.run(ids[37:], middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=0, atol=1e-4)
    for found, part in zip(end_again, end, strict=True):
        np.testing.assert_allclose(found, part, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_graph_agrees_and_altered_weights_do_not(shape: ModelShape) -> None:
    session, weights = weights_of(shape)
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (50, 1))
    assert compare(OnnxSession(build_graph(shape, weights), shape), session, ids) <= TOLERANCE
    for name in ("output.bias", "recurrent.weight_hh_l0", "recurrent.bias_hh_l0"):
        altered = {**weights, name: weights[name].copy()}
        altered[name].flat[-1] += 0.5
        with pytest.raises(TrainingError, match="differs from the trained model"):
            compare(OnnxSession(build_graph(shape, altered), shape), session, ids)


@pytest.mark.parametrize("size", [1e4, 1e8])
def test_large_logits_are_compared_by_their_size(size: float) -> None:
    """What is rounding at a logit of a million is not rounding at one."""
    shape = SHAPES[0]
    session, weights = weights_of(shape)
    session._model.output.weight.data.mul_(size)
    weights["output.weight"] = session._model.output.weight.detach().numpy()
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (200, 1))
    assert compare(OnnxSession(build_graph(shape, weights), shape), session, ids) < size
    altered = {**weights, "output.bias": weights["output.bias"] + np.float32(0.1 * size)}
    with pytest.raises(TrainingError, match="differs from the trained model"):
        compare(OnnxSession(build_graph(shape, altered), shape), session, ids)


def test_a_graph_that_gives_no_numbers_is_refused() -> None:
    _, weights = weights_of(SHAPES[0])
    weights["output.bias"][0] = np.nan
    with pytest.raises(ModelDirectoryError, match="not all of its weights are numbers"):
        OnnxSession(build_graph(SHAPES[0], weights), SHAPES[0])


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 8},
        {"num_layers": 1},
        {"vocab_size": 12},
        {"cell": "lstm"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_session_refuses_a_graph_of_another_shape(change: dict[str, object]) -> None:
    shape = ModelShape(cell="gru", num_layers=2, hidden_size=7, embedding_size=5, dropout=0.4, vocab_size=11)
    _, weights = weights_of(shape)
    graph = build_graph(shape, weights)
    OnnxSession(graph, shape)
    with pytest.raises(ModelDirectoryError, match="not the network that config"):
        OnnxSession(graph, shape.model_copy(update=change))


@pytest.mark.parametrize("graph", [b"", b"not a graph", b"\x80\x04K\x01."])
def test_session_refuses_what_is_no_graph(graph: bytes) -> None:
    with pytest.raises(ModelDirectoryError, match="not the network that config") as caught:
        OnnxSession(graph, SHAPES[0])
    assert "\n" not in str(caught.value)
