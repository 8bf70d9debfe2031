"""Which precision a model runs in, and when."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

import charloom
from charloom.errors import UsageError

BOTH: tuple[Literal["float32"], Literal["int8"]] = ("float32", "int8")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def edit(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((model / "config.json").read_bytes())
    change(config)
    (model / "config.json").write_text(json.dumps(config))


def test_int8_writes_where_it_was_measured_to_be_faithful(model: Path) -> None:
    measured = charloom.load(model).config.precision
    assert measured is not None
    assert measured.int8 == pytest.approx(measured.float32, rel=0.005)
    assert measured.int8 != measured.float32
    assert measured.characters > 1000
    assert charloom.load(model).precision == "int8"
    edit(model, lambda config: config["precision"].update(int8=measured.float32 * 1.006))
    assert charloom.load(model).precision == "float32"
    assert charloom.load(model, precision="int8").precision == "int8"


def test_models_without_graphs(model: Path) -> None:
    written = {each: charloom.load(model, precision=each).generate("The ", length=50, seed=1).text for each in BOTH}
    for name in ("model.onnx", "model.int8.onnx"):
        edit(model, lambda config, name=name: config["files"].pop(name))  # type: ignore[misc]
        (model / name).unlink()
    for each in BOTH:
        assert charloom.load(model, precision=each).generate("The ", length=50, seed=1).text == written[each]


def test_an_int8_that_was_not_measured_is_not_the_default(model: Path) -> None:
    edit(model, lambda config: config.pop("precision"))
    assert charloom.load(model).precision == "float32"


def test_evaluation_is_float32_unless_int8_is_asked_for(model: Path, small_text: Path) -> None:
    recorded = charloom.load(model).config.losses["stateful"].loss
    for precision, same in (("auto", True), ("float32", True), ("int8", False)):
        loss = charloom.load(model, precision=precision).evaluate(small_text).loss  # type: ignore[arg-type]
        assert (loss == pytest.approx(recorded, abs=1e-6)) is same
        assert loss == pytest.approx(recorded, rel=0.01)


def test_no_such_precision(model: Path) -> None:
    with pytest.raises(UsageError, match="precision = 'int4': choose auto, float32 or int8"):
        charloom.load(model, precision="int4")  # type: ignore[arg-type]


def test_a_pattern_goes_before_the_models_usual_stop_texts(model: Path) -> None:
    (model / "generation_config.json").write_text('{"stop": ["a"], "length": 40}')
    loaded = charloom.load(model)
    assert "a" not in loaded.generate("The ", seed=1).text
    assert re.fullmatch("[ab]{30}", loaded.generate("The ", seed=1, regex="[ab]{30}").text)
    with pytest.raises(UsageError, match="give regex or stop, not both"):
        loaded.generate("The ", regex="[ab]{30}", stop=["b"])
