from __future__ import annotations

import json
import unicodedata

import pytest

from charloom.display import safe_json, visible

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
