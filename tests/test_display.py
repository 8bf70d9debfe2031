from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from pathlib import Path

import pytest

from charloom.display import safe_json, typed, visible

# What people write, in the scripts and signs that a rule for plain ASCII takes for damage.
HARMLESS = [
    "　吾輩　猫",
    "prix\N{NO-BREAK SPACE}: 5\N{NARROW NO-BREAK SPACE}€",
    "family 👩\N{ZERO WIDTH JOINER}👧",
    "e\N{COMBINING ACUTE ACCENT}",
    "می\N{ZERO WIDTH NON-JOINER}رود",
    "\N{LEFT-TO-RIGHT MARK}[12:04] Ann",
    "soft\N{SOFT HYPHEN}hyphen",
    "\ue000",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert safe_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


def test_every_character_that_can_act_is_replaced_and_no_other() -> None:
    everything = "".join(map(chr, range(0x110000)))
    acting = {
        letter
        for letter in everything
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(letter) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }
    shown = visible(everything)
    assert {letter for letter, seen in zip(everything, shown, strict=True) if seen != letter} == acting
    in_lines = visible(everything, lines=True)
    assert {letter for letter, seen in zip(everything, in_lines, strict=True) if seen != letter} == acting - {
        "\n",
        "\t",
    }
    apart = " ".join(everything)  # two halves of a character side by side are read as the character
    escaped = safe_json(json.dumps(apart, ensure_ascii=False))
    assert json.loads(escaped) == apart
    assert not acting & set(escaped)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes, and bash is there, on POSIX systems")
def test_every_word_can_be_typed_in_bash() -> None:
    words = [f"a{chr(code)}9" for code in [*range(1, 0x300), *range(0x2000, 0x2070)]]
    words += [os.fsdecode(bytes([65, byte, 57])) for byte in range(128, 256)]
    words += [*HARMLESS, "", "a b", "it's", "$HOME", "\\x41", "\\", "~", "*", "\x1b[31mred", "\t'\\"]
    line = typed("printf", "%s\\0", *words)
    assert line == visible(line)
    ran = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert ran.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


def test_a_path_is_not_taken_for_an_option() -> None:
    assert typed("train", Path("-o2"), "-o", Path("m")) == "train ./-o2 -o m"
    assert typed(Path("-\tb")) == "$'./-\\x09b'"
