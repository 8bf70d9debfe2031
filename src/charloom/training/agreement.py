"""A finished network outside PyTorch: it and its graphs compared with PyTorch, and what int8 costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charloom.bundle import ModelShape
from charloom.bundle.config import GRAPH, STEP_GRAPH, FileName, PrecisionRecord
from charloom.errors import ModelDirectoryError, TrainingError
from charloom.kernel.network import open_network
from charloom.kernel.weights import Weights
from charloom.runtime.evaluation import evaluate_segments
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_session import OnnxSession, has_onnx_runtime
from charloom.runtime.session import Session, initial_state
from charloom.text.prepared import load_ids
from charloom.text.splits import beginning
from charloom.text.vocabulary import Ids
from charloom.training.data import TrainingData
from charloom.training.torch_session import TorchSession

TOLERANCE = 1e-4  # largest allowed difference of a logit from PyTorch's, or of the largest logit's size if above 1
_STRETCH = 32  # characters before the network begins anew from PyTorch's state
_CHECKED_CHARACTERS = 256  # of the validation text, to compare with PyTorch
_COMPARED_CHARACTERS = 32_768  # of the validation text, to compare int8 with float32


@dataclass(frozen=True)
class Agreement:
    """A network that agrees with PyTorch.

    Attributes:
        graphs: its graphs by their names in a model directory; without the int8 one where the vocabulary is too large.
        difference: the largest between a logit of the network and PyTorch's.
        precision: what int8 costs.
        session: the network that `auto` writes with.
    """

    graphs: dict[FileName, bytes]
    difference: float
    precision: PrecisionRecord
    session: Session


def check_agreement(weights: Weights, session: TorchSession, data: TrainingData) -> Agreement:
    """Compare a network with PyTorch, build its graphs, and measure int8 on its validation text.

    Args:
        weights: by PyTorch's names, as in `model.safetensors`.
        session: the network with these weights in PyTorch.
        data: what it was trained on.

    Raises:
        TrainingError: they differ.
    """
    shape, text = session.shape, data.split.validation[0].ids
    checked = load_ids(text[:_CHECKED_CHARACTERS, None])
    float32, int8 = (open_network(shape, weights, precision) for precision in ("float32", "int8"))
    graphs = _build_graphs(shape, weights)
    difference = compare(float32, session, checked)
    if has_onnx_runtime():
        difference = max(difference, _compare_graph(graphs[GRAPH], session, checked))
    part = beginning(data.split.validation, _COMPARED_CHARACTERS)
    ours, theirs = (evaluate_segments(each, data.vocabulary, part, "windows-256") for each in (float32, int8))
    precision = PrecisionRecord(float32=ours.loss, int8=theirs.loss, characters=ours.characters)
    return Agreement(graphs, difference, precision, int8 if precision.int8_is_faithful else float32)


def _build_graphs(shape: ModelShape, weights: Weights) -> dict[FileName, bytes]:
    graphs: dict[FileName, bytes] = {GRAPH: build_graph(shape, weights)}
    int8 = build_int8_graph(shape, weights)
    return graphs if int8 is None else {**graphs, STEP_GRAPH: int8}


def _compare_graph(graph: bytes, reference: Session, ids: Ids) -> float:
    try:
        session = OnnxSession(graph, reference.shape)
    except ModelDirectoryError as error:
        raise TrainingError(f"{error} (the model was not saved)") from None
    return compare(session, reference, ids)


def compare(session: Session, reference: Session, ids: Ids) -> float:
    """Run a network and the model it was made from on the same text, ids (T, B).

    The network begins each stretch from the model's own state: a network can be chaotic, and rounding, which differs
    from one processor to another, would then grow without end.

    Returns:
        The largest difference between their logits.

    Raises:
        TrainingError: it is too large.
    """
    state = initial_state(reference.shape, ids.shape[1])
    difference, share = 0.0, 0.0
    for start in range(0, len(ids), _STRETCH):
        stretch = ids[start : start + _STRETCH]
        found, _ = session.run(stretch, state)
        expected, state = reference.run(stretch, state)
        here = float(np.abs(found - expected).max())
        difference = float(np.maximum(difference, here))  # NaN stays NaN
        share = float(np.maximum(share, here / max(1.0, float(np.abs(expected).max()))))
    if not share <= TOLERANCE:
        raise TrainingError(
            f"the exported network differs from the trained model by {share:.1e} (at most {TOLERANCE:.0e}): "
            f"the model was not saved; please report this"
        )
    return difference
