from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.runtime.patterns.constraint import RegexConstraint
from charloom.runtime.patterns.expression import Atom, Repeat, Sequence
from charloom.runtime.patterns.parse import MAX_PATTERN, parse_pattern
from charloom.text.vocabulary import CharacterVocabulary
from tests.runtime.patterns import BYTES, EUROPEAN, can_write


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@pytest.mark.parametrize(
    "pattern",
    [
        r"^\A[0-9]{4}-\d\d$\Z", "(?:^a|b)c", "a(?:b$|c)", "()^a", "(?:^a)?b", "(?m)^a$", "a|^b$|c", "a(?:$)?",
        "(?x) a b # comment (\n c", r"(?x) a\ b [ #] \# #", "(?x)a +", "(?x:a b) c", "(?x)(?-x:a b) c", "(?ix) A b",
        "(?i)é", "(?i:É)x", "(?i)a(?-i:b)", "(?s).", "(?s-i:.)a", "(?is:A.)", "a(?s:.)b.", "(?a)\\w",
        "(?a:\\w)\\w", "(?ai)k", "(?i)[a-z]", "(?i)[^k]", "(?i)ß", "(?i)[ß-é]",
        "[]a]", "[^]a]", "[a\\]]", "[-a]", "[a-]", "[\\w-]", "[a\\-z]", r"[\b]?a", r"[\x61-\u0063]", "[^\\n]", "[[]",
        "[a\\d]", r"[\s\S]", "[.]", "[|()]", "[\\141-c]", "[\\0a]", "[!--]", "[[a]", "[a||b]", "[+--]",
        r"\x41", r"\u00e9", r"\U000000e9", r"\N{EURO SIGN}", r"\101", r"\060", r"\0?a", r"\.", r"\-", r"\é", r"\t?a",
        r"\ ",
        "a{2}", "a{,2}", "a{1,}", "a{,}", "a{}", "a{x}", "a{1", "a{1,2", "{a", "a{1 }", "a{2}{", "a{0}b", "(?:ab){0}",
        "a{1,2}?", "a??", "a*?", "a+?b", "(?:a+)+", "(?:a*)*", "(?:|a)+", "(?:a|)b", "|a", "a|", "(|a)b", "(?:)",
        "()*a",
        "(?P<name>a)b", "(?#comment \\) of) a", "a(?#x)+", "(a)(b)(c)",
    ],
)  # fmt: skip
def test_means_what_it_means_to_re(pattern: str) -> None:
    """Texts of up to two characters, and some longer ones, are accepted or refused as `re.fullmatch` does."""
    letters = "abckxAÉéß .-]|[{}#\n€0"
    longer = [
        "2024-12-01", "2024-12", "2024-12-01\n", "0xab", "abc", "abb", "aab", "a b", "a b c", "ab c", "a bc", "ac",
        "bc", "Éx", "éx", "éX", "a.bc", "a\nbc", "  a", "  (a", "a{x}", "a{1", "a{1,2", "aa{", "a{}", "a{1 }", "ab b",
        "a b##", "a bb#", "a b ##",
    ]  # fmt: skip
    vocabulary = CharacterVocabulary(sorted(set("".join([letters, *longer])) | set("\0\t\b(")))
    words = ["".join(word) for length in range(3) for word in itertools.product(letters, repeat=length)] + longer
    constraint = RegexConstraint(pattern, vocabulary)
    accepted = [word for word in words if re.fullmatch(pattern, word)]
    assert [word for word in words if can_write(constraint, vocabulary, word)] == accepted
    assert accepted


pieces = st.sampled_from(
    [*"ab.()|*+?^$ #-{},2", "(?:", "{2}", "{,2}", "[ab]", "[^a]", "[]", "]", r"\w", r"\S", r"\n", "(?i:", "(?-s:",
     "(?x:", "#\n", r"\x61", "(?P<n>", "(?#", r"\Z", r"\141", r"\1", r"\b", "[A-b]", "(?=", "*+", r"[\s\d"]
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["", "(?i)", "(?x)", "(?s)", "(?m)"]), st.lists(pieces, max_size=8).map("".join))
def test_any_text_is_read_as_re_reads_it_or_refused(flags: str, text: str) -> None:
    vocabulary = CharacterVocabulary("abA\n #]-{},2")
    words = ["".join(word) for length in range(4) for word in itertools.product("abA\n", repeat=length)]
    try:
        constraint = RegexConstraint(flags + text, vocabulary)
    except UsageError as problem:
        message = str(problem)
    else:
        accepted = [word for word in words if re.fullmatch(flags + text, word)]
        assert [word for word in words if can_write(constraint, vocabulary, word)] == accepted
        return
    assert "\n" not in message
    if "no text can match" in message:
        assert not any(re.fullmatch(flags + text, word) for word in words)
    elif "support" not in message:
        with pytest.raises(re.error):
            re.compile(flags + text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(ab", "regex = '(ab': missing ), unterminated subpattern at position 0"),
        ("a)", "regex = 'a)': unbalanced parenthesis at position 1"),
        ("a**", "regex = 'a**': multiple repeat at position 2"),
        ("*a", "regex = '*a': nothing to repeat at position 0"),
        ("[z-a]", "regex = '[z-a]': bad character range z-a at position 1"),
        ("[a", "regex = '[a': unterminated character set at position 0"),
        ("[\\", "regex = '[\\\\': bad escape (end of pattern) at position 1"),
        (r"\q", r"regex = '\\q': bad escape \q at position 0"),
        (r"\x4", r"regex = '\\x4': incomplete escape \x4 at position 0"),
        (r"\N{no such}", r"regex = '\\N{no such}': undefined character name 'no such' at position 0"),
        (r"\U00110000", r"regex = '\\U00110000': bad escape \U00110000 at position 0"),
        ("a{3,2}", "regex = 'a{3,2}': min repeat greater than max repeat at position 2"),
        ("a{99999999999}", "regex = 'a{99999999999}': the repetition number is too large"),
        ("a(?i)b", "regex = 'a(?i)b': global flags not at the start of the expression at position 1"),
        ("(?P<a>b", "regex = '(?P<a>b': missing ), unterminated subpattern at position 0"),
        ("(?<a>b)", "regex = '(?<a>b)': unknown extension ?<a at position 1"),
        ("(?L)a", "regex = '(?L)a': bad inline flags: cannot use 'L' flag with a str pattern at position 3"),
        ("a\n(", "regex = 'a\\n(': missing ), unterminated subpattern at position 2 (line 2, column 1)"),
        (r"(a)\1", r"regex = '(a)\\1': a backreference at position 3 is not supported"),
        ("(?P<a>b)(?P=a)", "regex = '(?P<a>b)(?P=a)': a backreference at position 8 is not supported"),
        ("a(?=b)", "regex = 'a(?=b)': lookahead at position 1 is not supported"),
        ("(?!b)a", "regex = '(?!b)a': lookahead at position 0 is not supported"),
        ("(?<=b)a", "regex = '(?<=b)a': lookbehind at position 0 is not supported"),
        ("(?<!b)a", "regex = '(?<!b)a': lookbehind at position 0 is not supported"),
        ("(a)?(?(1)b|c)", "regex = '(a)?(?(1)b|c)': a conditional group at position 4 is not supported"),
        ("(?>a|ab)c", "regex = '(?>a|ab)c': an atomic group at position 0 is not supported"),
        ("a*+a", "regex = 'a*+a': a possessive quantifier at position 1 is not supported"),
        (r"\bword\b", r"regex = '\\bword\\b': a word boundary, \b, at position 0 is not supported"),
        ("a^b", "regex = 'a^b': ^ at position 1 is supported only at the start of a pattern"),
        ("(?:^a)*", "regex = '(?:^a)*': ^ at position 3 is supported only at the start of a pattern"),
        ("a$\n", "regex = 'a$\\n': $ at position 1 is supported only at the end of a pattern"),
        (r"(?m)a\Z*b", r"regex = '(?m)a\\Z*b': nothing to repeat at position 7"),
    ],
)  # fmt: skip
def test_a_bad_pattern_is_refused_in_one_line_with_its_place(pattern: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_pattern(pattern)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a" * (MAX_PATTERN + 1), "it has 10,001 characters, more than 10,000"),
        ("(" * 5000 + ")" * 5000, "its groups are nested more than 100 deep"),
        ("(?:" * 101 + "a" + ")" * 101, "its groups are nested more than 100 deep"),
        ("".join(f"[{chr(code)}-\uffff]" for code in range(97, 198)), "it has more than 64 different classes"),
        ("(?i)" + "[!-\ufffe]" * 1000, "the ranges of its case-insensitive classes are too wide"),
        ("a{" + "9" * 5000 + "}", "(4300 digits)"),
    ],
)
def test_what_would_take_long_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        RegexConstraint(pattern, BYTES)
    assert reason in str(error.value)
    assert len(str(error.value)) < 300


def test_the_deepest_that_is_allowed_is_read() -> None:
    assert can_write(RegexConstraint("(" * 100 + "a" + ")" * 100, EUROPEAN), EUROPEAN, "a")


def test_the_tree_by_hand() -> None:
    a, b = Atom("a", 0, 97), Atom("b", 0, 98)
    assert parse_pattern("^a(?:b{2,}?)$") == Sequence((a, Repeat(b, 2, None)))
    assert parse_pattern("(?i:K)") == Atom("K", re.I, 75)
    assert parse_pattern(r"(?s:.)[\d_]") == Sequence((Atom(".", re.S, None), Atom(r"[\d_]", 0, None)))
