"""What an exported page writes in Chromium is what the same int8 weights write in float32 numpy."""

from __future__ import annotations

import itertools
import json
import re
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
    """Open an exported page, and its filters, and wait until it can write."""
    page.goto(file.as_uri())
    page.get_by_text("Filters").click()
    expect(page.locator("#generate")).to_be_enabled()


def written(page: Page, prompt: str = "", **settings: object) -> str:
    """Fill in the form, generate, wait for the end; the whole text, the prompt included."""
    page.fill("#prompt", prompt)
    for name, value in settings.items():
        page.fill(f"#{name}", str(value))
    page.click("#generate")
    expect(page.locator("#live")).to_contain_text("Done: ", timeout=30_000)
    return text_of(page)


def text_of(page: Page) -> str:
    """The text that was written, the prompt included."""
    return page.locator("#written").evaluate("text => text.textContent")  # type: ignore[no-any-return]


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
    assert found == prompt + "".join(decode(token) for token in expected)
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
    prompt = "The price "
    text = written(page, prompt, temperature=2, top_k=40, length=60, seed=3)
    ids = vocabulary.encode(text).tolist()
    expected = surprise(content, ids)
    mean = np.mean([bits for bits in expected[len(prompt) :] if bits is not None])
    figure = re.search(r"([\d.]+) bits a character", page.locator("#figures").inner_text())
    assert figure is not None
    assert float(figure[1]) == pytest.approx(mean, abs=0.006)
    for place in (10, 11, 40):
        page.locator("#written [role=option]").nth(place - len(prompt)).hover()
        assert f"{expected[place]:.2f} bits" in page.locator(".panel:visible").inner_text()
        assert glyphs(page) == likeliest(content, vocabulary, ids[:place])


def glyphs(page: Page) -> list[str]:
    """The alternatives that are shown."""
    return page.locator(".panel:visible button .glyph").all_inner_texts()


def likeliest(content: PageContent, vocabulary: Any, ids: list[int]) -> list[str]:
    """The five likeliest characters after these ids, as they are shown."""
    logits = reference_logits(content, ids, [])
    order = [token for token in np.argsort(-logits, kind="stable").tolist() if token]
    best = [vocabulary.decode(np.array([token])) for token in order[:5]]
    return [{" ": "␣", "\n": "⏎"}.get(character, character) for character in best]


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
    assert text.startswith("世a界")
    assert not {"世", "界", "\ufffd"} & set(text[3:])
    assert len(text) == 2003


@pytest.mark.slow
def test_a_text_is_scored(page: Page, models: Models) -> None:
    """From the state after a line end, also while another is being written; and it can be continued from a place."""
    content, vocabulary = read_page(models.page("lstm")), vocabulary_of(models, "lstm")
    opened(page, models.page("lstm"))
    page.fill("#length", "3000")
    page.click("#generate")
    text = "The price世"
    ids = [vocabulary.opening_id, *vocabulary.encode(text).tolist()]
    bits = surprise(content, ids)[1:]
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill(text)
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#score-figures")).to_contain_text(
        f"{np.mean([one for one in bits if one is not None]):.2f} bits a character · 10 characters · 1 the model"
    )
    expect(page.locator("#written [role=option]")).to_have_count(3000)
    assert page.locator("#scored").evaluate("text => text.textContent") == "The price\ufffd"
    page.locator("#scored [role=option]").nth(5).focus()
    assert f"{bits[5]:.2f} bits" in page.locator(".panel:visible").inner_text()
    alternatives = glyphs(page)
    assert alternatives == likeliest(content, vocabulary, ids[:6])
    page.keyboard.press("2")
    expect(page.locator("#live")).to_contain_text("Done: 3,006 characters")
    assert text_of(page)[:6] == "The p" + {"␣": " ", "⏎": "\n"}.get(alternatives[1], alternatives[1])


def test_bytes_make_whole_characters(page: Page, models: Models) -> None:
    opened(page, models.page("bytes"))
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill("naïve €5")
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#scored [role=option]")).to_have_count(8)
    assert page.locator("#scored").evaluate("text => text.textContent") == "naïve €5"
