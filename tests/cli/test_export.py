from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load, save

import charloom as library
from charloom.bundle import open_model_directory
from charloom.errors import CharloomError
from charloom.runtime.export import with_metadata
from tests.cli.conftest import Charloom, one_line

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "run-the-graph-elsewhere.md"

# Hides charloom from what follows: the example must not need it.
WITHOUT_CHARLOOM = "import sys\nsys.modules['charloom'] = None\n"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def metadata(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return found


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_documented_example_writes_what_charloom_writes(
    charloom: Charloom, trained: Path, tmp_path: Path, precision: str
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    file = tmp_path / "model.onnx"
    written = charloom("export", trained, "--onnx", file, "--precision", precision, "--json").json
    assert written["path"] == str(file)
    assert written["bytes"] == file.stat().st_size
    assert written["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert written["precision"] == precision
    (tmp_path / "write.py").write_text(WITHOUT_CHARLOOM + code)
    for prompt in ("The ", "世界 The", ""):
        ran = subprocess.run(
            [sys.executable, "write.py", file.name, prompt, "120"],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        greedy = ("--length", 120, "--temperature", 0, "--precision", precision)
        expected = charloom("generate", trained, "--prompt", prompt, *greedy, "--json").json["text"]
        assert ran.stdout == expected
        assert len(expected) == 120


def test_the_graph_is_the_models_own_with_metadata(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    charloom("export", trained, "--onnx", tmp_path / "x.onnx")
    exported, own = onnx.load(tmp_path / "x.onnx"), onnx.load(trained / "model.onnx")
    onnx.checker.check_model(exported, full_check=True)
    added = {entry.key: json.loads(entry.value) for entry in exported.metadata_props}
    assert added["charloom.vocabulary"] == json.loads((trained / "vocabulary.json").read_bytes())
    assert added["charloom.opening_id"] == library.load(trained).vocabulary.opening_id
    assert added["charloom.cleaning"] == []
    del exported.metadata_props[:]
    assert exported == own


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_metadata_of_any_length(trained: Path, tmp_path: Path, length: int) -> None:
    value = "é" * (length // 2) + "x" * (length % 2)
    (tmp_path / "x.onnx").write_bytes(with_metadata((trained / "model.onnx").read_bytes(), {"key": value, "é": "2"}))
    assert metadata(tmp_path / "x.onnx") == {"key": value, "é": "2"}


def test_the_cleaning_of_prompts_travels_along(small_text: Path, tmp_path: Path, charloom: Charloom) -> None:
    options = {"steps": 2, "hidden_size": 8, "embedding_size": 4, "batch_size": 4, "bptt": 16, "threads": 1}
    library.train(small_text, tmp_path / "m", clean=["article"], vocabulary="characters", device="cpu", **options)  # type: ignore[arg-type]
    charloom("export", tmp_path / "m", "--onnx", tmp_path / "x.onnx")
    found = metadata(tmp_path / "x.onnx")
    assert json.loads(found["charloom.cleaning"]) == ["lowercase", "join-lines"]
    space = json.loads(found["charloom.vocabulary"])["characters"].index(" ")
    assert json.loads(found["charloom.opening_id"]) == space  # joined lines leave no newline


def test_what_is_there_stays_without_overwrite(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"precious")
    ran = charloom("export", trained, "--onnx", file)
    assert ran.status == 2
    assert "--overwrite" in one_line(ran)
    assert file.read_bytes() == b"precious"
    assert charloom("export", trained, "--onnx", file, "--overwrite").status == 0
    assert metadata(file)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


def test_nothing_to_write_is_a_usage_error(trained: Path, charloom: Charloom) -> None:
    ran = charloom("export", trained)
    assert ran.status == 2
    assert "--onnx FILE" in one_line(ran)


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "model.safetensors"])
def test_the_model_itself_is_never_written_over(model: Path, charloom: Charloom, name: str) -> None:
    before = (model / name).read_bytes()
    ran = charloom("export", model, "--onnx", model / name, "--overwrite")
    assert ran.status == 2
    assert "of the model itself" in one_line(ran)
    assert (model / name).read_bytes() == before
    assert all(check.harmless for check in open_model_directory(model).check_files())


@pytest.mark.parametrize(("precision", "name"), [("float32", "model.onnx"), ("int8", "model.int8.onnx")])
def test_an_altered_graph_is_not_exported(
    model: Path, tmp_path: Path, charloom: Charloom, precision: str, name: str
) -> None:
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    ran = charloom("export", model, "--onnx", tmp_path / "x.onnx", "--precision", precision)
    assert ran.status == 1
    assert f"{name} is damaged" in one_line(ran)
    assert not (tmp_path / "x.onnx").exists()


def test_places_that_cannot_be_written(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    ran = charloom("export", trained, "--onnx", tmp_path / "no" / "such" / "x.onnx")
    assert ran.status == 1
    assert "cannot write" in one_line(ran)
    ran = charloom("export", trained, "--onnx", tmp_path)
    assert ran.status == 2
    assert "is a folder" in one_line(ran)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_model_without_graphs(trained: Path, model: Path, tmp_path: Path, charloom: Charloom, precision: str) -> None:
    config = json.loads((model / "config.json").read_bytes())
    for name in ("model.onnx", "model.int8.onnx"):
        del config["files"][name]
        (model / name).unlink()
    (model / "config.json").write_text(json.dumps(config))
    for folder, file in ((trained, "own.onnx"), (model, "made.onnx")):
        assert charloom("export", folder, "--onnx", tmp_path / file, "--precision", precision).status == 0
    assert (tmp_path / "made.onnx").read_bytes() == (tmp_path / "own.onnx").read_bytes()


def test_a_network_too_large_for_an_int8_graph(
    model: Path, tmp_path: Path, charloom: Charloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charloom.runtime.int8_graph.LARGEST_TABLE", 100)
    config = json.loads((model / "config.json").read_bytes())
    del config["files"]["model.int8.onnx"]
    (model / "config.json").write_text(json.dumps(config))
    ran = charloom("export", model, "--onnx", tmp_path / "x.onnx", "--precision", "int8")
    assert ran.status == 2
    assert "too many symbols for an int8 graph; use float32" in one_line(ran)


def test_the_file_alone_is_enough(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    """Scores of the exported file are the model's own."""
    charloom("export", trained, "--onnx", tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"])
    model = library.load(trained, precision="float32")
    ids = model.vocabulary.encode("The price")[:, None].astype(np.int64)
    shapes = [node.shape[1] for node in session.get_inputs()[1:]]
    zeros = {node.name: np.zeros((1, h), np.float32) for node, h in zip(session.get_inputs()[1:], shapes, strict=True)}
    logits = session.run(None, {"ids": ids, **zeros})[0]
    expected, _ = model._session.run(ids, tuple(zeros.values()))
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_page_is_the_model_in_one_file(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    file = tmp_path / "model.html"
    written = charloom("export", trained, "--html", file, "--json").json
    content = file.read_bytes()
    assert written["path"] == str(file)
    assert written["bytes"] == len(content)
    assert written["sha256"] == hashlib.sha256(content).hexdigest()
    kernel = re.search(rb'id="kernel">(.*?)<', content)
    assert kernel is not None
    assert bool(kernel[1]) == written["compiled"]
    assert len(content) - len(kernel[1]) <= 1.4 * written["weights"] + 131_072
    addresses = set(re.findall(rb"https?://[^\s\"'<)]+", content))
    assert addresses <= {b"http://www.w3.org/2000/svg"}, "the name of SVG, and nothing to fetch"
    charloom("export", trained, "--html", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == content


def test_a_page_has_the_learning_curve_in_a_few_kilobytes(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    model = tmp_path / trained.name
    shutil.copytree(trained, model)
    long = [{"step": step, "train_loss": 1 + 1 / (step + 3), "sample": "x" * 90} for step in range(20_000)]
    long += [{"step": step, "validation_loss": 1 + 1 / (step + 2)} for step in range(0, 20_000, 20)]
    (model / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in long))
    curved = charloom("export", model, "--html", tmp_path / "curved.html", "--json").json["bytes"]
    (model / "metrics.jsonl").unlink()
    plain = charloom("export", model, "--html", tmp_path / "plain.html", "--json").json["bytes"]
    assert 2_000 < curved - plain < 4_000
    assert b'"curve":{"training":[],"validation":[]}' in (tmp_path / "plain.html").read_bytes()


def test_where_nothing_compiles_webassembly_the_page_is_javascript_alone(
    trained: Path, tmp_path: Path, charloom: Charloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise CharloomError("nothing here compiles WebAssembly")

    monkeypatch.setattr("charloom.runtime.html.compile_wasm", fail)
    ran = charloom("export", trained, "--html", tmp_path / "model.html")
    assert ran.status == 0
    (line,) = ran.out.splitlines()
    assert "JavaScript alone" in line
    assert b'id="kernel"></script>' in (tmp_path / "model.html").read_bytes()


def test_a_page_is_replaced_only_with_overwrite(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    file = tmp_path / "model.html"
    file.write_bytes(b"precious")
    ran = charloom("export", trained, "--html", file)
    assert ran.status == 2
    assert "--overwrite" in one_line(ran)
    assert file.read_bytes() == b"precious"
    assert charloom("export", trained, "--html", file, "--overwrite").status == 0
    assert file.read_bytes().startswith(b"<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["model.html"]


def test_one_file_at_a_time(trained: Path, tmp_path: Path, charloom: Charloom) -> None:
    ran = charloom("export", trained, "--html", tmp_path / "x.html", "--onnx", tmp_path / "x.onnx")
    assert ran.status == 2
    assert "give --html or --onnx, not both" in one_line(ran)
    assert not list(tmp_path.iterdir())


def test_altered_weights_make_no_page(model: Path, tmp_path: Path, charloom: Charloom) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    ran = charloom("export", model, "--html", tmp_path / "x.html")
    assert ran.status == 1
    assert "model.safetensors is damaged" in one_line(ran)
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("fault", ["missing", "shape", "infinite", "no tensors"])
def test_weights_of_another_network_make_no_page(model: Path, tmp_path: Path, charloom: Charloom, fault: str) -> None:
    weights = load((model / "model.safetensors").read_bytes())
    if fault == "missing":
        del weights["output.bias"]
    elif fault == "shape":
        weights["output.bias"] = weights["output.bias"][:-1]
    elif fault == "infinite":
        weights["output.bias"][0] = np.inf
    content = b"\xff" * 64 if fault == "no tensors" else save(weights)
    (model / "model.safetensors").write_bytes(content)
    config = json.loads((model / "config.json").read_bytes())
    config["files"]["model.safetensors"] = hashlib.sha256(content).hexdigest()
    (model / "config.json").write_text(json.dumps(config))
    ran = charloom("export", model, "--html", tmp_path / "x.html")
    assert ran.status == 1
    assert "model.safetensors is damaged" in one_line(ran)


def test_the_commands_of_the_page_on_pages_run(
    model: Path, charloom: Charloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.with_name("run-in-one-html-file.md")
    commands = re.findall(r"^charloom (.*)$", page.read_text("utf-8"), re.M)
    assert commands
    monkeypatch.chdir(model.parent)
    model.rename("my-model")
    for command in commands:
        assert charloom(*shlex.split(command)).status == 0
