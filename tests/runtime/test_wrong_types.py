"""What Python's callers give by mistake: one line that says what to give, no error from deep inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import charloom

MANY = ["The king", "the queen", "a word"] * 10
Call = Callable[[Any], object]


@pytest.fixture(scope="module")
def calls(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    """Each argument that holds a text, texts, numbers, a path or a model, by what it is."""
    model, folder = charloom.load(trained), tmp_path_factory.mktemp("calls")
    text = folder / "text.txt"
    text.write_text("The king\n" * 40)
    classifier = charloom.Classifier({"a": trained, "b": trained})
    fitted = charloom.Detector(model).fit(MANY)
    return {
        "score_texts": model.score_texts,
        "score_texts one": lambda value: model.score_texts([value]),
        "score_lines": model.score_lines,
        "score_lines one": lambda value: model.score_lines([value]),
        "score_files": model.score_files,
        "score_files encoding": lambda value: model.score_files(text, encoding=value),
        "mask": lambda value: model.score_lines(MANY, mask=value),
        "mask one": lambda value: model.score_lines(MANY, mask=[value]),
        "against": lambda value: model.score_lines(MANY, against=value),
        "generate": model.generate,
        "settings": lambda value: model.generate("The", value),
        "stream": model.stream,
        "samples": lambda value: model.generate_samples("The", value),
        "items": model.items,
        "items prompt": lambda value: model.items(1, value),
        "exclude": lambda value: model.items(1, exclude=value, length=3),
        "exclude one": lambda value: model.items(1, exclude=[value], length=3),
        "next": model.next,
        "next k": lambda value: model.next("The", value),
        "complete": model.complete,
        "complete k": lambda value: model.complete("The", value),
        "complete length": lambda value: model.complete("The", length=value),
        "encode": model.encode,
        "activations": model.activations,
        "layer": lambda value: model.activations("The", layer=value),
        "units": lambda value: model.activations("The", units=value),
        "units one": lambda value: model.activations("The", units=[value]),
        "evaluate": model.evaluate,
        "recite": model.recite,
        "novelty": model.novelty,
        "novelty file": lambda value: model.novelty(text, file=value, characters=100),
        "engine": lambda value: model.engine(max_rows=value).close(),
        "load": charloom.load,
        "threads": lambda value: charloom.load(trained, threads=value),
        "Classifier": charloom.Classifier,
        "Classifier one": lambda value: charloom.Classifier({"a": trained, "b": value}),
        "prior": lambda value: charloom.Classifier({"a": trained, "b": trained}, prior=value),
        "classify": classifier.classify,
        "classify_texts": classifier.classify_texts,
        "classify_texts one": lambda value: classifier.classify_texts([value]),
        "classify_files": classifier.classify_files,
        "Detector": charloom.Detector,
        "Detector mask": lambda value: charloom.Detector(model, mask=value),
        "Detector against": lambda value: charloom.Detector(model, against=value),
        "fit": charloom.Detector(model).fit,
        "fit one": lambda value: charloom.Detector(model).fit([value] * 30),
        "false_alarms": lambda value: charloom.Detector(model).fit(MANY, false_alarms=value),
        "Detector.score": fitted.score,
        "Detector.score one": lambda value: fitted.score([value]),
        "is_odd": fitted.is_odd,
        "save": fitted.save,
        "Detector.load": lambda value: charloom.Detector.load(value, model),
        "read_corpus": charloom.read_corpus,
        "push": lambda value: charloom.push(value, "hf://me/it"),
        "push to": lambda value: charloom.push(trained, value),
    }


MISSING = {"score_texts one", "score_lines one", "Detector.score one", "is_odd"}  # a table's missing value
NOT_GIVEN = {"score_files encoding", "against", "settings", "layer", "units", "novelty file", "Detector against"}


def results(call: Call, value: Any) -> None:
    found = call(value)
    if isinstance(found, Iterator):
        list(found)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (None, MISSING | NOT_GIVEN),
        (b"The king", set()),
        (3.5, {"false_alarms"}),
        (object(), set()),
        ([object()], set()),
    ],
    ids=["None", "bytes", "float", "object", "list"],
)
def test_a_value_of_a_wrong_type_is_one_line(calls: dict[str, Call], value: Any, right: set[str]) -> None:
    for name, call in calls.items():
        if name in right:
            results(call, value)
            continue
        with pytest.raises(charloom.CharloomError) as found:
            results(call, value)
        assert "\n" not in str(found.value), name
        assert len(str(found.value)) < 300, name


@pytest.mark.parametrize("name", ["score_lines", "score_texts", "classify_texts", "fit", "Detector.score"])
def test_one_text_is_not_several(calls: dict[str, Call], name: str) -> None:
    with pytest.raises(charloom.UsageError, match="'The king' is not several texts: give a list of them"):
        calls[name]("The king")


@pytest.mark.parametrize(
    "name", ["score_files", "load", "Classifier", "Detector", "save", "Detector.load", "evaluate", "read_corpus"]
)
def test_a_name_that_no_file_can_have_is_one_line(calls: dict[str, Call], name: str) -> None:
    for value in ("\ud800", "a\0b"):
        with pytest.raises(charloom.CharloomError) as found:
            results(calls[name], value)
        assert "\n" not in str(found.value)
