"""Models whose graph a stranger made: only the graph that charloom writes is run, whatever the checksums say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.bundle.test_model_directory import replace
from tests.cli.conftest import Charloom, charloom, one_line

__all__ = ["charloom"]


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def constant(graph: Any, name: str, value: Any, dtype: Any = np.int64) -> str:
    graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
    return name


def endless(graph: Any) -> None:
    """A loop of 2^62 turns beside the network."""
    ends = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("before", "after")]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    body = helper.make_graph([helper.make_node("Identity", ["before"], ["after"])], "b", [turn, ends[0]], [ends[1]])
    count, going = constant(graph, "count", 2**62), constant(graph, "going", True, np.bool_)
    graph.node.append(helper.make_node("Loop", [count, going], [], body=body))


def enormous(graph: Any) -> None:
    """12 GB of zeros."""
    graph.node.append(helper.make_node("ConstantOfShape", [constant(graph, "size", [3 << 30])], ["zeros"]))


def of_another_type(graph: Any) -> None:
    graph.node.append(helper.make_node("Cast", [graph.output[0].name], ["logits64"], to=TensorProto.DOUBLE))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("logits64", TensorProto.DOUBLE, ["T", "B", "V"]))


def of_another_rank(graph: Any) -> None:
    graph.node.append(helper.make_node("Unsqueeze", ["logits", constant(graph, "first", [0])], ["deep"]))
    graph.output[0].name = "deep"


def of_a_foreign_domain(graph: Any) -> None:
    graph.node.add(op_type="Run", domain="evil", input=["ids"], output=["x"])


def elsewhere(graph: Any) -> None:
    """Weights in a file of the reader's."""
    graph.initializer[0].ClearField("raw_data")
    graph.initializer[0].data_location = TensorProto.EXTERNAL
    graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


def with_another_constant(graph: Any) -> None:
    """The same nodes; what a character is looked up along is not what charloom says."""
    (axis,) = [one for one in graph.initializer if one.name in ("axis_0", "zero")][:1]
    axis.raw_data = bytes(len(axis.raw_data))[:-1] + b"\x05"


CHANGES = [endless, enormous, of_another_type, of_another_rank, of_a_foreign_domain, elsewhere, with_another_constant]


def changed(model: Path, name: str, change: Callable[[Any], None]) -> None:
    content = onnx.load_from_string((model / name).read_bytes())
    change(content.graph)
    replace(model, name, content.SerializeToString())


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_strangers_graph_is_refused_before_it_runs(
    charloom: Charloom, model: Path, tmp_path: Path, change: Callable[[Any], None], name: str
) -> None:
    changed(model, name, change)
    export = ["export", model, "--onnx", tmp_path / "x.onnx", "--precision", "int8" if "int8" in name else "float32"]
    for line in (export, ["inspect", model], ["inspect", model, "--json"]):
        ran = charloom(*line)
        assert ran.status == 1
        assert f"{name} is not the network that config.json describes" in ran.out + ran.err
    assert charloom("generate", model, "--length", 3).status == 0, "which runs the weights"


def test_nothing_may_follow_a_graph(charloom: Charloom, model: Path, tmp_path: Path) -> None:
    """Two messages of protocol buffers, one after the other, are their union."""
    content = (model / "model.onnx").read_bytes()
    replace(model, "model.onnx", content + content)
    assert "not the network" in one_line(charloom("export", model, "--onnx", tmp_path / "x.onnx"))
    replace(model, "model.onnx", content)
    assert charloom("export", model, "--onnx", tmp_path / "x.onnx").status == 0


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_the_graph_is_one_that_onnx_accepts(trained: Path, name: str) -> None:
    content = (trained / name).read_bytes()
    loaded = onnx.load_from_string(content)
    onnx.checker.check_model(loaded, full_check=True)
    assert loaded.SerializeToString() == content
