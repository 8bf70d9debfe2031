"""A prompt in the page is cleaned as Python cleans it, by every step that prompts get."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.runtime.html import join_modules
from charloom.text.cleaning import STEPS, clean_prompt

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

PROGRAM = f"""{join_modules("vocabulary.js")}
const asked = JSON.parse(require("node:fs").readFileSync(0, "utf-8"));
process.stdout.write(JSON.stringify(asked.map(([text, steps]) => cleanedPrompt(text, steps))));
"""
ON_PROMPTS = [name for name, step in STEPS.items() if step.character_level]
pieces = st.sampled_from(
    ["10:31:07,5", "node-3", "GET", " ", "  ", "\t", "\n", "\r\n", "٣", "²", "\u00a0", "7", "e\u0301"]
)
words = st.text(
    st.characters(codec="utf-8", max_codepoint=0x24F), max_size=6
)  # tables of Unicode differ in newer letters
texts = st.lists(pieces | words, max_size=8).map("".join)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=st.lists(st.tuples(texts, st.lists(st.sampled_from(ON_PROMPTS), max_size=3)), min_size=40, max_size=80))
def test_a_prompt_is_cleaned_as_python_cleans_it(asked: list[tuple[str, list[str]]], tmp_path: Path) -> None:
    file = tmp_path / "cleaning.cjs"
    file.write_text(PROGRAM)
    ran = subprocess.run(["node", str(file)], input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for (text, steps), found in zip(asked, json.loads(ran.stdout), strict=True):
        with_newlines = text.replace("\r\n", "\n").replace("\r", "\n")
        assert found == clean_prompt(with_newlines, steps), (text, steps)
