"""The playground in a real browser, before a real server: what it shows is what the model says."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import charloom
from charloom.runtime.model import Model
from tests.browser.conftest import Models
from tests.browser.pages import starts
from tests.browser.screenshots import take_page, take_playground
from tests.browser.watching import (
    GENERATE_AND_STOP_AFTER_20,
    characters,
    install_axe,
    served,
    violations,
    visit,
    watched,
    write,
    written,
)

ROOT = Path(__file__).resolve().parents[2]
FRONT = ROOT / "src" / "charloom" / "runtime" / "browser"
PROMPT = "The "


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return charloom.load(trained)


@pytest.fixture(scope="module")
def address(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two models."""
    other = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(trained, other)
    with served(trained, other) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The playground, open."""
    with watched(browser, viewport={"width": 1100, "height": 900}) as opened:
        visit(opened, address)
        yield opened


def test_every_line_has_the_direction_of_its_script(page: Page) -> None:
    written(page)
    assert starts(page, "#written") == ["left", "right"]
    assert page.locator("textarea:not([dir=auto])").count() == 0


def test_a_seeded_text_is_the_models_with_its_bits(page: Page, model: Model) -> None:
    with model.engine() as engine:
        continuation = engine.submit(PROMPT, alternatives=5, length=120, seed=7)
        text, tokens = continuation.result().text, continuation.tokens
    assert write(page, PROMPT) == text == model.generate(PROMPT, length=120, seed=7).text
    bits = [-token.logprob / math.log(2) for token in tokens]
    said = page.locator("#written [role=option]").evaluate_all("all => all.map((one) => one.ariaLabel)")
    found = [float(match[1]) for label in said if (match := re.search(r", ([\d.]+) bits", label))]
    assert found == pytest.approx(bits, abs=0.051)
    expect(page.locator("#figures")).to_contain_text(f"{sum(bits) / len(bits):.2f} bits per character")
    expect(page.locator("#figures")).to_contain_text("seed 7")


def test_stop_ends_it_at_once(page: Page) -> None:
    page.locator("#length").fill("10000")
    page.get_by_label("Prompt").fill(PROMPT)
    page.evaluate(GENERATE_AND_STOP_AFTER_20)
    expect(page.locator("#live")).to_contain_text("Stopped: ")
    count = page.locator("#written [role=option]").count()
    assert 20 < count < 10_000
    page.wait_for_timeout(300)
    assert page.locator("#written [role=option]").count() == count
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_an_alternative_branches_from_there(page: Page, model: Model) -> None:
    text = write(page, PROMPT)
    page.locator("#written [role=option]").nth(30).hover()
    panel = page.get_by_role("group", name="What else could be here").first
    expect(panel).to_be_visible()
    choices = panel.get_by_role("button")
    assert choices.count() in (5, 6)
    other = next(choice for choice in choices.all() if "it is here" not in str(choice.text_content()))
    character = {"␣": " ", "⏎": "\n"}.get(shown := str(other.locator(".glyph").text_content()), shown)
    other.click()
    expect(page.locator("#written [role=option]")).to_have_count(31 + 120)
    after = written(page)
    assert after == text[:30] + character + model.generate(PROMPT + text[:30] + character, length=120, seed=7).text
    expect(page.get_by_label("Prompt")).to_have_value(PROMPT)


def test_scores_are_the_models(page: Page, model: Model) -> None:
    text = "A statement is\nsurprising, qzx"
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill(text)
    page.get_by_role("button", name="Score", exact=True).click()
    score = model.score(text)
    expect(page.locator("#score-figures")).to_contain_text(f"{score.bits_per_char:.2f} bits per character")
    assert "".join(characters(page.locator("#scored"))) == text
    page.locator("#scored [role=option]").nth(3).focus()
    page.keyboard.press("1")  # the likeliest, from there
    expect(page.get_by_role("tab", name="Write")).to_have_attribute("aria-selected", "true")
    assert written(page).startswith(text[:3])


def test_a_unit_colours_the_text_by_its_values(page: Page, model: Model) -> None:
    text = write(page, PROMPT)
    page.get_by_role("tab", name="Neurons").click()
    expect(page.locator("#activated [role=option]")).to_have_count(len(PROMPT + text))
    unit = int(page.locator("#unit").input_value())
    values = model.activations(PROMPT + text, units=[unit]).values[:, 0]
    assert -1 <= min(values) < max(values) <= 1
    assert "".join(characters(page.locator("#activated"))) == PROMPT + text
    classes = page.locator("#activated [role=option]").evaluate_all("all => all.map((one) => one.className)")
    for value, name in zip(values, classes, strict=True):
        assert name.startswith("negative-" if value <= -0.1 else "positive-")
    page.locator("#activated [role=option]").nth(5).focus()
    shown = f"{abs(values[5]):.2f}"
    expect(page.get_by_role("group", name="The unit's value here")).to_contain_text(shown)
    page.locator("#unit").fill("3")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#neuron-figures")).to_contain_text("Unit 3 ")
    page.locator("#unit").fill("32")  # there are 0 to 31
    assert page.locator("#unit").evaluate("one => one.validity.rangeOverflow")


def test_everything_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
    for _ in range(10):
        if page.evaluate("document.activeElement.id") == "prompt":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("A ")
    page.keyboard.press("Control+Enter")
    text = written(page)
    assert page.locator("#written [role=option][tabindex='0']").count() == 1
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.role") == "option":
            break
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    place = page.evaluate("[...document.activeElement.parentNode.children].indexOf(document.activeElement)")
    assert place == 4
    page.keyboard.press("Enter")
    expect(page.locator(".panel:visible button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#written [role=option]").nth(4)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#written .branched")).to_have_count(1)
    expect(page.locator("#written [role=option]").nth(5)).to_be_focused()
    assert written(page)[:5] == text[:5]


@pytest.mark.slow
def test_a_screen_reader_hears_sentences(page: Page) -> None:
    written(page)  # the text of the address
    page.evaluate(
        """() => {
            window.heard = [];
            const live = document.getElementById("live");
            new MutationObserver(() => window.heard.push(live.textContent)).observe(live, {childList: true});
        }"""
    )
    page.locator("#length").fill("1500")
    write(page, PROMPT)
    heard = [text for text in page.evaluate("window.heard") if text]  # clearing it is not heard
    assert 1 <= len(heard) <= 20
    assert all(len(each) > 20 for each in heard)


def test_an_error_is_one_line_near_the_form(page: Page) -> None:
    page.get_by_text("Filters and stop texts").click()
    page.get_by_label("Pattern").fill("[a")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_have_text("Pattern: unterminated character set at position 0")
    expect(page.get_by_label("Pattern")).to_be_focused()
    assert "\n" not in str(page.get_by_role("alert").text_content())
    page.get_by_label("Pattern").fill("[a-z]{5}")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert re.fullmatch("[a-z]{5}", written(page))


@pytest.mark.slow
def test_settings_are_in_the_address_and_nowhere_else(browser: Browser, page: Page, address: str) -> None:
    page.locator("#temperature").fill("0.35")
    text = write(page, 'a "b" & c')
    shared = page.url
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    with watched(browser) as other:
        other.goto(shared)
        expect(other.locator(".facts")).to_be_visible()
        expect(other.get_by_label("Prompt")).to_have_value('a "b" & c')
        assert written(other) == text


def test_a_drawn_seed_can_be_kept(page: Page, address: str) -> None:
    visit(page, address, "length=80")
    page.locator("#seed").fill("")
    text = write(page, PROMPT)
    page.get_by_role("button", name="Keep this seed").click()
    expect(page.locator("#seed")).not_to_have_value("")
    assert write(page, PROMPT) == text
    page.get_by_role("button", name="New seed").click()
    assert write(page, PROMPT) != text


def test_another_model_can_be_chosen(page: Page) -> None:
    models = page.get_by_role("combobox", name="Model")
    expect(models).to_be_visible()
    with page.expect_request("**/v1/completions") as asked:
        models.select_option("other")
    assert json.loads(asked.value.post_data or "")["model"] == "other"
    assert "model=other" in page.url
    write(page, PROMPT)


@pytest.mark.slow
def test_the_request_as_shown_gives_the_text(page: Page) -> None:
    text = write(page, "it's a \"")
    page.get_by_text("Use from code").click()
    if shutil.which("curl"):
        command = str(page.locator("#curl").text_content())
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
        assert json.loads(ran.stdout)["choices"][0]["text"] == text
    pytest.importorskip("openai")
    program = str(page.locator("#python").text_content())
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    python = [sys.executable, "-c", program]
    ran = subprocess.run(python, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ran.stdout == text + "\n", ran.stderr


def test_the_notes_are_live(page: Page) -> None:
    write(page, PROMPT)
    shares = page.locator("#temperature-live .share")
    page.locator("#temperature").fill("0")
    expect(shares.first).to_have_text("100 %")
    page.locator("#temperature").fill("2")
    expect(shares.first).not_to_have_text("100 %")
    expect(page.locator("#state-said")).to_contain_text("is at")
    expect(page.locator("#gate-said")).to_contain_text("an LSTM")
    expect(page.locator("#curve svg")).to_be_visible()


@pytest.fixture(scope="module")
def keyed(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that wants a key, with a model of bytes and one of two layers."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("open-sesame\n")
    folders = models.directory("bytes"), models.directory("gru")
    with served(*folders, options=["--api-key-file", str(keys)]) as found:
        yield found


def unlock(page: Page, address: str, settings: str, key: str = "open-sesame") -> None:
    page.goto(f"{address}/#{settings}")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use it").click()


@pytest.mark.slow
def test_a_server_that_wants_a_key_is_given_it(browser: Browser, keyed: str) -> None:
    with watched(browser) as page:
        unlock(page, keyed, "length=40", "wrong")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("API key")).to_be_focused()
        page.get_by_label("API key").fill("open-sesame")
        page.keyboard.press("Enter")
        expect(page.locator(".facts")).to_be_visible()
        expect(page.get_by_role("alert")).to_be_hidden()
        page.get_by_text("Use from code").click()
        expect(page.locator("#curl")).to_contain_text("$CHARLOOM_API_KEY")


def test_characters_of_several_bytes_are_whole(browser: Browser, keyed: str, models: Models) -> None:
    folder = models.directory("bytes")
    with watched(browser) as page:
        unlock(page, keyed, "length=90&seed=5&temperature=1.3")
        expect(page.locator(".facts")).to_contain_text("256 bytes")
        text = write(page, "Über – ")
        assert text == charloom.load(folder).generate("Über – ", length=90, seed=5, temperature=1.3).text
        page.get_by_role("tab", name="Score my text").click()
        page.get_by_label("Your text", exact=True).fill("naïve €5")
        page.get_by_role("button", name="Score", exact=True).click()
        expect(page.locator("#scored [role=option]")).to_have_count(8)
        assert characters(page.locator("#scored")) == list("naïve €5")


def test_each_layer_has_its_units(browser: Browser, keyed: str) -> None:
    with watched(browser) as page:
        unlock(page, keyed, "length=40&seed=5&model=gru")
        expect(page.locator(".facts")).to_contain_text("GRU, 2 × 30")
        write(page, "The naïve ")
        expect(page.locator("#gate-said")).to_contain_text("two gates")
        page.get_by_role("tab", name="Neurons").click()
        expect(page.locator("#neuron-figures")).to_contain_text("of layer ")
        page.get_by_label("Layer").select_option("2")
        expect(page.locator("#neuron-figures")).to_contain_text("of layer 2")
        page.get_by_label("Layer").select_option("1")
        expect(page.locator("#neuron-figures")).to_contain_text("of layer 1")


@pytest.mark.slow
def test_the_page_about_it_says_what_works(model: Model, tmp_path: Path, browser: Browser) -> None:
    page = (ROOT / "docs" / "how-to" / "playground.md").read_text("utf-8")
    serve = re.findall(r"^charloom serve (.*)$", page, re.M)
    assert serve
    shutil.copytree(model.path, tmp_path / "yours")
    for line in serve:
        names = [tmp_path / "yours" if word.startswith("runs/") else Path(word) for word in line.split()[:1]]
        with served(*names) as address, watched(browser) as opened:
            visit(opened, address)
    for label in re.findall(r"\*\*([^*]+)\*\*", page):
        assert label in (FRONT / "index.html").read_text("utf-8"), label


@pytest.mark.slow
def test_the_pictures_of_the_docs_are_small(browser: Browser, model: Model, address: str, tmp_path: Path) -> None:
    made = [*take_playground(browser, address, tmp_path), take_page(browser, model.path, tmp_path)]
    shown = [ROOT / "docs" / "images" / picture.name for picture in made]
    assert all(10_000 < picture.stat().st_size < 300_000 for picture in made + shown)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return install_axe(tmp_path_factory.mktemp("axe"))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, axe: str, scheme: str) -> None:
    with watched(browser, color_scheme=scheme) as page:
        visit(page, address)
        assert violations(page, axe) == []
        write(page, PROMPT)
        for summary in page.locator("summary").all():
            if not summary.evaluate("one => one.parentNode.open"):
                summary.click()
        page.locator("#written [role=option]").nth(10).focus()
        expect(page.locator(".panel:visible")).to_have_count(1)
        assert violations(page, axe) == []
        page.keyboard.press("2")  # a branch
        expect(page.locator("#versions button").first).to_be_visible()
        written(page)
        assert violations(page, axe) == []
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("button", name="Continue this one")).to_have_count(3)
        assert violations(page, axe) == []
        page.get_by_role("tab", name="Score my text").click()
        page.get_by_label("Your text", exact=True).fill("Qx zj, the text.")
        page.get_by_role("button", name="Score", exact=True).click()
        expect(page.locator("#scored [role=option]").first).to_be_visible()
        assert violations(page, axe) == []
        page.get_by_role("tab", name="Neurons").click()
        expect(page.locator("#activated [role=option]").first).to_be_visible()
        assert violations(page, axe) == []


def test_a_phone_has_no_need_to_scroll_sideways(browser: Browser, address: str) -> None:
    with watched(browser, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        visit(page, address)
        write(page, PROMPT)
        page.locator("#written [role=option]").nth(12).tap()
        panel = page.locator(".panel:visible")
        expect(panel).to_have_count(1)
        box = panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        for name in ("Write", "Score my text", "Neurons"):
            page.get_by_role("tab", name=name).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_who_wants_no_motion_gets_none(browser: Browser, address: str) -> None:
    with watched(browser, reduced_motion="reduce") as page:
        visit(page, address)
        page.evaluate("document.getElementById('written').classList.add('running')")
        moving = "getComputedStyle(document.getElementById('written'), '::after').animationName"
        assert page.evaluate(moving) == "none"
