"""Likely continuations are exactly those that trying all of them would find."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import charloom
from charloom.kernel.network import open_network
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.likeliest import Until, complete, next_characters
from charloom.runtime.logprobs import log_probabilities
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.prompts import prompt_ids
from charloom.runtime.session import Session, initial_state
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary
from tests.kernel.networks import make_shape, make_weights

VOCABULARY = CharacterVocabulary("\n a'b.")
LENGTH = 4


def compiled(precision: str) -> Callable[[], Session]:
    def make() -> Session:
        return open_network(SHAPE, WEIGHTS, precision)  # type: ignore[arg-type]

    return make


SHAPE = make_shape("lstm", 1, 16, VOCABULARY.size, 4)
WEIGHTS = {name: 3 * part for name, part in make_weights(SHAPE, 7).items()}  # some continuations are much likelier
NETWORKS: dict[str, tuple[str | None, Callable[[], Session]]] = {
    "kernel, float32": (None, compiled("float32")),
    "kernel, int8": (None, compiled("int8")),
    "numpy": ("numpy", compiled("int8")),
    "ONNX Runtime": (None, lambda: OnnxSession(build_graph(SHAPE, WEIGHTS), SHAPE)),
}


def probabilities(session: Session, ids: list[int]) -> NDArray[np.float64]:
    """Of what comes after some ids, read from the start."""
    logits, _ = session.read(np.array(ids)[:, None], initial_state(session.shape, 1))
    return np.asarray(np.exp(log_probabilities(logits)[0]))


def every(session: Session, prompt: list[int], until: Until) -> list[tuple[str, float]]:
    """All completions, by reading every text of at most LENGTH characters."""
    found = []
    characters = VOCABULARY.characters
    for length in range(LENGTH + 1):
        for letters in itertools.product(characters, repeat=length):
            text = "".join(letters)
            stem = text.lstrip("\n .")  # the word, with nothing before it
            is_word = bool(stem) and not set(stem) & set("\n .")
            if not (is_word if until == "word" else "\n" not in text):
                continue
            ids = [*prompt, *VOCABULARY.encode(text).tolist()]
            chance = math.prod(
                probabilities(session, ids[:place])[ids[place]] for place in range(len(prompt), len(ids))
            )
            after = probabilities(session, ids)
            enders = [0, *VOCABULARY.encode("\n .")] if until == "word" else VOCABULARY.encode("\n")
            found.append((text, chance * after[enders].sum()))
    return sorted(found, key=lambda one: -one[1])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("until", ["word", "line"])
def test_a_search_finds_what_trying_everything_finds(
    network: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable, make = NETWORKS[network]
    if variable is not None:
        monkeypatch.setenv("CHARLOOM_KERNEL", variable)
    session = make()
    prompt = prompt_ids(VOCABULARY, "ab a")
    expected = every(session, prompt.tolist(), until)
    for count in (1, 7, 40):
        found = complete(session, VOCABULARY, prompt, count, until=until, length=LENGTH)
        assert all(one.exact for one in found)
        assert [one.text for one in found] == [text for text, _ in expected[:count]]
        assert [one.probability for one in found] == pytest.approx([chance for _, chance in expected[:count]], rel=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_next_characters_are_those_of_the_distribution(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable, make = NETWORKS[network]
    if variable is not None:
        monkeypatch.setenv("CHARLOOM_KERNEL", variable)
    session, prompt = make(), prompt_ids(VOCABULARY, "a")
    chances = probabilities(session, prompt.tolist())
    ranked = sorted(
        ((text, chances[number + 1]) for number, text in enumerate(VOCABULARY.characters)), key=lambda one: -one[1]
    )
    found = next_characters(session, VOCABULARY, prompt, 3)
    assert [text for text, _ in found] == [text for text, _ in ranked[:3]]
    assert [chance for _, chance in found] == pytest.approx([chance for _, chance in ranked[:3]], rel=1e-5)
    assert len(next_characters(session, VOCABULARY, prompt, 99)) == len(VOCABULARY.characters)  # the unknown is not one


def test_a_character_of_several_bytes_is_one() -> None:
    vocabulary: Vocabulary = ByteVocabulary()
    shape = make_shape("gru", 1, 8, vocabulary.size, 4)
    weights = make_weights(shape, 3)
    bias = next(name for name in weights if weights[name].shape == (256,))
    weights[bias] = np.full(256, -9, np.float32)
    weights[bias][[*"aé€".encode()]] = 3  # as likely as can be
    session = open_network(shape, weights, "float32")
    prompt = prompt_ids(vocabulary, "The ")
    found = dict(next_characters(session, vocabulary, prompt, 100))
    assert {"a", "é", "€"} <= set(found)
    for text, chance in found.items():
        ids = [*prompt.tolist(), *vocabulary.encode(text).tolist()]
        steps = range(len(prompt), len(ids))
        assert chance == pytest.approx(math.prod(probabilities(session, ids[:n])[ids[n]] for n in steps), rel=1e-4)


def test_a_search_that_would_never_end_is_given_up_and_says_so(trained: Path) -> None:
    model = charloom.load(trained)
    found = model.complete("The ", 300, until="line", length=80)
    exact = [one.exact for one in found]
    assert exact == sorted(exact, reverse=True)
    assert not exact[-1]
    first = dict(model.next("The ", 200))
    assert all(first[one.text[:1] or "\n"] >= one.probability > 0 for one in found)


def test_a_model_completes_words(trained: Path) -> None:
    model = charloom.load(trained)
    found = model.complete("The stat", 5)
    assert len(found) == 5
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
    assert all(one.exact and one.text.strip() and 0 < one.probability < 1 for one in found)
    assert str(found[0]) == found[0].text
    assert model.complete("The ", 1) != model.complete("", 1)
    with pytest.raises(charloom.UsageError, match="k = 0"):
        model.next("a", 0)
    with pytest.raises(charloom.UsageError, match="until = 'page': choose word or line"):
        model.complete("a", until="page")  # type: ignore[arg-type]


@pytest.mark.parametrize("until", ["word", "line"])
def test_completions_of_bytes_are_whole_characters(until: Until) -> None:
    shape, vocabulary = make_shape("lstm", 1, 8, 256, 4), ByteVocabulary()
    session = open_network(shape, make_weights(shape, 3), "float32")
    found = complete(session, vocabulary, prompt_ids(vocabulary, "a"), 200, until=until, length=2)
    assert len(found) > 100
    assert not [one.text for one in found if "\ufffd" in one.text]
    assert len({one.text for one in found}) == len(found)
    assert any(not one.text.isascii() for one in found)
    following = next_characters(session, vocabulary, prompt_ids(vocabulary, "a"), 100_000)
    assert {len(character) for character, _ in following} == {1}
