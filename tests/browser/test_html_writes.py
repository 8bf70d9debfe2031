"""What an exported page writes in Chromium is what the same int8 weights write in float32 numpy."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import charloom
from charloom.text.vocabulary import vocabulary_from_json
from tests.browser.conftest import SHAPES, Models
from tests.browser.pages import PageContent, read_page, reference_greedy, reference_logits


def opened(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    expect(page.locator("#generate")).to_be_enabled()


def written(page: Page, prompt: str = "", **settings: object) -> str:
    """Fill in the form, generate, wait for the end; the whole text, the given part included."""
    page.fill("#prompt", prompt)
    for name, value in settings.items():
        page.fill(f"#{name}", str(value))
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("Done", timeout=30_000)
    return page.locator("#text").evaluate("text => text.textContent")  # type: ignore[no-any-return]


def vocabulary_of(models: Models, name: str) -> Any:
    return vocabulary_from_json(json.loads((models.directory(name) / "vocabulary.json").read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("prompt", ["The \nprice É", ""])
def test_greedy_text_is_numpys(page: Page, models: Models, name: str, prompt: str) -> None:
    content, vocabulary = read_page(models.page(name)), vocabulary_of(models, name)
    opened(page, models.page(name))
    cleaned = prompt.lower().replace("\n", " ") if name == "cleaned" else prompt
    given = vocabulary.encode(cleaned).tolist()
    expected = reference_greedy(content, given or [vocabulary.opening_id], 200)
    found = written(page, prompt, temperature=0, length=200)
    decode = vocabulary.decoder()  # bytes at the end that are no whole character yet are not shown
    assert found == "".join(decode(token) for token in [*given, *expected])
    assert len(expected) == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "one-hot", "cleaned"])
def test_the_model_is_the_float32_model_but_for_rounding(models: Models, name: str) -> None:
    content = read_page(models.page(name))
    model = charloom.load(models.directory(name), precision="float32")
    ids = model.vocabulary.encode("the whole price of it").astype(np.int64)
    size, states = model.config.model.hidden_size, model.config.model.num_layers * (model.config.model.states_per_layer)
    exact, _ = model._session.run(ids[:, None], tuple(np.zeros((1, size), np.float32) for _ in range(states)))
    found = reference_logits(content, ids.tolist(), [])
    assert np.abs(found - exact[-1, 0]).max() < 0.05 * np.abs(exact).max()


def surprise(content: PageContent, ids: list[int]) -> list[float | None]:
    """What each id but the first costs, in bits."""
    state: list[Any] = []
    bits: list[float | None] = [None]
    for before, token in itertools.pairwise(ids):
        logits = reference_logits(content, [before], state).astype(np.float64)
        bits.append(float((np.logaddexp.reduce(logits) - logits[token]) / np.log(2)))
    return bits


def test_bits_and_alternatives_are_the_models_own(page: Page, models: Models) -> None:
    """Whatever the temperature and the filters are."""
    content, vocabulary = read_page(models.page("lstm")), vocabulary_of(models, "lstm")
    opened(page, models.page("lstm"))
    text = written(page, "The price ", temperature=2, top_k=40, length=60, seed=3)
    ids = vocabulary.encode(text).tolist()
    expected = surprise(content, ids)
    figure = float(page.locator("#bits").inner_text())
    assert figure == pytest.approx(np.mean([bits for bits in expected[10:] if bits is not None]), abs=0.006)
    for place in (1, 9, 10, 40):
        page.locator("#text span").nth(place).hover()
        shown = page.locator("#guesses").inner_text()
        assert f"{expected[place]:.2f} bits" in shown or f"{expected[place]:.1f} bits" in shown
        logits = reference_logits(content, ids[:place], [])
        order = [token for token in np.argsort(-logits, kind="stable").tolist() if token]
        names = {" ": "space", "\n": "line end"}
        best = [vocabulary.decode(np.array([token])) for token in order[:5]]
        marks = page.locator("#guesses .mark").all_inner_texts()
        assert marks == [names.get(character, character) for character in best]


def test_a_seed_gives_the_same_text_and_settings_matter(page: Page, models: Models) -> None:
    opened(page, models.page("gru"))
    first = written(page, "A", temperature=1, length=300, seed=7)
    assert written(page, "A", temperature=1, length=300, seed=8) != first
    assert written(page, "A", temperature=1, length=300, seed=7) == first
    greedy = written(page, "A", temperature=0, length=300)
    for filters in ({"top_k": 1, "top_p": 1, "min_p": 0}, {"top_k": 0, "top_p": 0.000001}, {"top_p": 1, "min_p": 1}):
        assert written(page, "A", temperature=5, length=300, **filters) == greedy


def test_unknown_characters_are_named_and_never_written(page: Page, models: Models) -> None:
    opened(page, models.page("rnn"))
    text = written(page, "世a界", temperature=1000, length=2000, seed=1)
    assert page.locator("#unknown").inner_text().endswith("世 界")
    assert text.startswith("\ufffda\ufffd")
    assert "\ufffd" not in text[3:]
    assert len(text) == 2003


def test_a_prompt_alone_is_scored(page: Page, models: Models) -> None:
    content, vocabulary = read_page(models.page("lstm")), vocabulary_of(models, "lstm")
    opened(page, models.page("lstm"))
    assert written(page, "The price", length=0) == "The price"
    page.locator("#text span").nth(5).hover()
    expected = surprise(content, vocabulary.encode("The price").tolist())[5]
    assert f"{expected:.2f} bits" in page.locator("#guesses").inner_text()
