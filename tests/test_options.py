"""Keyword arguments have the names and types of the settings' fields."""

from __future__ import annotations

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
    assert hints == {name: Pairs if name in PAIRS else TIMES.get(kind, kind) for name, kind in fields.items()}


def mistakes_that_a_checker_sees(model: charloom.Model, engine: charloom.Engine) -> None:
    """Never called: mypy, which `scripts/check` runs, says so where one of these is not an error any more."""
    model.generate("a", temperature=0.5, stop=["b"])
    model.generate("a", temprature=0.5)  # type: ignore[call-arg]
    model.generate("a", temperature="hot")  # type: ignore[arg-type]
    engine.submit("a", topk=3)  # type: ignore[call-arg]
    charloom.train("t", "m", hidden_size=3, cell="lstm")
    charloom.train("t", "m", cell="transformer")  # type: ignore[arg-type]
