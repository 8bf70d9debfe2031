"""Both graphs of a finished network: built, compared with PyTorch, and measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charloom.bundle import ModelShape
from charloom.bundle.config import GRAPH, STEP_GRAPH, FileName, PrecisionRecord
from charloom.errors import ModelDirectoryError, TrainingError
from charloom.runtime.evaluation import evaluate_segments
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_graph import Arrays
from charloom.runtime.session import OnnxSession, Session, initial_state
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment
from charloom.text.vocabulary import Ids
from charloom.training.data import TrainingData
from charloom.training.torch_session import TorchSession

TOLERANCE = 1e-4  # largest allowed difference of a logit from PyTorch's, or of the largest logit's size if above 1
_STRETCH = 32  # characters before the graph begins anew from PyTorch's state
_CHECKED_CHARACTERS = 256  # of the validation text, to compare the float32 graph with PyTorch
_COMPARED_CHARACTERS = 32_768  # of the validation text, to compare int8 with float32


@dataclass(frozen=True)
class Graphs:
    """What a model directory runs.

    Attributes:
        shape: the network.
        float32: the content of `model.onnx`.
        int8: the content of `model.int8.onnx`; None where the vocabulary is too large for it.
        difference: the largest between a logit of the float32 graph and PyTorch's.
        precision: what int8 costs.
    """

    shape: ModelShape
    float32: bytes
    int8: bytes | None
    difference: float
    precision: PrecisionRecord | None

    @property
    def files(self) -> dict[FileName, bytes]:
        """The graphs by their names in a model directory."""
        return {GRAPH: self.float32, **({} if self.int8 is None else {STEP_GRAPH: self.int8})}

    def writing_session(self) -> OnnxSession:
        """The graph that `auto` writes with."""
        if self.int8 is not None and self.precision is not None and self.precision.int8_is_faithful:
            return OnnxSession(self.int8, self.shape)
        return OnnxSession(self.float32, self.shape)


def build_graphs(weights: Arrays, session: TorchSession, data: TrainingData) -> Graphs:
    """Build both graphs of a network, and measure them on its validation text.

    Args:
        weights: by PyTorch's names, as in `model.safetensors`.
        session: the network with these weights in PyTorch.
        data: what it was trained on.
    """
    shape, text = session.shape, data.split.validation[0].ids
    float32, int8 = build_graph(shape, weights), build_int8_graph(shape, weights)
    difference = verify_graph(float32, session, load_ids(text[:_CHECKED_CHARACTERS, None]))
    precision = None
    if int8 is not None:
        part = [Segment(text[: _COMPARED_CHARACTERS + 1])]
        ours, theirs = (
            evaluate_segments(OnnxSession(graph, shape), data.vocabulary, part, "windows-256")
            for graph in (float32, int8)
        )
        precision = PrecisionRecord(float32=ours.loss, int8=theirs.loss, characters=ours.characters)
    return Graphs(shape, float32, int8, difference, precision)


def verify_graph(graph: bytes, reference: Session, ids: Ids) -> float:
    """Run the graph and the model it was made from on the same text, ids (T, B).

    The graph begins each stretch from the model's own state: a network can be chaotic, and rounding, which differs
    from one processor to another, would then grow without end.

    Returns:
        The largest difference between their logits.
    """
    try:
        session = OnnxSession(graph, reference.shape)
    except ModelDirectoryError as error:
        raise TrainingError(f"{error} (the model was not saved)") from None
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
            f"the exported graph differs from the trained model by {share:.1e} (at most {TOLERANCE:.0e}): "
            f"the model was not saved; please report this"
        )
    return difference
