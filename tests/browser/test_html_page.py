"""An exported page in the hands of a person: mouse, keyboard, phone, both colour schemes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.html import export_html
from tests.browser.conftest import Models
from tests.browser.pages import block, starts
from tests.browser.test_html_writes import opened, text_of, written
from tests.browser.watching import GENERATE_AND_STOP_AFTER_20


@pytest.mark.slow
def test_stop_works_at_once(page: Page, models: Models) -> None:
    opened(page, models.page("lstm"))
    page.fill("#length", "20000")
    page.evaluate(GENERATE_AND_STOP_AFTER_20)
    expect(page.locator("#live")).to_contain_text("Stopped: ")
    stopped = text_of(page)
    expect(page.locator("#halt")).to_be_disabled()
    page.wait_for_timeout(300)
    assert text_of(page) == stopped
    assert 20 < len(stopped) < 20_000
    assert len(written(page, "", length=10)) == 10, "and it goes on"


def character_of(glyph: object) -> str:
    """The character that is shown so."""
    return {"␣": " ", "⏎": "\n"}.get(str(glyph), str(glyph))


@pytest.mark.slow
def test_an_alternative_clicked_is_gone_on_from(page: Page, models: Models) -> None:
    opened(page, models.page("lstm"))
    before = written(page, "The price", temperature=0, length=120)
    for place in (100, 40, 1):  # further and further back, past remembered states
        page.locator("#written [role=option]").nth(place).click()
        other = page.locator(".panel:visible button:not(.chosen)").first
        character = character_of(other.locator(".glyph").inner_text())
        other.click()
        kept = len("The price") + place
        expect(page.locator("#live")).to_contain_text("Done: ")
        after = text_of(page)
        assert after[: kept + 1] == before[:kept] + character
        assert len(after) == kept + 1 + 120
        assert page.locator("#prompt").input_value() == "The price", "what was asked for stays"
        assert written(page, after[: kept + 1], length=120) == after, "as if it had been the prompt"
        before = written(page, "The price", temperature=0, length=120)
    expect(page.locator("#written [role=option][tabindex='0']")).to_have_count(1)


@pytest.mark.slow
def test_the_keyboard_alone_is_enough(page: Page, models: Models) -> None:
    opened(page, models.page("gru"))
    press = page.keyboard.press
    page.locator("#prompt").focus()
    page.keyboard.type("The ")
    for _ in range(12):  # prompts to try, Generate, Stop, temperature, its slider, length
        press("Tab")
        if page.evaluate("document.activeElement.id") == "length":
            break
    press("Control+a")
    page.keyboard.type("80")
    press("Enter")
    expect(page.locator("#live")).to_contain_text("Done: ")
    before = text_of(page)
    assert before.startswith("The ")
    assert len(before) == 84
    for _ in range(30):  # the other settings, and what can be done with the text
        press("Tab")
        if page.evaluate("document.activeElement.role") == "option":
            break
    expect(page.locator("#written [tabindex='0']")).to_have_count(1)
    for _ in range(10):
        press("ArrowRight")
    press("ArrowLeft")
    assert place_of_focus(page) == 9
    spoken = page.evaluate("document.activeElement.ariaLabel")
    assert re.fullmatch(r".+, [\d.]+ bits; likeliest: .+ %, .+ %, .+ %", spoken)
    expect(page.locator(".panel:visible button")).to_have_count(5)
    branched_by_keyboard(page, before, 9)


def place_of_focus(page: Page) -> int:
    """Which character of the text has the focus."""
    script = "[...document.activeElement.parentNode.children].indexOf(document.activeElement)"
    return page.evaluate(script)  # type: ignore[no-any-return]


def branched_by_keyboard(page: Page, before: str, place: int) -> None:
    """From the focused character to an alternative, there and back and there again, and on from it."""
    press = page.keyboard.press
    press("Enter")
    press("ArrowDown")
    press("ArrowDown")
    press("ArrowUp")
    press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "option"
    press("ArrowRight")
    press("Enter")
    press("ArrowDown")
    chosen = character_of(page.evaluate("document.activeElement.querySelector('.glyph').textContent"))
    press("Enter")
    expect(page.locator("#live")).to_contain_text("Done: ")
    after = text_of(page)
    kept = len("The ") + place + 1
    assert after[: kept + 1] == before[:kept] + chosen
    assert place_of_focus(page) == place + 1
    press("Home")
    press("ArrowDown")
    press("ArrowUp")
    press("End")
    assert page.evaluate("document.activeElement.nextSibling") is None
    press("Tab")
    expect(page.locator(".panel:visible button").first).to_be_focused()


@pytest.mark.slow
def test_what_is_wrong_is_said_and_nothing_is_written(page: Page, models: Models) -> None:
    opened(page, models.page("gru"))
    before = written(page, "The ")
    for name, value in (("length", "0"), ("temperature", ""), ("top_p", "0"), ("min_p", "2"), ("seed", "0.5")):
        usual = page.locator(f"#{name}").input_value()
        page.fill(f"#{name}", value)
        page.click("#generate")
        assert page.locator(f"#{name}").evaluate("input => !input.validity.valid")
        assert text_of(page) == before
        page.fill(f"#{name}", usual)
    page.fill("#prompt", "a" * 40_000)
    page.fill("#length", "20000")
    page.click("#generate")
    expect(page.get_by_role("alert")).to_contain_text("at most 50,000 characters")
    assert text_of(page) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_step_of_surprise(browser: Browser, models: Models, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    opened(page, models.page("gru"))
    chosen = "#surprise .legend button, .primary:enabled, .soft, .figures, .facts dt"
    pairs = page.evaluate(
        """(chosen) => [...document.querySelectorAll(chosen)]
        .map((element) => {
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        })""",
        chosen,
    )
    assert len({behind for _, behind in pairs}) >= 7
    for colour, behind in pairs:
        assert contrast(colour, behind) >= 4.5, (colour, behind)
    dark = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.2
    assert dark == (scheme == "dark")
    context.close()


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_phone_shows_all_without_scrolling_sideways(browser: Browser, models: Models) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    opened(page, models.page("lstm"))
    page.fill("#length", "200")
    page.tap("#generate")
    expect(page.locator("#live")).to_contain_text("Done: ")
    page.locator("#written [role=option]").nth(150).tap()
    expect(page.locator(".panel:visible")).to_be_visible()
    box = page.locator(".panel:visible").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


@pytest.mark.slow
def test_nothing_moves_for_those_who_asked(browser: Browser, models: Models) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    opened(page, models.page("gru"))
    page.evaluate("document.getElementById('written').classList.add('running')")
    assert page.evaluate("getComputedStyle(document.getElementById('written'), '::after').animationName") == "none"
    context.close()


def test_the_policy_lets_no_other_script_run(models: Models, page: Page, tmp_path: Path) -> None:
    """A page that somebody tampered with does not run what was put in, and reaches no address."""
    file = tmp_path / "tampered.html"
    text = models.page("gru").read_text("utf-8")
    file.write_text(text.replace("<header>", "<header><script>window.intruder = true</script>"), "utf-8")
    refused: list[str] = []
    other = page.context.new_page()
    other.on("console", lambda message: refused.append(message.text))
    opened(other, file)
    assert other.evaluate("window.intruder") is None
    assert "Content Security Policy" in refused[0]
    blocked = other.evaluate("fetch('https://example.org').then(() => 'reached', (error) => String(error))")
    assert "Failed to fetch" in blocked
    assert "Content Security Policy" in refused[-1]


def test_hostile_names_and_characters_stay_text(page: Page, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("</script><script>alert(1)</script><!-- {{script}} \u2028 \u2029 ]]> &lt; '\"`${x} " * 40, "utf-8")
    folder = tmp_path / "a <b> & {{weights}} </title>"
    options = {"steps": 2, "hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 16, "threads": 1}
    charloom.train(text, folder, device="cpu", **options)  # type: ignore[arg-type]
    file = tmp_path / "page.html"
    export_html(open_model_directory(folder), file)
    opened(page, file)
    assert page.locator("#model-name").inner_text() == folder.name
    expect(page.locator(".facts")).to_contain_text("LSTM, 1 × 8")
    expect(page.locator("#card")).to_contain_text("text.txt")
    assert len(written(page, "<", length=50)) == 51
    assert json.loads(block(file, "description"))["shape"]["vocab_size"] == len(set(text.read_text("utf-8"))) + 1


def test_every_line_has_the_direction_of_its_script(page: Page, models: Models) -> None:
    opened(page, models.page("lstm"))
    written(page, "A", length=10)
    assert starts(page, "#written") == ["left", "right"]
    assert page.locator("textarea:not([dir=auto])").count() == 0
