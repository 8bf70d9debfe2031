"""What results look like: as text, in a notebook, in a list that is sorted, and after a pickle."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.runtime import surprise
from charloom.runtime.surprise import as_html, costs_after
from charloom.text.vocabulary import ByteVocabulary
from tests.fakes import uniform

BROWSER = Path(surprise.__file__).parent / "browser"


@pytest.fixture
def model(trained: Path) -> charloom.Model:
    return charloom.load(trained)


def test_a_generation_is_its_text(model: charloom.Model) -> None:
    found = model.generate("The ", length=40, seed=3)
    assert str(found) == found.text
    assert found.full_text == "The " + found.text
    assert f"{found}" == model.generate_samples("The ", 1, length=40, seed=3)[0].text


def test_each_character_costs_what_the_engine_says(model: charloom.Model) -> None:
    for prompt in ("The ", ""):
        for found in (model.generate(prompt, length=60, seed=3), *model.generate_samples(prompt, 1, length=60, seed=3)):
            with model.engine() as engine:
                tokens = engine.submit(prompt, length=60, seed=3, alternatives=0).tokens  # waits for the end
            assert found.per_char is not None
            assert [letter for letter, _ in found.per_char] == list(found.text) == [token.text for token in tokens]
            bits = [-token.logprob / math.log(2) for token in tokens]
            assert [bits for _, bits in found.per_char] == pytest.approx(bits, abs=1e-4)


def test_a_character_of_several_bytes_costs_what_its_bytes_cost() -> None:
    vocabulary = ByteVocabulary()
    found = costs_after(uniform(256), vocabulary, vocabulary.encode("a"), "xé€\n")
    assert found == (("x", 8.0), ("é", 16.0), ("€", 24.0), ("\n", 8.0))


def test_a_notebook_shows_the_text_coloured_and_reads_nothing_in_it() -> None:
    shown = as_html("<b>&", [("<", 0.1), ("a", 2.5), ("&", 12.0), ("\n", 5.0), ("\x1b", 1.0)], "a 'caption' <i>")
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "\x1b" not in shown
    assert "&lt;b&gt;&amp;</span>&lt;<span" in shown
    assert re.findall(r"background: (#\w+); [^>]*>([^<]*)<", shown) == [
        (surprise.COLOURS[0], "a"),
        (surprise.COLOURS[5], "&amp;"),
        (surprise.COLOURS[2], "↵"),
    ]


def test_a_generation_and_a_score_are_shown_in_a_notebook(model: charloom.Model) -> None:
    found = model.generate("The <i>", length=50, temperature=2.0, seed=1)
    html = found._repr_html_()
    assert "The &lt;i&gt;</span>" in html
    assert "background: #" in html
    assert "bits per character; coloured from 2 bits" in html
    scored = model.score("<script>", per_char=True)._repr_html_()
    assert "<script>" not in scored
    assert "background: #" in scored
    assert "per_char=True colours the text" in model.score("<script>")._repr_html_()
    assert "0 characters" in model.score("")._repr_html_()


def test_the_colours_are_the_pages() -> None:
    ramp = re.findall(r"--surprise-[1-6]: (#\w+);", (BROWSER / "colours.css").read_text("utf-8"))
    assert tuple(ramp[:6]) == surprise.COLOURS
    (steps,) = re.findall(r"SURPRISE_STEPS = \[([\d, ]+)\]", (BROWSER / "characters.js").read_text("utf-8"))
    assert tuple(map(int, steps.split(", "))) == surprise.STEPS


def test_a_pickle_has_the_text_and_not_the_model(model: charloom.Model) -> None:
    found = model.generate("The ", length=20, seed=1)
    plain = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert plain == found
    assert plain.per_char is None
    measured = found.per_char
    assert pickle.loads(pickle.dumps(found)).per_char == measured  # noqa: S301


def test_scores_can_be_sorted_though_one_is_of_nothing(model: charloom.Model) -> None:
    scores = [model.score(text) for text in ("The ", "", "zq{}")]
    assert [score.text for score in sorted(scores)] == ["", "The ", "zq{}"]
    assert max(scores).text == "zq{}"


def test_what_is_printed_of_objects_says_what_they_are(model: charloom.Model) -> None:
    assert re.fullmatch(r"<charloom\.Model '.*': LSTM 1 × 32, \d+ symbols, \d\.\d\d bits per character>", repr(model))
    with model.engine() as engine:
        text = engine.submit("The ", length=5)
        text.result()
        assert repr(text) == "<charloom.Continuation of 'The ': length>"
        assert repr(engine).startswith("<charloom.Engine, open: ")
    assert repr(engine).startswith("<charloom.Engine, closed: ")


def test_a_corpus_is_printed_by_how_it_begins(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A long text. " * 1000, "utf-8")
    printed = repr(charloom.read_corpus([tmp_path / "a.txt", "built-in:names"]))
    beginning = "A long text. A long text. A long text. A"
    assert printed == f"<charloom.Corpus a.txt and 1 more: 241,146 characters, beginning {beginning!r}>"


@pytest.mark.parametrize("prompt", [5, b"The ", None, ["The "]])
@pytest.mark.parametrize(
    "method", ["generate", "stream", "generate_samples", "items", "next", "complete", "activations"]
)
def test_a_prompt_that_is_no_text_is_one_sentence(model: charloom.Model, method: str, prompt: Any) -> None:
    arguments = {"generate_samples": (prompt, 2), "items": (2, prompt)}.get(method, (prompt,))
    with pytest.raises(charloom.UsageError, match=re.escape(f"{prompt!r} is no text: give a string")):
        getattr(model, method)(*arguments)


def test_a_result_of_training_opens_its_model(small_text: Path, tmp_path: Path) -> None:
    result = charloom.train(small_text, tmp_path / "model", hidden_size=8, steps=2, device="cpu", threads=1)
    assert repr(result.load()) == repr(charloom.load(tmp_path / "model"))
    assert str(result).startswith(f"{tmp_path / 'model'}: trained, {result.bits_per_char:.3f} bits per character")
