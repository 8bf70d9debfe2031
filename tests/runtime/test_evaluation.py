from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import charloom
from charloom.errors import CorpusError, UsageError
from charloom.events import Event, Notice
from charloom.runtime.evaluation import evaluate_segments
from charloom.runtime.session import negative_log_likelihoods
from charloom.settings import Protocol
from charloom.text.splits import Segment, split_ids, with_opening
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary
from charloom.training.model import CharacterModel
from charloom.training.torch_session import TorchSession
from tests.fakes import FakeSession, uniform

LETTERS = CharacterVocabulary("abcd")
PROTOCOLS: dict[Protocol, int] = {"stateful": 10**9, "windows-256": 256, "cold-60": 60}


def score(token: int, count: int) -> list[float]:
    """Scores that tell how long the state has lived and what was read last."""
    return [math.sin(count * 0.1 + token * letter) for letter in range(5)]


def by_hand(segments: list[Segment], window: int) -> float:
    """Nats a character: a plain loop, one character at a time, the state begun anew every `window`."""
    nats, characters = 0.0, 0
    for segment in segments:
        for place, (read, target) in enumerate(pairwise(segment.ids.tolist())):
            scores = score(read, place % window + 1)
            nats += math.log(math.fsum(math.exp(value) for value in scores)) - scores[target]
            characters += 1
    return nats / characters


def segments_of(*lengths: int) -> list[Segment]:
    rng = np.random.default_rng(len(lengths))
    return [Segment(rng.integers(0, 5, length + 1)) for length in lengths]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "lengths",
    [(1,), (59,), (60,), (61,), (256,), (257,), (1024,), (1025,), (2500,), (70, 70, 70), (300, 5, 300, 1)],
    ids=str,
)
def test_loss_by_hand(protocol: Protocol, lengths: tuple[int, ...]) -> None:
    segments = segments_of(*lengths)
    evaluation = evaluate_segments(FakeSession(5, score), LETTERS, segments, protocol)
    assert evaluation.loss == pytest.approx(by_hand(segments, PROTOCOLS[protocol]), abs=1e-6)
    assert evaluation.characters == sum(lengths)
    assert evaluation.perplexity == pytest.approx(math.exp(evaluation.loss))
    assert evaluation.bits_per_char == pytest.approx(evaluation.loss / math.log(2))
    assert evaluation.protocol == protocol
    assert evaluation.unknown == sum(int((segment.ids[1:] == 0).sum()) for segment in segments)


def test_protocols_differ_where_the_state_matters() -> None:
    segments = segments_of(700)
    losses = {p: evaluate_segments(FakeSession(5, score), LETTERS, segments, p).loss for p in PROTOCOLS}
    assert len({round(loss, 4) for loss in losses.values()}) == 3


@given(st.lists(st.integers(1, 130), min_size=1, max_size=6), st.sampled_from(list(PROTOCOLS)))
@settings(max_examples=25)
def test_how_pieces_are_batched_changes_nothing(lengths: list[int], protocol: Protocol) -> None:
    segments = segments_of(*lengths)
    together = evaluate_segments(FakeSession(5, score), LETTERS, segments, protocol)
    apart = [evaluate_segments(FakeSession(5, score), LETTERS, [one], protocol) for one in segments]
    nats = math.fsum(item.loss * item.characters for item in apart)
    assert together.loss == pytest.approx(nats / sum(lengths), abs=1e-9)


@pytest.mark.slow
def test_memory_for_scores_is_bounded() -> None:
    vocabulary = CharacterVocabulary(chr(0x4E00 + index) for index in range(2_000))
    session = uniform(vocabulary.size)
    ids = np.ones(20_000, dtype=np.int64)
    evaluation = evaluate_segments(session, vocabulary, [Segment(ids)], "windows-256")
    assert evaluation.loss == pytest.approx(math.log(2_001), abs=1e-5)
    assert max(time * rows * vocabulary.size for time, rows in session.runs) <= 1 << 23
    assert max(rows for _, rows in session.runs) > 1


def test_nothing_to_evaluate() -> None:
    with pytest.raises(CorpusError, match="no text"):
        evaluate_segments(uniform(5), LETTERS, [Segment(np.array([1]))], "stateful")


def test_negative_log_likelihoods_by_hand() -> None:
    logits = np.log(np.array([[[1, 1, 2], [5, 3, 2]]], dtype=np.float32))
    nats = negative_log_likelihoods(logits, np.array([[2, 0]]))
    np.testing.assert_allclose(nats, [[math.log(2), math.log(2)]], rtol=1e-6)
    huge = np.array([[[1e4, 0, -1e4]]], dtype=np.float32)
    np.testing.assert_allclose(negative_log_likelihoods(huge, np.array([[2]])), [[2e4]])


def test_bits_a_byte() -> None:
    vocabulary = CharacterVocabulary("aé€")
    ids = vocabulary.encode("aaé€")  # the first is context: 1 + 2 + 3 bytes are predicted
    evaluation = evaluate_segments(uniform(4), vocabulary, [Segment(ids)], "stateful")
    assert evaluation.bits_per_char == pytest.approx(2)
    assert evaluation.bits_per_byte == pytest.approx(1)
    unknown = evaluate_segments(uniform(4), vocabulary, [Segment(np.array([1, 0, 1]))], "stateful")
    assert unknown.bits_per_byte is None
    assert unknown.unknown == 1


def test_bits_a_character_of_a_bytes_vocabulary() -> None:
    ids = ByteVocabulary().encode("\néé")  # four bytes, two characters
    evaluation = evaluate_segments(uniform(256), ByteVocabulary(), [Segment(ids)], "stateful")
    assert evaluation.loss == pytest.approx(math.log(256))
    assert evaluation.bits_per_byte == pytest.approx(8)
    assert evaluation.bits_per_char == pytest.approx(16)
    assert evaluation.characters == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_onnx_and_torch_agree_on_a_trained_model(trained: Path, small_text: Path, protocol: Protocol) -> None:
    model = charloom.load(trained)
    network = CharacterModel(model.config.model)
    network.load_state_dict(load_file(trained / "model.safetensors"))
    text = small_text.read_text("utf-8")
    whole = with_opening(model.vocabulary.encode(text), model.vocabulary.opening_id)
    split = split_ids(whole, "tail", 0.1)
    expected = evaluate_segments(TorchSession(network), model.vocabulary, split.validation, protocol)
    found = model.evaluate(small_text, protocol=protocol)
    assert found.loss == pytest.approx(expected.loss, abs=1e-5)
    assert found.characters == expected.characters == 2_000
    recorded = model.config.losses.get(protocol)
    if recorded is not None:
        assert recorded.loss == pytest.approx(found.loss, abs=1e-5)


def test_stateful_is_torchs_cross_entropy(trained: Path, small_text: Path) -> None:
    """Against torch.nn alone: the whole validation text in one pass."""
    model = charloom.load(trained)
    network = CharacterModel(model.config.model)
    network.load_state_dict(load_file(trained / "model.safetensors"))
    network.eval()
    ids = torch.from_numpy(model.vocabulary.encode(small_text.read_text("utf-8")).astype(np.int64))
    with torch.inference_mode():
        logits, _ = network(ids[17_999:-1, None], network.initial_state(1))
    expected = torch.nn.functional.cross_entropy(logits[:, 0], ids[18_000:])
    assert model.evaluate(small_text).loss == pytest.approx(float(expected), abs=1e-5)


def test_splits_of_a_trained_model(trained: Path, small_text: Path, tmp_path: Path) -> None:
    model = charloom.load(trained)
    parts: dict[Any, float] = {}
    counts: dict[Any, int] = {}
    for split in ("train", "validation", "all"):
        evaluation = model.evaluate(small_text, split=split)
        parts[split], counts[split] = evaluation.loss, evaluation.characters
    assert counts == {"train": 18_000, "validation": 2_000, "all": 20_000}
    assert parts["train"] < math.log(model.vocabulary.size) - 1, "it learned something"
    # `all` reads through the cut with its state, `validation` begins there: nearly the same sum.
    assert 0.9 * parts["train"] + 0.1 * parts["validation"] == pytest.approx(parts["all"], abs=0.01)

    other = tmp_path / "other.txt"
    other.write_text("Another text altogether \N{SNOWMAN}\n" * 10, "utf-8")
    events: list[Event] = []
    evaluation = model.evaluate(other, notify=events.append)
    assert [type(event) for event in events] == [Notice]
    assert evaluation.unknown == 1
    assert evaluation.bits_per_byte is None


def test_wrong_names(trained: Path, small_text: Path) -> None:
    model = charloom.load(trained)
    with pytest.raises(UsageError, match="choose stateful"):
        model.evaluate(small_text, protocol="warm")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="choose train"):
        model.evaluate(small_text, split="test")  # type: ignore[arg-type]
