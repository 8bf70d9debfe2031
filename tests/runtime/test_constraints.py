from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.runtime.patterns.automaton import MAX_PLACES
from charloom.runtime.patterns.constraint import RegexConstraint, compile_constraint
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary
from tests.runtime.patterns import ASCII, BYTES, EUROPEAN, LETTERS, can_write, walk

WORDS = ["".join(word) for length in range(5) for word in itertools.product("abc", repeat=length)]

atoms = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[b-c]", r"\w", "(?i:A)", r"\x61"])
quantifiers = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{2,}", "{0}", "{1,2}?"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.one_of(
        inner.map("({})".format),
        inner.map("(?:{})".format),
        st.lists(st.one_of(inner, st.just("")), min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
    )
    return st.one_of(groups, st.tuples(st.one_of(atoms, groups), quantifiers).map("".join)) | st.lists(
        inner, min_size=1, max_size=3
    ).map("".join)


patterns = st.recursive(atoms, _larger, max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(patterns)
def test_what_can_be_written_is_what_fullmatch_accepts(pattern: str) -> None:
    constraint = RegexConstraint(pattern, LETTERS)
    accepted = [word for word in WORDS if re.fullmatch(pattern, word)]
    assert [word for word in WORDS if can_write(constraint, LETTERS, word)] == accepted
    if accepted:
        assert constraint.shortest == len(accepted[0])  # shorter words come first
    else:
        assert constraint.shortest > 4


@settings(max_examples=150, deadline=None)
@given(patterns, st.randoms(use_true_random=False), st.integers(0, 6))
def test_random_walks_end_in_a_match_within_the_length(pattern: str, choice: random.Random, more: int) -> None:
    constraint = RegexConstraint(pattern, LETTERS)
    ids = walk(constraint, constraint.shortest + more, choice.randrange)
    assert 0 not in ids
    assert re.fullmatch(pattern, LETTERS.decode(np.array(ids, dtype=np.int64)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["é", "€", "😀", ".", "[^é]", r"\w", r"\W", "[α-ω]", "(?i:Ä)", "a", "(?s:.)"]), min_size=1
    ),
    quantifiers,
    st.randoms(use_true_random=False),
    st.integers(0, 9),
)
def test_walks_over_bytes_end_in_a_match(parts: list[str], quantifier: str, choice: random.Random, more: int) -> None:
    pattern = f"(?:{'|'.join(parts)}){quantifier}{parts[0]}"
    constraint = RegexConstraint(pattern, BYTES)
    text = bytes(walk(constraint, constraint.shortest + more, choice.randrange)).decode()  # strictly: whole characters
    assert re.fullmatch(pattern, text)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([r"\w", r"\W", r"\d", r"\s", ".", "[^é]", "[α-ω\U00010000-\U0001ffff]", "(?i)k"]), st.characters()
)
def test_every_character_over_bytes_is_decided_as_re_does(pattern: str, character: str) -> None:
    if character.encode("utf-8", "replace") != b"?":  # no surrogate
        constraint = compile_constraint(pattern, BYTES)
        assert can_write(constraint, BYTES, character) == bool(re.fullmatch(pattern, character))


def test_what_is_no_utf8_cannot_be_written() -> None:
    constraint = RegexConstraint("(?s).", BYTES)
    for text in (
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
    ):
        state = constraint.start
        for token in text:
            state = constraint.advance(state, token)
        assert state == 0
    assert not constraint.allowed(0, 9).any()
    assert not constraint.accepting(0)


def test_every_character_of_a_vocabulary_is_decided_as_re_does() -> None:
    characters = [*EUROPEAN.characters]
    for pattern in (r"\w", r"\W", r"\d", r"\s", ".", "(?s).", r"(?a)\w", r"(?a)\S", "(?i)[k-s]", "(?i)ß", "(?i)Σ",
                    "(?i)i", "(?i)[^k]", "(?ai)k", r"[\d€]", "[^\\W\\d_]", "(?i)\u017f"):  # fmt: skip
        constraint = RegexConstraint(pattern, EUROPEAN)
        allowed = constraint.allowed(constraint.start, 1)
        assert allowed.tolist() == [False, *(bool(re.fullmatch(pattern, one)) for one in characters)], pattern


def test_what_is_allowed_by_hand() -> None:
    constraint = RegexConstraint("ab?|cca", LETTERS)  # ids: a 1, b 2, c 3
    assert constraint.shortest == 1
    start = constraint.start
    assert constraint.allowed(start, 3).tolist() == [False, True, False, True]
    assert constraint.allowed(start, 2).tolist() == [False, True, False, False]  # cca no longer fits
    assert not constraint.allowed(start, 0).any()
    after_a = constraint.advance(start, 1)
    assert constraint.accepting(after_a)
    assert constraint.allowed(after_a, 1).tolist() == [False, False, True, False]
    assert not constraint.allowed(constraint.advance(after_a, 2), 9).any()
    after_c = constraint.advance(start, 3)
    assert not constraint.accepting(after_c)
    assert constraint.allowed(after_c, 1).tolist() == [False, False, False, False]
    assert constraint.advance(after_c, 1) == 0


def test_bytes_count_towards_the_length() -> None:
    constraint = RegexConstraint("€|é", BYTES)
    assert constraint.shortest == 2
    assert np.flatnonzero(constraint.allowed(constraint.start, 2)).tolist() == [0xC3]
    assert np.flatnonzero(constraint.allowed(constraint.start, 3)).tolist() == [0xC3, 0xE2]
    inside = constraint.advance(constraint.start, 0xC3)
    assert not constraint.accepting(inside)
    assert np.flatnonzero(constraint.allowed(inside, 5)).tolist() == [0xA9]


def test_the_unknown_character_is_never_allowed() -> None:
    vocabulary = CharacterVocabulary("a\N{REPLACEMENT CHARACTER}")
    constraint = RegexConstraint(".", vocabulary)
    assert constraint.allowed(constraint.start, 1).tolist() == [False, True, True]


def test_an_answer_of_allowed_is_the_callers() -> None:
    constraint = RegexConstraint("a+", LETTERS)
    constraint.allowed(constraint.start, 5)[:] = True
    assert constraint.allowed(constraint.start, 5).tolist() == [False, True, False, False]


def test_the_shortest_match_must_fit() -> None:
    constraint = RegexConstraint("a{3}b*", LETTERS)
    constraint.check_length(3)
    with pytest.raises(UsageError) as error:
        constraint.check_length(2)
    assert str(error.value) == "regex = 'a{3}b*': its shortest match has 3 characters, more than length = 2"
    with pytest.raises(UsageError, match=r"its shortest match has 3 bytes, more than length = 2$"):
        RegexConstraint("€", BYTES).check_length(2)


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        ("€", "'€'"),
        ("cost: 5€|€", "'€'"),  # of two ways, that which needs fewer
        ("a*xb*", "'x'"),
        ("(?:a?)*xy", "'x', 'y'"),  # a loop that takes nothing is not gone round
        ("[α-ω]+", "any character that [α-ω] matches"),
        (r"\d", r"any character that \\d matches"),
        (r"[^\s\S]", r"any character that [^\\s\\S] matches"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_character(pattern: str, missing: str) -> None:
    with pytest.raises(UsageError) as error:
        RegexConstraint(pattern, LETTERS)
    assert str(error.value).endswith(f": no text can match it: the model does not know {missing}")


def test_a_branch_with_an_unknown_character_is_left_out() -> None:
    constraint = RegexConstraint("ab|€", LETTERS)
    assert np.flatnonzero(constraint.allowed(constraint.start, 9)).tolist() == [1]


@pytest.mark.parametrize(
    "pattern",
    ["(a{1,1000}){1,1000}", "(?:(?:(?:a{9}){9}){9}){99}", "(?:" * 99 + "a" + "{2,3})" * 99, "(a|b){30000}"],
)
def test_what_would_be_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"more than 20,000 places: use smaller counts$"):
        RegexConstraint(pattern, LETTERS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    [
        "(?:" + "|" * 5000 + "a){1,1000}",
        "(?:" + "()" * 4000 + "a){1,1000}",
        "(?:(?:a?)*)*b",
        "(?:(?:){1000}){1000}a",
        "(a?){1000}a{1000}",
        "(?:.*.*)*c",
    ],
)
def test_what_would_cost_other_engines_dear_does_not(pattern: str) -> None:
    constraint = RegexConstraint(pattern, LETTERS)
    assert len(constraint._automaton.set_of) < MAX_PLACES / 5
    ways = [len(ways) for ways in constraint._automaton._next]
    assert sum(ways) < 2 * MAX_PLACES
    assert len(walk(constraint, constraint.shortest, lambda count: 0)) == constraint.shortest


def test_an_automaton_of_a_million_states_is_made_only_where_the_text_goes() -> None:
    constraint = RegexConstraint("(?:a|b)*a(?:a|b){20}", LETTERS)
    ids = walk(constraint, 300, random.Random(1).randrange)
    assert 280 <= len(ids) <= 300  # it may end where five more characters would not do
    assert ids[-21] == 1
    assert len(constraint._known) <= 301


def test_what_is_kept_is_bounded() -> None:
    constraint = RegexConstraint("(?:a|b)*a(?:a|b){15}", LETTERS)
    constraint._room = room = 20_000
    largest = 0
    state = constraint.start
    choice = random.Random(1)
    for _ in range(500):
        state = constraint.advance(state, choice.choice([1, 2]))
        largest = max(largest, sum(1 + len(known.steps) for known in constraint._known.values()))
    assert largest * 200 < room + (4 << 20)
    assert constraint._room > room, "it was cleared, and has the room that all have"
    assert can_write(constraint, LETTERS, "ab" * 20)


def test_constraints_are_compiled_once() -> None:
    assert compile_constraint("ab*", LETTERS) is compile_constraint("ab*", LETTERS)
    assert compile_constraint("ab*", LETTERS) is not compile_constraint("ab*", ASCII)


def test_threads_can_share_one() -> None:
    constraint = RegexConstraint(r"(?:[a-c]{2}|b)*a.{3}", LETTERS)
    constraint._room = 5000  # cleared now and then
    found: list[str] = []

    def write(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(20):
            found.append(LETTERS.decode(np.array(walk(constraint, 40, choice.randrange))))

    threads = [Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(re.fullmatch(constraint.pattern, text) for text in found)


def test_real_names_and_dates(names: Path) -> None:
    lines = names.read_text("utf-8").split()
    vocabulary = CharacterVocabulary.from_text(names.read_text("utf-8"))
    pattern = "(?:mar|jo)[a-z]{2,5}(?:a|e|n)"
    constraint = RegexConstraint(pattern, vocabulary)
    for name in lines[::40] + [name for name in lines if name.startswith("mar")]:
        assert can_write(constraint, vocabulary, name) == bool(re.fullmatch(pattern, name)), name
    date = RegexConstraint(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", ASCII)
    assert can_write(date, ASCII, "2024-02-29")
    assert not can_write(date, ASCII, "2024-13-01")


@pytest.mark.parametrize("vocabulary", [ASCII, BYTES], ids=["characters", "bytes"])
def test_real_text_matches_line_by_line(shakespeare: Path, vocabulary: CharacterVocabulary | ByteVocabulary) -> None:
    pattern = r"[A-Z][\w ',;-]*[.!?:]"
    constraint = RegexConstraint(pattern, vocabulary)
    lines = shakespeare.read_text("utf-8").splitlines()[:2000]
    written = [line for line in lines if can_write(constraint, vocabulary, line)]
    assert written == [line for line in lines if re.fullmatch(pattern, line)]
    assert len(written) > 300
