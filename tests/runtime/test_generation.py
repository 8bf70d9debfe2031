from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charloom
from charloom.errors import UsageError
from charloom.runtime.generation import Generation, TextStream, generate_batch, write_items
from charloom.runtime.prompts import READ_AT_ONCE, Reading, read_prompt
from charloom.runtime.session import Session
from charloom.settings import MAX_SEED, SamplingSettings
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary
from tests.fakes import FakeSession, cycle, uniform

LETTERS = CharacterVocabulary("abcde\n")
SIZE = LETTERS.size


def generate(session: Session, prompt: str = "", vocabulary: Vocabulary = LETTERS, **options: Any) -> Generation:
    return TextStream(session, vocabulary, prompt, prompt, SamplingSettings(**options)).finish()


def test_a_cycle_is_followed() -> None:
    generation = generate(cycle(SIZE), "ab", length=8, seed=1)
    assert generation.text == "cde\nabcd"
    assert (generation.prompt, generation.characters, generation.seed) == ("ab", 8, 1)
    assert generation.finish_reason == "length"
    assert generation.unknown == ()


def test_same_seed_same_text() -> None:
    texts = [generate(uniform(SIZE), length=60, temperature=1, seed=seed).text for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 60


def test_a_seed_is_drawn_where_none_is_given_and_returned() -> None:
    first, second = (generate(uniform(SIZE), length=60) for _ in range(2))
    assert first.seed != second.seed
    assert generate(uniform(SIZE), length=60, seed=first.seed).text == first.text


def test_temperature_zero_is_greedy() -> None:
    def score(token: int, count: int) -> list[float]:
        return [9.0, 0.0, 0.1, 0.0, 0.1, 0.0, 0.0]

    assert generate(FakeSession(SIZE, score), length=5, temperature=0).text == "bbbbb"


def test_all_characters_are_drawn_but_never_the_unknown() -> None:
    def score(token: int, count: int) -> list[float]:
        return [40.0] + [0.0] * (SIZE - 1)  # the unknown would be by far the likeliest

    text = generate(FakeSession(SIZE, score), length=2000, temperature=1, seed=0).text
    assert set(text) == set("abcde\n")
    counts = np.array([text.count(letter) for letter in "abcde\n"])
    assert ((counts - 2000 / 6) ** 2 / (2000 / 6)).sum() < 20.5  # 5 degrees of freedom, once in a thousand


def test_streamed_is_whole() -> None:
    settings = SamplingSettings(length=50, temperature=1, seed=3, stop=["ab"])
    stream = TextStream(uniform(SIZE), LETTERS, "a", "a", settings)
    assert stream.finish_reason is None
    assert stream.seed == 3
    pieces = list(stream)
    assert all(pieces), "no piece is empty"
    whole = generate(uniform(SIZE), "a", length=50, temperature=1, seed=3, stop=["ab"])
    assert "".join(pieces) == whole.text
    assert stream.finish_reason == whole.finish_reason


def test_a_stream_read_in_part_is_finished_whole() -> None:
    stream = TextStream(cycle(SIZE), LETTERS, "", "", SamplingSettings(length=6))
    assert [next(stream), next(stream)] == ["a", "b"]
    assert stream.finish().text == "abcde\n"


def test_stop() -> None:
    generation = generate(cycle(SIZE), "a", length=100, stop=["e\na"])
    assert generation.text == "bcd"
    assert (generation.finish_reason, generation.characters) == ("stop", 3)
    assert generate(cycle(SIZE), "a", length=3, stop=["de"]).text == "bcd"


@given(st.integers(0, 2**63 - 1), st.integers(1, 6), st.integers(0, 25))
def test_sample_i_is_the_one_with_seed_plus_i(seed: int, samples: int, length: int) -> None:
    settings = SamplingSettings(length=length, temperature=1.3, seed=seed, top_k=4, stop=["cc", "da"])
    batch = generate_batch(uniform(SIZE), LETTERS, "ab", "ab", settings, samples)
    assert len(batch) == samples
    for index, generation in enumerate(batch):
        alone_seed = (seed + index) % (MAX_SEED + 1)
        alone = TextStream(
            uniform(SIZE), LETTERS, "ab", "ab", settings.model_copy(update={"seed": alone_seed})
        ).finish()
        assert generation.seed == alone_seed
        assert generation.text == alone.text
        assert generation.finish_reason == alone.finish_reason
        assert generation.characters == len(generation.text)


def test_a_batch_ends_when_all_have_stopped() -> None:
    session = cycle(SIZE)
    settings = SamplingSettings(length=1000, stop=["d"], seed=1)
    assert [item.text for item in generate_batch(session, LETTERS, "a", "a", settings, 3)] == ["bc"] * 3
    assert len(session.runs) < 5


@pytest.mark.parametrize(
    ("pattern", "length", "expected", "reason"),
    [
        ("abc", 10, "abc", "stop"),  # what the network wants anyway
        ("[ab]{3}", 10, "aba", "stop"),  # and what it would not write
        ("(abcde\n)*", 11, "abcde\n", "stop"),  # a second one could not be finished
        ("(ab)*", 5, "ab", "stop"),  # it may end, and the network does not go on with it
        ("a*", 4, "a", "stop"),
        ("a+c?", 4, "a", "stop"),
        ("a*c", 4, "aaac", "length"),  # it may not end
        ("(ad|e)?", 1, "", "stop"),
        ("", 3, "", "stop"),
    ],
)
def test_a_pattern(pattern: str, length: int, expected: str, reason: str) -> None:
    found = generate(cycle(SIZE), "\n", regex=pattern or "()", length=length, temperature=0)
    assert (found.text, found.finish_reason) == (expected, reason)
    (sample,) = generate_batch(
        cycle(SIZE), LETTERS, "\n", "\n", SamplingSettings(regex=pattern or "()", length=length, temperature=0), 1
    )
    assert sample.text == expected


def probabilities(pattern: str, length: int, next_of: Callable[[str], dict[str, float]]) -> dict[str, float]:
    """Of every text that can be written under a pattern, by trying all of them, from `re` alone."""
    words = ["".join(word) for size in range(length + 1) for word in itertools.product("abc", repeat=size)]
    accepted = [word for word in words if re.fullmatch(pattern, word)]
    found: dict[str, float] = {}

    def go_on(text: str, probability: float) -> None:
        nexts = next_of(text)
        matching = {c: p for c, p in nexts.items() if any(word.startswith(text + c) for word in accepted)}
        ending = max(0.0, 1 - sum(matching.values()) - 1e-12) if text in accepted else 0.0
        if ending or not matching:
            found[text] = probability * (ending if matching else 1)
        share = 1 if text in accepted else sum(matching.values())
        for character, own in matching.items():
            go_on(text + character, probability * own / share)

    go_on("", 1.0)
    return found


@pytest.mark.parametrize(
    ("pattern", "length"),
    [("a{1,4}", 6), ("(a|bc)*", 4), ("a?b?c?", 3), ("(ab?|c){2,3}", 5), ("b*", 3), ("(a+b)?c*", 4), ("[ab]+c", 4)],
)
@pytest.mark.parametrize("is_batch", [False, True])
def test_where_a_pattern_may_end_it_ends_as_often_as_the_model_leaves_it(
    pattern: str, length: int, *, is_batch: bool
) -> None:
    """The distribution of what is written is the one of all texts, tried one by one."""
    scores = np.random.default_rng(5).normal(size=(4, 4)) * 1.2

    def next_of(text: str) -> dict[str, float]:
        own = np.exp(scores[letters.encode(text[-1:] or "c")[0]][1:])  # the unknown character is never drawn
        return dict(zip("abc", (own / own.sum()).tolist(), strict=True))

    letters = CharacterVocabulary("abc")
    session = FakeSession(4, lambda token, count: scores[token].tolist())
    drawn: Counter[str] = Counter()
    total = 4_000 if is_batch else 1_500
    settings = {"regex": pattern, "length": length, "temperature": 1}
    if is_batch:
        samples = generate_batch(session, letters, "c", "c", SamplingSettings(**settings, seed=1), total)
        drawn.update(sample.text for sample in samples)
    else:
        drawn.update(generate(session, "c", letters, **settings, seed=seed).text for seed in range(total))
    expected = probabilities(pattern, length, next_of)
    assert sum(expected.values()) == pytest.approx(1)
    assert drawn.keys() <= expected.keys()
    for text, probability in expected.items():
        spread = math.sqrt(probability * (1 - probability) / total)
        assert drawn[text] / total == pytest.approx(probability, abs=5 * spread + 1 / total), text


@given(
    st.sampled_from(["[a-e]+", "(ab|cd)*e?", "a{2,5}b", "(a|b\n)*", ".{3}", "[^a]*", "(abc)*(de)*"]),
    st.integers(6, 30),
    st.integers(0, 2**32),
    st.sampled_from([{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.3}, {"min_p": 0.5}]),
)
def test_what_is_written_matches_the_whole_pattern(
    pattern: str, length: int, seed: int, options: dict[str, Any]
) -> None:
    settings = SamplingSettings(**{"temperature": 1, **options}, regex=pattern, length=length, seed=seed)
    for found in generate_batch(uniform(SIZE), LETTERS, "e", "e", settings, 3):
        assert re.fullmatch(pattern, found.text)
        assert len(found.text) <= length


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": "a{20}", "length": 10}, "its shortest match has 20 characters, more than length = 10"),
        ({"regex": "a", "length": 0}, "its shortest match has 1"),
        ({"regex": "z"}, "'z'"),
        ({"regex": "(a"}, "unterminated subpattern"),
        ({"regex": "a", "stop": ["b"]}, "give regex or stop, not both"),
    ],
)
def test_patterns_that_cannot_be_met(options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ValueError), match=re.escape(message)):
        generate(cycle(SIZE), "a", **options)


def items(session: Session, count: int, prompt: str = "", exclude: Container[str] = (), **options: Any) -> list[str]:
    settings = SamplingSettings(**{"temperature": 1, "length": 30, "stop": ["\n"], "seed": 1, **options})
    return write_items(session, LETTERS, prompt, prompt, settings, count, lambda item: item in exclude)


@given(st.integers(1, 300), st.integers(0, 2**32), st.sampled_from(["", "ab"]))
def test_items_are_different_whole_and_begin_with_the_prompt(count: int, seed: int, prompt: str) -> None:
    found = items(uniform(SIZE), count, prompt, seed=seed)
    assert len(found) == len(set(found)) == count
    assert all(item.startswith(prompt) and item and "\n" not in item and len(item) < 30 + len(prompt) for item in found)
    assert items(uniform(SIZE), count, prompt, seed=seed) == found
    excluded = set(found[::2])
    assert not excluded & set(items(uniform(SIZE), count, prompt, seed=seed, exclude=excluded))


def test_there_may_be_fewer_items_than_are_asked_for() -> None:
    assert items(cycle(SIZE), 5, length=4) == [], "none ends in so few characters"
    assert items(cycle(SIZE), 5) == ["abcde"]
    assert items(cycle(SIZE), 5, exclude=["abcde"]) == []
    pattern: dict[str, Any] = {"stop": [], "regex": "[ab]{1,2}"}
    assert sorted(items(uniform(SIZE), 50, **pattern)) == ["a", "aa", "ab", "b", "ba", "bb"]


def test_items_come_as_often_as_the_model_writes_them() -> None:
    """The first of many runs is a draw from the model: each letter once in six, an empty line is none."""
    first = Counter(items(uniform(SIZE), 1, seed=seed)[0][0] for seed in range(600))
    assert set(first) == set("abcde")
    assert max(first.values()) - min(first.values()) < 80


def test_bytes_under_a_pattern() -> None:
    session = FakeSession(256, lambda token, count: [0.0] * 256)
    found = generate(session, "", ByteVocabulary(), regex="[é😀€]{4}", length=16, temperature=1, seed=3)
    assert re.fullmatch("[é😀€]{4}", found.text)


def test_an_empty_prompt_is_the_start_of_a_line() -> None:
    assert generate(cycle(SIZE), "", length=3).text == "abc"  # what follows a newline in this cycle
    assert generate(cycle(SIZE), "\n", length=3).text == "abc"


def test_length_zero() -> None:
    generation = generate(cycle(SIZE), "a", length=0)
    assert (generation.text, generation.characters, generation.finish_reason) == ("", 0, "length")
    (item,) = generate_batch(cycle(SIZE), LETTERS, "a", "a", SamplingSettings(length=0), 1)
    assert (item.text, item.finish_reason) == ("", "length")


def test_unknown_characters_of_the_prompt_are_returned() -> None:
    assert generate(cycle(SIZE), "zaxxb", length=2).unknown == ("x", "z")


def test_a_long_prompt_is_read_in_chunks_with_the_state_carried() -> None:
    def score(token: int, count: int) -> list[float]:
        return [float(count), float(token)] + [0.0] * (SIZE - 2)

    session = FakeSession(SIZE, score)
    ids = np.arange(2 * READ_AT_ONCE + 5) % SIZE
    logits, state = read_prompt(session, ids)
    assert logits.shape == (1, SIZE)
    assert logits[0, :2].tolist() == [len(ids), ids[-1]]
    assert state[0].tolist() == [[len(ids)]]
    assert max(run[0] for run in session.runs) <= READ_AT_ONCE
    with pytest.raises(ValueError, match="at least one"):
        Reading(ids[:0], state)


def test_bytes_are_shown_as_whole_characters() -> None:
    cycle_of_bytes = "é😀".encode()

    def score(token: int, count: int) -> list[float]:
        scores = [0.0] * 256
        scores[cycle_of_bytes[(count - 1) % len(cycle_of_bytes)]] = 90.0
        return scores

    stream = TextStream(FakeSession(256, score), ByteVocabulary(), "", "", SamplingSettings(length=11))
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == "é😀é"  # 6 + 5 bytes: the second emoji is not whole


def test_a_trained_model(trained: Path) -> None:
    model = charloom.load(trained)
    generation = model.generate("The ", length=80, seed=7)
    assert len(generation.text) == 80
    assert generation.text == model.generate("The ", length=80, seed=7).text
    assert "".join(model.stream("The ", length=80, seed=7)) == generation.text
    samples = model.generate_samples("The ", samples=3, length=80, seed=7)
    assert samples[0].text == generation.text
    assert len({item.text for item in samples}) == 3
    assert set(generation.text) <= set(model.vocabulary.decode(np.arange(1, model.vocabulary.size)))
    assert model.generate("\N{SNOWMAN}", length=1).unknown == ("\N{SNOWMAN}",)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temperature": -1}, "temperature = -1"),
        ({"top_p": 0}, "top-p = 0"),
        ({"length": -1}, "length = -1"),
        ({"seed": 2**63}, "seed"),
        ({"stop": [""]}, "empty stop"),
        ({"warmth": 1}, "no such setting"),
    ],
)
def test_wrong_options(trained: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        charloom.load(trained).generate("a", **options)


@pytest.mark.parametrize("samples", [0, -1, 4097])
def test_wrong_numbers_of_samples(trained: Path, samples: int) -> None:
    with pytest.raises(UsageError, match="samples"):
        charloom.load(trained).generate_samples("a", samples=samples)


def test_wrong_threads(trained: Path) -> None:
    with pytest.raises(UsageError, match="threads = 0"):
        charloom.load(trained, threads=0)
