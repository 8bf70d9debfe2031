"""What an exported page writes and scores in Chromium is what Python writes and scores, with the kernel and without."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html
from tests.browser.conftest import ARGUMENTS, CHROMIUM, SHAPES, Models
from tests.browser.pages import Expected, block, replaced

USUAL = {"temperature": 0.8, "top_k": 0, "top_p": 1, "min_p": 0}


def opened(page: Page, file: Path) -> None:
    """Open an exported page, and all its settings, and wait until it can write."""
    page.goto(file.as_uri())
    expect(page.locator("#generate")).to_be_enabled()
    for closed in ("#sheet", "#filters"):
        page.locator(closed).evaluate("one => { one.open = true; }")


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


@pytest.fixture(params=["kernel", "javascript"])
def exported(request: pytest.FixtureRequest, models: Models, tmp_path: Path) -> Callable[[str], Path]:
    """A model's page, with the kernel in it and without."""
    return models.page if request.param == "kernel" else lambda name: without_kernel(models, name, tmp_path)


def without_kernel(models: Models, name: str, folder: Path) -> Path:
    return replaced(models.page(name), folder / f"{name}.html", kernel="")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_a_seed_gives_pythons_text(page: Page, models: Models, exported: Callable[[str], Path], name: str) -> None:
    expected = Expected(models.directory(name))
    opened(page, exported(name))
    asked: list[tuple[str, int, dict[str, float]]] = [
        ("The \nprice É", 1, {"temperature": 0}),
        ("", 0, {}),
        ("The price of" * 20, 2**53 - 1, {"temperature": 1.5, "top_k": 7}),
        ("A", 2**32, {"top_p": 0.8, "min_p": 0.05, "temperature": 3}),
    ]
    for prompt, seed, settings in asked:
        found = written(page, prompt, seed=seed, length=200, **{**USUAL, **settings})
        assert found == prompt + expected.text(prompt, seed, 200, **settings)


def test_bits_and_alternatives_are_the_models_own(page: Page, models: Models) -> None:
    """Whatever the temperature and the filters are."""
    expected = Expected(models.directory("lstm"))
    opened(page, models.page("lstm"))
    prompt = "The price "
    text = written(page, prompt, temperature=2, top_k=40, length=60, seed=3)
    ids = expected.vocabulary.encode(text).tolist()
    bits = [0, *expected.bits(ids)]
    figure = re.search(r"([\d.]+) bits per character", page.locator("#figures").inner_text())
    assert figure is not None
    assert float(figure[1]) == pytest.approx(np.mean(bits[len(prompt) :]), abs=0.006)
    for place in (10, 11, 40):
        page.locator("#written [role=option]").nth(place - len(prompt)).hover()
        assert f"{bits[place]:.2f} bits" in page.locator(".panel:visible").inner_text()
        assert glyphs(page) == likeliest(expected, ids[:place])


def glyphs(page: Page) -> list[str]:
    """The alternatives that are shown."""
    return page.locator(".panel:visible button .glyph").all_inner_texts()


def likeliest(expected: Expected, ids: list[int]) -> list[str]:
    """The five likeliest characters after these ids, as they are shown."""
    order = [token for token in np.argsort(-expected.logits(ids), kind="stable").tolist() if token]
    best = [expected.vocabulary.decode(np.array([token])) for token in order[:5]]
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
def test_a_text_is_scored(page: Page, models: Models, exported: Callable[[str], Path]) -> None:
    """From the state after a line end, also while another is being written; and it can be continued from a place."""
    expected = Expected(models.directory("lstm"))
    opened(page, exported("lstm"))
    page.fill("#length", "3000")
    page.click("#generate")
    text = "The price世"
    ids = [expected.vocabulary.opening_id, *expected.vocabulary.encode(text).tolist()]
    bits = expected.bits(ids)
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill(text)
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#score-figures")).to_contain_text(
        f"{np.mean(bits):.2f} bits per character · 10 characters · not in its vocabulary: 世"
    )
    expect(page.locator("#written [role=option]")).to_have_count(3000)
    assert page.locator("#scored").evaluate("text => text.textContent") == text
    page.locator("#scored [role=option]").nth(5).focus()
    assert f"{bits[5]:.2f} bits" in page.locator(".panel:visible").inner_text()
    alternatives = glyphs(page)
    assert alternatives == likeliest(expected, ids[:6])
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


@pytest.mark.slow
def test_where_webassembly_is_switched_off_javascript_writes_the_same(
    browser: Browser, models: Models, page: Page
) -> None:
    opened(page, models.page("lstm"))
    expect(page.locator("#slow")).to_be_hidden()
    text = written(page, "The ", seed=5, length=150)
    without = browser.browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, "--js-flags=--jitless"])
    try:
        other = without.new_page()
        opened(other, models.page("lstm"))
        assert other.evaluate("typeof WebAssembly") == "undefined"
        expect(other.locator("#slow")).to_contain_text("Without WebAssembly")
        assert written(other, "The ", seed=5, length=150) == text
    finally:
        without.close()


def test_a_kernel_that_is_damaged_is_not_used(page: Page, models: Models, tmp_path: Path) -> None:
    for number, kernel in enumerate(("AGFzbQ==", "no base64!")):
        opened(page, replaced(models.page("rnn"), tmp_path / f"{number}.html", kernel=kernel))
        expect(page.locator("#slow")).to_be_visible()


@pytest.mark.parametrize("with_kernel", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_page_whose_data_is_damaged_says_so(page: Page, models: Models, tmp_path: Path, with_kernel: bool) -> None:
    whole = models.page("gru") if with_kernel else without_kernel(models, "gru", tmp_path)
    weights = base64.b64decode(block(whole, "weights"))
    shape = json.loads(block(whole, "description"))
    larger = {**shape, "shape": {**shape["shape"], "hidden_size": 31}}
    endless = {**shape, "shape": {**shape["shape"], "hidden_size": 2**31, "num_layers": 1000}}
    for blocks in (
        {"weights": base64.b64encode(weights[:-4]).decode()},
        {"weights": base64.b64encode(weights + bytes(4)).decode()},
        {"weights": ""},
        {"weights": "%%%"},
        {"description": json.dumps(larger)},
        {"description": json.dumps(endless)},
    ):
        page.goto(replaced(whole, tmp_path / "damaged.html", **blocks).as_uri())
        expect(page.get_by_role("alert")).to_contain_text(
            "This page is damaged: its weights are not those of its network"
        )
        expect(page.locator("#generate")).to_be_disabled()


@pytest.mark.slow
def test_a_model_of_two_characters(page: Page, tmp_path: Path) -> None:
    """It has fewer alternatives than are shown."""
    text, model = tmp_path / "text.txt", tmp_path / "model"
    text.write_text("ab" * 1500, "utf-8")
    options: dict[str, Any] = {"batch_size": 4, "bptt": 16, "threads": 1, "device": "cpu"}
    charloom.train(text, model, steps=5, hidden_size=8, embedding_size=2, **options)
    whole = tmp_path / "page.html"
    export_html(open_model_directory(model), whole)
    for file in (whole, replaced(whole, tmp_path / "slow.html", kernel="")):
        opened(page, file)
        assert written(page, "a", length=30, seed=1) == "a" + Expected(model).text("a", 1, 30, temperature=0.8)
        page.locator("#written [role=option]").nth(3).focus()
        assert sorted(glyphs(page)) == ["a", "b"]
