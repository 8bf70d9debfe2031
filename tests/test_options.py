"""Keyword arguments have the names and types of the settings' fields."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

import charloom
from charloom.options import LearningOptions, ReadingOptions, SamplingOptions, Time
from charloom.runtime.novelty import NoveltyOptions, NoveltySettings
from charloom.runtime.recitation import ReciteOptions, ReciteSettings
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.jobs.request import JobSettings
from charloom.sagemaker.options import EndpointOptions, JobOptions, Pairs, TransformOptions
from charloom.sagemaker.transform_request import TransformSettings
from charloom.settings import (
    CorpusSettings,
    Duration,
    ModelSettings,
    ReadingSettings,
    SamplingSettings,
    TrainingSettings,
)

KINDS: list[tuple[type, list[type[BaseModel]]]] = [
    (SamplingOptions, [SamplingSettings]),
    (ReadingOptions, [ReadingSettings]),
    (LearningOptions, [CorpusSettings, ModelSettings, TrainingSettings]),
    (ReciteOptions, [ReciteSettings]),
    (NoveltyOptions, [NoveltySettings]),
    (JobOptions, [JobSettings]),
    (EndpointOptions, [EndpointSettings]),
    (TransformOptions, [TransformSettings]),
]
PAIRS = ("tag", "env")  # a mapping is taken too
ONE_OR_SEVERAL = ("stop",)  # one text is a list of one
TIMES = {Duration: Time, Duration | None: Time | None}  # seconds, or as they are written


def plain(kind: Any) -> Any:
    """A type without pydantic's annotations."""
    if get_origin(kind) is Annotated:
        return plain(get_args(kind)[0])
    return kind


@pytest.mark.parametrize(("options", "settings"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_they_are_the_fields_of_the_settings(options: type, settings: list[type[BaseModel]]) -> None:
    hints = get_type_hints(options)
    fields = {name: plain(kind) for model in settings for name, kind in get_type_hints(model).items()}
    fields = {name: kind for name, kind in fields.items() if any(name in model.model_fields for model in settings)}
    wider = dict.fromkeys(PAIRS, Pairs) | dict.fromkeys(ONE_OR_SEVERAL, str | list[str])
    assert hints == {name: wider.get(name, TIMES.get(kind, kind)) for name, kind in fields.items()}


def mistakes_that_a_checker_sees(model: charloom.Model, engine: charloom.Engine) -> None:
    """Never called: mypy, which `scripts/check` runs, says so where one of these is not an error any more."""
    model.generate("a", temperature=0.5, stop=["b"])
    model.generate("a", stop="b")
    model.generate("a", temprature=0.5)  # type: ignore[call-arg]
    model.generate("a", temperature="hot")  # type: ignore[arg-type]
    engine.submit("a", topk=3)  # type: ignore[call-arg]
    charloom.train("t", "m", hidden_size=3, cell="lstm")
    charloom.train("t", "m", cell="transformer")  # type: ignore[arg-type]


GOOD = """
import charloom

result = charloom.train("text.txt", "model", hidden_size=64, cell="gru", budget="10m", clean=["lowercase"])
model = charloom.load(result.model)
text: str = model.generate("Once", length=20, stop="\\n").text
names: list[str] = model.items(3, "A", temperature=0.7, stop=[",", "."])
found = model.recite("text.txt", samples=10).exact + model.novelty("text.txt", characters=500).longest
with model.engine() as engine:
    pieces: list[str] = list(engine.submit("The ", length=5, seed=1))
"""
WRONG = {
    "model.generate('a', lenght=3)": "lenght",
    "model.stream('a', temperatur=0.5)": "temperatur",
    "model.generate_samples('a', 2, topk=3)": "topk",
    "model.items(3, stop=3)": "stop",
    "model.recite('t', sample=3)": "sample",
    "model.novelty('t', character=3)": "character",
    "charloom.train('t', 'm', hidden=3)": "hidden",
    "charloom.read_corpus('t', cleaning='lowercase')": "cleaning",
    "engine.submit('a', lenght=3)": "lenght",
}


@pytest.mark.slow
def test_a_checker_of_types_sees_mistakes_in_a_users_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(GOOD + "\n".join(WRONG), "utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}/cache",
        str(program),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    errors = [line for line in checked.stdout.splitlines() if "error:" in line]
    assert len(errors) == len(WRONG), checked.stdout
    first = GOOD.count("\n") + 1
    for number, (error, name) in enumerate(zip(errors, WRONG.values(), strict=True)):
        assert error.startswith(f"program.py:{first + number}:")
        assert f'"{name}"' in error
