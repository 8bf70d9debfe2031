"""The first minute with a model in the browser, the same in the playground of a server and in an exported page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.gates import unit_gates
from charloom.runtime.html import export_html
from charloom.runtime.introduction import introduce
from charloom.runtime.model import Model
from tests.browser.watching import served

OPTIONS = "#written [role=option]"
OWN = {"length": 60, "temperature": 0.5, "top_k": 9, "stop": ["\n\n"]}
WATCH = """() => {
  window.pieces = [];
  window.addEventListener("DOMContentLoaded", () => new MutationObserver((changes) => {
    for (const change of changes) {
      const count = [...change.addedNodes].filter((node) => node.role === "option").length;
      if (count) window.pieces.push(count);
    }
  }).observe(document.getElementById("written"), { childList: true, subtree: true }));
}"""

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with sampling settings of its own."""
    copied = tmp_path_factory.mktemp("first") / "bard"
    shutil.copytree(trained, copied)
    file = copied / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **OWN}), "utf-8")
    return copied


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of short items."""
    scratch = tmp_path_factory.mktemp("items")
    text = scratch / "names.txt"
    sounds = [one + other for one in "bdklmnrst" for other in "aeiou"]
    text.write_text("".join(f"{a}{b}{c}\n" for a in sounds for b in sounds[::7] for c in sounds[::11]), "utf-8")
    rest: dict[str, Any] = {"batch_size": 8, "bptt": 16, "steps": 60, "learning_rate": 0.01, "threads": 1}
    charloom.train(text, scratch / "names", hidden_size=16, items=True, device="cpu", **rest)
    return scratch / "names"


@pytest.fixture(scope="module")
def hosts(folder: Path, names: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of the models, as a server shows them and as pages."""
    pages = tmp_path_factory.mktemp("exported")
    for each in (folder, names):
        export_html(open_model_directory(each), pages / f"{each.name}.html")
    with served(folder, names) as address:
        yield {
            "server": f"{address}/#",
            "server of names": f"{address}/#model=names&",
            "page": f"{(pages / 'bard.html').as_uri()}#",
            "page of names": f"{(pages / 'names.html').as_uri()}#",
        }


@pytest.fixture(params=["server", "page"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(folder: Path, host: str) -> Model:
    """With the numbers that the host computes with."""
    return loaded(folder, host)


def loaded(folder: Path, host: str) -> Model:
    return charloom.load(folder, precision="int8" if host == "page" else "auto")


@pytest.fixture
def visit(browser: Browser, hosts: dict[str, str], host: str) -> Iterator[Opener]:
    """Opens the page with settings in the address; what it complains of fails the test."""
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(settings: str = "", of: str = "", **options: Any) -> Page:
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.add_init_script(f"({WATCH})()")
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(hosts[host + of] + settings)
        expect(page.locator(".facts")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not [each for each in complaints if "Failed to load resource" not in each]


def done(page: Page) -> str:
    """Wait for the end of what was asked for; the whole text, the prompt included."""
    expect(page.locator("#live")).to_contain_text("Done: ", timeout=60_000)
    return str(page.locator("#written").evaluate("text => text.textContent"))


def continued(model: Model, prompt: str, **settings: Any) -> str:
    return prompt + model.generate(prompt, **settings).text


def test_a_text_writes_itself_one_character_after_the_other(visit: Opener) -> None:
    page = visit()
    page.locator(OPTIONS).nth(5).wait_for()
    assert page.evaluate("window.pieces.slice(0, 5)") == [1] * 5
    assert "network of" in str(page.locator("#intro").text_content())
    assert page.locator("#live").text_content() == "", "who listens is not interrupted"
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_who_wants_no_motion_sees_the_text_at_once(visit: Opener) -> None:
    page = visit(reduced_motion="reduce")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    page.locator(OPTIONS).nth(20).wait_for()
    assert max(page.evaluate("window.pieces")) > 1


def test_the_models_own_settings_are_the_usual_ones(visit: Opener, model: Model) -> None:
    page = visit("seed=3")
    text = done(page)
    shown = {name: page.locator(f"[name={name}]").input_value() for name in ("length", "temperature", "top_k", "stop")}
    assert shown == {"length": "60", "temperature": "0.5", "top_k": "9", "stop": "\\n\\n"}
    assert text == model.generate("", seed=3).text
    page.locator("#temperature").fill("1.5")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#temperature")).to_have_value("0.5")


def test_prompts_to_try_are_the_models_own(visit: Opener, folder: Path) -> None:
    prompts = introduce(charloom.load(folder)).prompts
    assert prompts
    page = visit()
    buttons = page.locator("#prompts button")
    expect(buttons).to_have_count(len(prompts))
    assert [one.get_attribute("title") for one in buttons.all()] == list(prompts)
    buttons.first.click()
    assert done(page).startswith(prompts[0])
    expect(page.get_by_label("Prompt")).to_have_value(prompts[0])


def test_a_link_with_a_seed_writes_its_text(visit: Opener, model: Model) -> None:
    page = visit("prompt=The%20&seed=5&length=80&temperature=0.9")
    assert done(page) == continued(model, "The ", seed=5, length=80, temperature=0.9)
    other = "prompt=A%20&seed=6&length=50&temperature=0.9"
    page.evaluate("hash => { location.hash = hash; }", other)
    expect(page.locator("#written .given")).to_have_text("A ")
    assert done(page) == continued(model, "A ", seed=6, length=50, temperature=0.9)


def other_choice(page: Page, place: int) -> str:
    """Choose another character for a place, with the mouse, and return it."""
    page.locator(OPTIONS).nth(place).hover()
    button = page.locator(".panel:visible button:not(.chosen)").first
    shown = str(button.locator(".glyph").text_content())
    button.click()
    return {"␣": " ", "⏎": "\n"}.get(shown, shown)


def test_branches_are_a_tree_that_can_be_walked_back(visit: Opener, model: Model) -> None:
    asked = {"seed": 5, "length": 400, "temperature": 0.9, "stop": ["\\"]}
    page = visit("prompt=The%20&seed=5&length=400&temperature=0.9&stop=\\\\", viewport={"width": 1100, "height": 700})
    first = done(page)
    expect(page.locator("#versions")).to_be_hidden()
    chosen = other_choice(page, 30)
    expect(page.locator(OPTIONS)).to_have_count(31 + 400)
    second = done(page)
    kept = first[: 4 + 30] + chosen
    assert second == continued(model, kept, **asked)
    expect(page.get_by_label("Prompt")).to_have_value("The ")
    expect(page.locator("#written .kept")).to_have_count(30)
    assert page.locator("#written .branched").all_text_contents() == [chosen]
    letter, view = page.locator("#written .branched").bounding_box(), page.locator("#written").bounding_box()
    assert letter is not None
    assert view is not None
    assert view["y"] <= letter["y"] < view["y"] + view["height"], "the branch is in sight"
    expect(page.locator(".panel:visible")).to_have_count(0)
    chosen_again = other_choice(page, 100)
    expect(page.locator(OPTIONS)).to_have_count(101 + 400)
    assert done(page) == continued(model, second[:104] + chosen_again, **asked)
    entries = page.locator("#versions button")
    expect(entries).to_have_count(3)
    assert page.locator("#versions ul ul ul button").count() == 1, "a branch of a branch"
    page.get_by_role("button", name="Undo").click()
    assert page.locator("#written").evaluate("text => text.textContent") == second
    entries.first.click()
    assert page.locator("#written").evaluate("text => text.textContent") == first
    expect(entries.first).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Undo").click()
    assert page.locator("#written").evaluate("text => text.textContent") == second


def test_the_panel_waits_for_the_pointer_to_move(visit: Opener) -> None:
    page = visit("seed=5&length=300&stop=\\\\", viewport={"width": 1100, "height": 700})
    done(page)
    page.locator(OPTIONS).nth(40).hover()
    page.locator(".panel:visible button:not(.chosen)").first.click()
    done(page)
    page.wait_for_timeout(600)
    expect(page.locator(".panel:visible")).to_have_count(0)
    page.locator(OPTIONS).nth(60).hover()
    expect(page.locator(".panel:visible")).to_have_count(1)


def test_unknown_characters_are_named_and_stay_as_they_are(visit: Opener) -> None:
    page = visit("seed=1&prompt=A%E2%99%A5%20%E4%B8%96")
    done(page)
    expect(page.locator("#unknown")).to_have_text("Not in this model’s vocabulary, read as unknown: ♥ 世")
    assert page.locator("#written .unknown").all_text_contents() == ["♥", "世"]
    assert str(page.locator("#written .given").text_content()) == "A♥ 世"
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill("The ♥ of 世")
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#score-figures")).to_contain_text("not in its vocabulary: ♥ 世")
    assert page.locator("#scored").evaluate("text => text.textContent") == "The ♥ of 世"
    assert page.locator("#scored .unknown").all_text_contents() == ["♥", "世"]
    page.locator("#scored .unknown").first.hover()
    expect(page.locator(".panel:visible")).to_contain_text("not in this model’s vocabulary")


def test_a_score_is_beside_the_models_average(visit: Opener, model: Model) -> None:
    page = visit("seed=1")
    page.get_by_role("tab", name="Score my text").click()
    page.get_by_label("Your text", exact=True).fill("zq" * 20)
    page.get_by_role("button", name="Score", exact=True).click()
    own = model.config.losses["stateful"].bits_per_char
    expect(page.locator("#score-verdict")).to_contain_text(f"needs {own:.2f}: this text surprises it more")


def test_a_text_is_copied_and_saved(visit: Opener) -> None:
    page = visit("prompt=The%20&seed=5&length=80")
    text = done(page)
    page.evaluate("""() => {
        window.taken = [];
        const value = { writeText: async (text) => window.taken.push(text) };
        Object.defineProperty(navigator, "clipboard", { value });
    }""")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    copied, link = page.evaluate("window.taken")
    assert copied == text
    with page.expect_download() as download:
        page.get_by_role("button", name="Save text").click()
    assert download.value.suggested_filename == "bard-5.txt"
    assert Path(download.value.path()).read_text("utf-8") == text
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "bard-5.png"
    picture = Path(download.value.path()).read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert width > 600
    assert height > 100
    other = page.context.new_page()
    other.goto(link)
    assert done(other) == text, "the link writes the text again"


def test_the_link_of_a_branch_writes_the_branch(visit: Opener) -> None:
    page = visit("prompt=The%20&seed=5&length=80")
    done(page)
    other_choice(page, 20)
    text = done(page)
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="The link is in the address bar")).to_be_visible()
    other = page.context.new_page()
    other.goto(page.url)
    assert done(other) == text


def test_stop_texts_end_a_text(visit: Opener, model: Model) -> None:
    page = visit("prompt=The%20&seed=5&length=200&temperature=0.9&stop=e%20%0A\\n")
    asked = {"seed": 5, "length": 200, "temperature": 0.9, "stop": ["e ", "\n"]}
    assert done(page) == continued(model, "The ", **asked)
    expect(page.locator("#filters")).to_have_attribute("open", "")
    page.locator("[name=stop]").fill("")
    page.get_by_role("button", name="Generate").click()
    assert done(page) == continued(model, "The ", **{**asked, "stop": []})


def test_texts_at_several_temperatures_stand_side_by_side(visit: Opener, model: Model) -> None:
    page = visit("prompt=The%20&seed=5&length=90")
    done(page)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_label("Temperatures")).to_have_value("0.3, 0.5, 1.2")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("button", name="Continue this one")).to_have_count(3)
    shown = page.locator("#compared .sample").all_text_contents()
    assert shown == [continued(model, "The ", seed=5, length=90, temperature=each) for each in (0.3, 0.5, 1.2)]
    page.get_by_role("button", name="Continue this one").last.click()
    expect(page.get_by_role("tab", name="Write")).to_have_attribute("aria-selected", "true")
    assert page.locator("#written").evaluate("text => text.textContent") == shown[2]
    expect(page.locator("#versions button")).to_have_count(2)


def test_units_have_names_and_values(visit: Opener, folder: Path, model: Model) -> None:
    named = introduce(charloom.load(folder)).units
    assert named
    page = visit("prompt=The%20&seed=5&length=90")
    text = done(page)
    buttons = page.locator("#named-units button")
    expect(buttons).to_have_count(len(named))
    page.get_by_role("tab", name="Neurons").click()
    best = named[0]
    assert buttons.first.text_content() == f"{best.feature} · {best.unit}"
    expect(buttons.first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#neuron-figures")).to_contain_text(f"Unit {best.unit} follows: {best.feature}")
    values = model.activations(text, layer=best.layer, units=[best.unit]).values[:, 0]
    for place in (0, 10, len(text) - 1):
        page.locator("#activated [role=option]").nth(place).focus()
        shown = str(page.get_by_role("group", name="The unit's value here").text_content())
        value = float(shown.split(" ")[-1].replace("−", "-"))
        assert value == pytest.approx(values[place], abs=0.02)
    expect(page.locator("#unit-line svg")).to_be_visible()
    gates = unit_gates(open_model_directory(folder), np.array(model.encode(text)), best.layer, best.unit)
    page.locator("#activated [role=option]").nth(20).focus()
    said = page.locator("#cell-picture svg").get_attribute("aria-label")
    open_gates = [float(number) for number in re.findall(r"gate ([\d.]+)", str(said))]
    assert open_gates == pytest.approx([gates[name][20] for name in ("forget", "input", "output")], abs=0.03)
    expect(page.locator("#most-variable button")).to_have_count(8)


def test_the_unrolled_network_moves_with_the_letter(visit: Opener, model: Model) -> None:
    page = visit("prompt=The%20&seed=5&length=90&stop=\\\\")
    text = done(page)
    picture = page.locator("#unrolled svg")
    for place in (85, 40, 9):
        page.locator(OPTIONS).nth(place).focus()
        expect(picture.locator(".current")).to_have_count(1)
        letters = picture.locator(".letter").all_text_contents()
        shown = [{"␣": " ", "⏎": "\n"}.get(one, one) for one in letters]
        at = len("The ") + place
        assert shown[::2] == list(text[at - 7 : at]), "what it reads"
        assert shown[1::2] == list(text[at - 6 : at + 1]), "what came"
        bits = str(page.locator(OPTIONS).nth(place).get_attribute("aria-label")).split(" bits")[0].split(", ")[-1]
        assert picture.locator(".cost").last.text_content() == f"{bits} bits"
    found = model.activations(text)
    steps = [str(one.get_attribute("class")) for one in picture.locator("rect:not(.frame)").all()]
    assert len(steps) == 7 * 6
    for unit in range(6):
        value = float(found.values[len("The ") + 8, unit])
        if min(abs(abs(value) - edge) for edge in (0.1, 0.3, 0.55, 0.8)) > 0.02:
            side = "negative" if value <= -0.1 else "positive"
            level = sum(abs(value) >= edge for edge in (0.1, 0.3, 0.55, 0.8))
            assert steps[36 + unit] == f"cell-{side}-{level}"


def test_the_cell_moves_with_the_letter(visit: Opener, folder: Path, model: Model) -> None:
    page = visit("prompt=The%20&seed=5&length=60&stop=\\\\")
    text = done(page)
    picture = page.locator("#written-cell-picture svg")
    expect(picture).to_be_visible()
    for place in (50, 12):
        page.locator(OPTIONS).nth(place).focus()
        said = re.search(
            r"Unit (\d+), .* when (.+) has been read", str(page.locator("#written-cell-said").text_content())
        )
        assert said is not None
        read = len("The ") + place - 1
        assert said[2].startswith({" ": "␣", "\n": "⏎"}.get(text[read], text[read]))
        gates = unit_gates(open_model_directory(folder), np.array(model.encode(text)), 0, int(said[1]))
        shown = [float(number) for number in re.findall(r"gate ([\d.]+)", str(picture.get_attribute("aria-label")))]
        assert shown == pytest.approx([gates[name][read] for name in ("forget", "input", "output")], abs=0.03)


def test_items_are_written_one_a_line(visit: Opener, names: Path, host: str) -> None:
    model = loaded(names, host)
    page = visit("seed=4&items=5", of=" of names")
    expect(page.get_by_label("Lines")).to_have_value("5")
    expected = [one.text for one in model.generate_samples("", 5, seed=4)]
    assert done(page) == "\n".join(expected)
    page.get_by_label("Prompt").fill("ka")
    page.get_by_role("button", name="Generate").click()
    expected = ["ka" + one.text for one in model.generate_samples("ka", 5, seed=4)]
    assert done(page) == "\n".join(expected)


def test_the_notes_are_about_the_last_item_alone(browser: Browser, hosts: dict[str, str]) -> None:
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(f"{hosts['server of names']}seed=4&items=5&stop=")
        last = done(page).split("\n")[-1]
        picture = page.locator("#state-live svg")
        expect(picture.locator("text")).to_have_text(list(last))
        letter = picture.locator("text").first.bounding_box()
        assert letter is not None
        assert letter["height"] < 24, "few letters are not larger"


def test_surprise_is_coloured_from_two_bits(visit: Opener) -> None:
    page = visit("prompt=The%20&seed=5&length=200&temperature=1.2&stop=\\\\")
    done(page)
    for one in page.locator(OPTIONS).all()[:60]:
        bits = float(str(one.get_attribute("aria-label")).split(" bits")[0].split(", ")[-1])
        plain = "surprise-0" in str(one.get_attribute("class"))
        if abs(bits - 2) > 0.05:
            assert plain == (bits < 2)
    page.get_by_role("button", name="Plain").click()
    colours = page.locator(OPTIONS).evaluate_all("all => all.map((one) => getComputedStyle(one).backgroundColor)")
    assert set(colours) == {"rgba(0, 0, 0, 0)"}


def looks_of(page: Page, view: str) -> dict[str, set[str]]:
    """The colours of the text's characters and of what is behind them, by the class that a legend has."""
    script = """all => all.map((one) => {
      const style = getComputedStyle(one);
      return [one.className.split(" ")[0], `${style.color} on ${style.backgroundColor}`];
    })"""
    looks: dict[str, set[str]] = {}
    for name, look in page.locator(f"{view} [role=option]").evaluate_all(script):
        looks.setdefault(name, set()).add(look)
    return looks


def test_a_legend_filters_the_text(visit: Opener) -> None:
    page = visit("prompt=The%20&seed=5&length=200&temperature=1.2&stop=\\\\")
    done(page)
    before = looks_of(page, "#written")
    one, other = sorted(before)[-2:]
    legend = page.get_by_role("group", name="Bits of surprise")
    legend.locator(f"[value={one}]").click()
    expect(page.locator("#live")).to_contain_text("Shown: ")
    looks = looks_of(page, "#written")
    assert looks.pop(one) == before[one]
    (stepped_back,) = {look for found in looks.values() for look in found}
    assert stepped_back.endswith("rgba(0, 0, 0, 0)")
    legend.locator(f"[value={other}]").press("Enter")
    assert looks_of(page, "#written")[other] == before[other]
    for name in (one, other):
        legend.locator(f"[value={name}]").click()
    assert looks_of(page, "#written") == before
    page.get_by_role("tab", name="Neurons").click()
    expect(page.locator("#activated [role=option]").first).to_be_visible()
    before = looks_of(page, "#activated")
    chosen = next(name for name in before if name != "positive-0")
    page.locator(f"#values-legend [value={chosen}]").click()
    looks = looks_of(page, "#activated")
    assert looks.pop(chosen) == before[chosen]
    assert {look for found in looks.values() for look in found} == {stepped_back}


def test_how_it_learned_is_drawn(visit: Opener, folder: Path) -> None:
    page = visit("seed=1", viewport={"width": 360, "height": 640})
    done(page)
    picture = page.locator("#curve svg")
    expect(picture).to_be_visible()
    measured = open_model_directory(folder).read_evaluations()
    expect(picture).to_have_attribute(
        "aria-label", re.compile(rf"validation ends at {measured[-1].bits_per_char:.2f}$")
    )
    expect(picture.locator("path")).to_have_count(2)
    expect(picture.locator("circle.validation")).to_have_count(len(measured))
    expect(page.locator("#curve-validation")).to_be_visible()


def test_letters_in_drawings_are_as_large_on_a_phone(visit: Opener) -> None:
    page = visit("prompt=The%20&seed=1&length=300", viewport={"width": 360, "height": 640})
    done(page)
    expect(page.locator("#written-cell-picture svg")).to_be_visible()
    assert len(large_drawings(page)) >= 3, "the network, a cell, the curve"
    page.get_by_role("tab", name="Neurons").click()
    expect(page.locator("#cell-picture svg")).to_be_visible()
    assert {"unit-line", "cell"} <= set(large_drawings(page))


def large_drawings(page: Page) -> list[str]:
    """The classes of the drawings in sight, all letters of which can be read and are on the page."""
    drawings = page.locator("svg:visible")
    for drawing in drawings.all():
        for text in drawing.locator("text").filter(has_text=re.compile(".")).all():
            box = text.bounding_box()
            assert box is not None
            assert box["height"] >= 11, (drawing.get_attribute("class"), text.text_content())
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 360
    return [str(one.get_attribute("class")) for one in drawings.all()]


def test_without_a_history_there_is_no_empty_frame(browser: Browser, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bard")
    (tmp_path / "bard" / "metrics.jsonl").unlink()
    export_html(open_model_directory(tmp_path / "bard"), tmp_path / "bard.html")
    with contextlib.closing(browser.new_context()) as context, served(tmp_path / "bard") as address:
        page = context.new_page()
        for host in ((tmp_path / "bard.html").as_uri(), address):
            page.goto(f"{host}#seed=1")
            done(page)
            expect(page.locator("#learned")).to_be_hidden()
            expect(page.locator("#about")).to_be_visible()


def test_an_exported_page_has_a_title_and_words_of_its_own(browser: Browser, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    words = ["--title", 'Bard & "Co"', "--intro", "It learned <verses>.", "--prompt", "The\nking "]
    command = [sys.executable, "-m", "charloom", "export", str(folder), "--html", str(file), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(file.as_uri())
        expect(page).to_have_title('Bard & "Co"')
        expect(page.locator("#intro")).to_have_text("It learned <verses>.")
        meta = 'head meta[property="og:{0}"]'
        assert page.locator(meta.format("title")).get_attribute("content") == 'Bard & "Co"'
        assert page.locator(meta.format("description")).get_attribute("content") == "It learned <verses>."
        expect(page.get_by_label("Prompt")).to_have_value("The\nking ")
        expect(page.locator("#written .given")).to_have_text("The\nking ")
    command = [*command[:5], "--onnx", str(tmp_path / "m.onnx"), *words]
    refused = subprocess.run(command, capture_output=True, check=False)
    assert refused.returncode == 2


def test_what_is_there_stays_until_the_next_is(browser: Browser, hosts: dict[str, str]) -> None:
    """Also where the server does not answer; and the same can be tried again."""
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(hosts["server"] + "seed=5&length=80")
        text = done(page)
        page.route("**/v1/completions", lambda route: route.abort())
        page.get_by_label("Prompt").fill("Another ")
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        assert page.locator("#written").evaluate("text => text.textContent") == text
        page.unroute("**/v1/completions")
        page.get_by_role("button", name="Try again").click()
        assert done(page).startswith("Another ")
        expect(page.get_by_role("alert")).to_have_count(0)


def test_a_server_that_goes_away_leaves_the_text_so_far(browser: Browser, folder: Path) -> None:
    command = [sys.executable, "-m", "charloom", "serve", str(folder), "--port", "0", "--json"]
    slow = {**os.environ, "CHARLOOM_KERNEL": "numpy"}  # or the text is whole before it is killed
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=slow) as server:
        assert server.stdout is not None
        try:
            address = json.loads(server.stdout.readline())["address"]
            with contextlib.closing(browser.new_context()) as context:
                page = context.new_page()
                page.goto(f"{address}/#seed=5&length=10000&temperature=1&stop=\\\\")
                page.locator(OPTIONS).nth(20).wait_for()
                server.kill()
                expect(page.get_by_role("alert")).to_contain_text("The server went away. ")
                expect(page.get_by_role("alert")).to_contain_text("characters came before that; they are kept.")
                assert page.locator(OPTIONS).count() > 20
                expect(page.get_by_role("button", name="Try again")).to_be_visible()
        finally:
            server.kill()
            server.wait(30)


def test_a_refused_setting_is_named_where_it_is(browser: Browser, hosts: dict[str, str]) -> None:
    """In an address, too: what is closed away is opened."""
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        asked: list[Request] = []
        page.on("request", lambda request: asked.append(request))
        page.goto(hosts["server"] + "regex=%5B0-9&seed=1")
        expect(page.get_by_role("alert")).to_have_text("Pattern: unterminated character set at position 0")
        expect(page.get_by_label("Pattern")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Pattern")).to_be_visible()
        expect(page.locator("#filters-set")).to_have_text(" (1 set)")
        page.get_by_label("Pattern").fill("[0-9]{4}")
        page.get_by_role("button", name="Generate").click()
        assert done(page).isdigit()
        expect(page.get_by_role("alert")).to_have_count(0)
        assert all("//127.0.0.1:" in each.url for each in asked)
