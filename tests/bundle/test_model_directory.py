from __future__ import annotations

import hashlib
import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import charloom
from charloom.bundle import (
    FORMAT_VERSION,
    CorpusRecord,
    ModelConfig,
    ModelShape,
    holds_model,
    open_model_directory,
    write_model_directory,
)
from charloom.bundle.config import FileName, parse_config
from charloom.errors import ModelDirectoryError
from charloom.runtime.export import export_onnx
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import CharacterVocabulary

GRAPHS = ("model.onnx", "model.int8.onnx")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained model that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


def edit(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `config.json` as a person could who wants harm."""
    config = json.loads((model / "config.json").read_bytes())
    change(config)
    (model / "config.json").write_text(json.dumps(config), "utf-8")


def replace(model: Path, name: str, content: bytes) -> None:
    """Replace a file and make its checksum true."""
    (model / name).write_bytes(content)
    edit(model, lambda config: config["files"].update({name: hashlib.sha256(content).hexdigest()}))


def use(model: Path, name: str) -> None:
    """Load a model, or export its graph of that name."""
    if name in GRAPHS:
        directory = open_model_directory(model)
        export_onnx(directory, model.parent / "x.onnx", precision="int8" if "int8" in name else "float32")
    else:
        charloom.load(model)


def refused(model: Path, name: str = "") -> str:
    """Loading must be refused, of a graph `name` exporting; returns why, which is one line."""
    with pytest.raises(ModelDirectoryError) as caught:
        use(model, name)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 1000
    return message


def record(vocabulary: str = "characters") -> CorpusRecord:
    return CorpusRecord.model_validate(
        {
            "sources": ["a.txt"],
            "characters": 9,
            "sha256": "0" * 64,
            "cleaning": ["lowercase"],
            "encoding": "utf-8",
            "vocabulary": vocabulary,
            "min_count": 1,
            "validation_split": "tail",
            "validation_fraction": 0.1,
            "validation": None,
        }
    )


def test_models_from_before_the_bound_had_none() -> None:
    assert record().validation_characters is None


def write(path: Path) -> ModelConfig:
    shape = ModelShape(cell="gru", num_layers=1, hidden_size=2, embedding_size=3, dropout=0, vocab_size=5)

    def config_for(checksums: dict[FileName, str]) -> ModelConfig:
        return ModelConfig(
            library_version="9.9",
            model=shape,
            corpus=record(),
            training={"seed": 7},
            losses={},
            files=checksums,
        )

    return write_model_directory(
        path,
        config_for,
        CharacterVocabulary("abé\n"),
        SamplingSettings(temperature=0.5, stop=["\n"], seed=4),
        {"model.safetensors": b"weights", "model.onnx": b"graph"},
    )


def test_round_trip(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n')
    config = write(tmp_path)
    directory = open_model_directory(tmp_path)
    assert directory.config == config
    assert directory.config.model.cell == "gru"
    assert directory.config.training == {"seed": 7}
    assert isinstance(directory.vocabulary, CharacterVocabulary)
    assert directory.vocabulary.characters == ("a", "b", "é", "\n")
    assert directory.sampling == SamplingSettings(temperature=0.5, stop=["\n"])  # no model has a seed by default
    assert directory.read_graph("model.onnx") == b"graph"
    assert config.files["metrics.jsonl"] == hashlib.sha256(b'{"step": 1}\n').hexdigest()
    assert {check.name: check.state for check in directory.check_files()} == dict.fromkeys(
        ["vocabulary.json", "generation_config.json", "model.safetensors", "model.onnx", "metrics.jsonl"], "ok"
    )
    assert holds_model(tmp_path)


def test_what_training_writes(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "config.json",
        "vocabulary.json",
        "model.safetensors",
        "model.onnx",
        "model.int8.onnx",
        "generation_config.json",
        "README.md",
        "metrics.jsonl",
        "loss.svg",
    }
    directory = open_model_directory(trained)
    assert directory.config.format_version == FORMAT_VERSION == 1
    assert all(check.state == "ok" for check in directory.check_files())
    weights = load_file(trained / "model.safetensors")
    assert sum(array.size for array in weights.values()) == directory.config.model.parameters
    assert b"<svg" in (trained / "loss.svg").read_bytes()


def test_no_such_directory(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent", tmp_path / "nowhere" / "absent"):
        assert refused(absent).endswith(" writes one)")


def test_the_models_beside_it_are_named(tmp_path: Path) -> None:
    for folder in ("yours", "empty"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "yours")
    assert refused(tmp_path / "your").endswith(f"writes one); models there: {tmp_path / 'yours'}")


def test_a_path_that_cannot_be_one() -> None:
    assert "no such model directory" in refused(Path("word " * 100))


def test_an_empty_directory(tmp_path: Path) -> None:
    assert "there is no config.json" in refused(tmp_path)


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    assert "--resume" in refused(tmp_path)


@pytest.mark.parametrize("name", ["vocabulary.json", "model.safetensors", *GRAPHS])
def test_a_missing_file(model: Path, name: str) -> None:
    (model / name).unlink()
    assert f"{name} is missing" in refused(model, name)


def test_missing_files_that_running_does_not_need(model: Path) -> None:
    expected = charloom.load(model).generate("The", length=20, seed=1, temperature=0.8).text
    for name in (*GRAPHS, "README.md", "loss.svg", "metrics.jsonl", "generation_config.json"):
        (model / name).unlink()
    assert charloom.load(model).generate("The", length=20, seed=1).text == expected, (
        "temperature 0.8 where no file says"
    )
    states = {check.name: check.state for check in open_model_directory(model).check_files()}
    assert states["model.onnx"] == "missing"
    assert states["model.safetensors"] == "ok"


@pytest.mark.parametrize("name", ["vocabulary.json", "model.safetensors", *GRAPHS])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_file(model: Path, name: str, damage: str) -> None:
    content = bytearray((model / name).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        del content[0 if damage == "emptied" else len(content) - 1 :]
    (model / name).write_bytes(content)
    assert f"{name} is damaged: its checksum is not the one in config.json" in refused(model, name)


def test_checks_tell_altered_from_edited_from_extra(model: Path) -> None:
    for name in ("model.safetensors", "README.md", "generation_config.json"):
        (model / name).write_bytes(b"{}")
    (model / "notes.txt").write_bytes(b"12345")
    checks = {check.name: check for check in open_model_directory(model).check_files()}
    assert checks["model.safetensors"].state == "altered"
    assert not checks["model.safetensors"].harmless
    assert checks["README.md"].state == checks["generation_config.json"].state == "edited"
    assert checks["README.md"].harmless
    assert (checks["notes.txt"].state, checks["notes.txt"].bytes) == ("extra", 5)
    assert checks["notes.txt"].harmless
    assert checks["model.onnx"].state == "ok"


def test_a_newer_format(model: Path) -> None:
    edit(model, lambda config: config.update(format_version=2, model="quite another thing"))
    message = refused(model)
    assert "format version 2" in message
    assert "pip install -U charloom" in message


@pytest.mark.parametrize("version", [None, 0, -1, "1", True, 1.0, [1]])
def test_a_wrong_format_version(model: Path, version: object) -> None:
    edit(model, lambda config: config.update(format_version=version))
    assert f"format_version is {version!r}" in refused(model)


def test_fields_of_a_later_minor_version_are_passed_over(model: Path) -> None:
    expected = charloom.load(model).generate("The", length=20, seed=1).text
    edit(model, lambda config: config.update(colour="blue"))
    edit(model, lambda config: config["model"].update(activation="tanh"))
    assert charloom.load(model).generate("The", length=20, seed=1).text == expected


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no model": lambda config: config.pop("model"),
    "model a list": lambda config: config.update(model=[]),
    "cell unknown": lambda config: config["model"].update(cell="transformer"),
    "hidden a string": lambda config: config["model"].update(hidden_size="32"),
    "hidden a float": lambda config: config["model"].update(hidden_size=32.5),
    "hidden zero": lambda config: config["model"].update(hidden_size=0),
    "hidden huge": lambda config: config["model"].update(hidden_size=10**12),
    "hidden absurd": lambda config: config["model"].update(hidden_size=10**4000),
    "layers huge": lambda config: config["model"].update(num_layers=10**6),
    "vocabulary huge": lambda config: config["model"].update(vocab_size=10**9),
    "vocabulary one more": lambda config: config["model"].update(vocab_size=config["model"]["vocab_size"] + 1),
    "dropout NaN": lambda config: config["model"].update(dropout=math.nan),
    "loss NaN": lambda config: config["losses"]["stateful"].update(loss=math.nan),
    "loss infinite": lambda config: config["losses"]["stateful"].update(loss=math.inf),
    "protocol unknown": lambda config: config["losses"].update(mine=config["losses"]["stateful"]),
    "files a list": lambda config: config.update(files=[]),
    "files empty": lambda config: config.update(files={}),
    "file outside": lambda config: config["files"].update({"../../etc/passwd": "0" * 64}),
    "file absolute": lambda config: config["files"].update({"/etc/passwd": "0" * 64}),
    "file with escapes": lambda config: config["files"].update({"\x1b[2J\nevil": "0" * 64}),
    "checksum no hex": lambda config: config["files"].update({"model.onnx": "z" * 64}),
    "checksum short": lambda config: config["files"].update({"model.onnx": "00"}),
    "cleaning unknown": lambda config: config["corpus"].update(cleaning=["__import__('os')"]),
    "kind the other": lambda config: config["corpus"].update(vocabulary="bytes"),
    "sources a string": lambda config: config["corpus"].update(sources="a.txt"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_config(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(model, change)
    message = refused(model)
    assert "config.json is damaged: " in message or "do not belong together" in message


def test_sizes_within_bounds_but_untrue_need_no_such_memory(model: Path) -> None:
    edit(model, lambda config: config["model"].update(hidden_size=16_384, num_layers=32))
    assert "model.safetensors is damaged" in refused(model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"format_version": ' + b"9" * 10_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\x80\x04K\x01.",
    ],
    ids=["empty", "cut", "null", "list", "not text", "deep", "digits", "deep objects", "pickle"],
)
def test_a_config_that_is_none(model: Path, content: bytes) -> None:
    (model / "config.json").write_bytes(content)
    message = refused(model)
    assert "config.json is damaged: it is not JSON" in message or "is not a charloom model's" in message


def test_an_oversize_config_is_not_read(model: Path) -> None:
    with (model / "config.json").open("ab") as file:
        file.truncate(3 << 30)  # sparse: it takes no room
    assert "too large to be true" in refused(model)


@pytest.mark.parametrize("name", ["model.safetensors", *GRAPHS])
def test_an_oversize_file_is_not_read(model: Path, name: str) -> None:
    with (model / name).open("ab") as file:
        file.truncate(3 << 30)
    assert "too large to be true" in refused(model, name)


def test_a_folder_in_a_files_place(model: Path) -> None:
    (model / "vocabulary.json").unlink()
    (model / "vocabulary.json").mkdir()
    assert "cannot read" in refused(model)


def test_edited_sampling_is_allowed(model: Path) -> None:
    (model / "generation_config.json").write_text('{"temperature": 0, "length": 7}', "utf-8")
    generation = charloom.load(model).generate("The")
    assert generation.characters == 7
    assert generation.text == charloom.load(model).generate("The", length=7, temperature=0).text


@pytest.mark.parametrize(
    "content",
    ['{"temperature": -1}', '{"temperature": NaN}', '{"warmth": 1}', "[]", "3", "{", '{"stop": [""]}'],
)
def test_edited_sampling_is_validated(model: Path, content: str) -> None:
    (model / "generation_config.json").write_text(content, "utf-8")
    assert "generation_config.json" in refused(model)


@pytest.mark.parametrize(
    "content", [b"{}", b"null", b'{"kind": "bytes"}', b'{"kind": "characters", "characters": [null, "a"]}']
)
def test_a_vocabulary_of_another_model(model: Path, content: bytes) -> None:
    replace(model, "vocabulary.json", content)
    assert "vocabulary.json" in refused(model)


def test_weights_and_graphs_of_another_shape(model: Path) -> None:
    edit(model, lambda config: config["model"].update(hidden_size=31))
    assert "model.safetensors is damaged: recurrent.weight_ih_l0 is not" in refused(model)
    assert "not the network that config.json describes" in refused(model, "model.onnx")


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_is_none(model: Path, name: str) -> None:
    replace(model, name, b"\x00" * 100)
    assert f"{name} is not the network that config.json describes" in refused(model, name)


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_no_pickle_is_read_anywhere(model: Path, tmp_path: Path, small_text: Path) -> None:
    proof = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(proof))
    names = ("model.onnx", "model.int8.onnx", "vocabulary.json", "model.safetensors", "generation_config.json")
    for name in names:
        spoiled = Path(shutil.copytree(model, tmp_path / f"with-{name}"))
        replace(spoiled, name, bomb)
        refused(spoiled, name)
    shutil.rmtree(model)
    folder = model / "training"
    folder.mkdir(parents=True)
    for name in ("run.json", "checkpoint-000000000001.safetensors"):
        (folder / name).write_bytes(bomb)
    with pytest.raises(charloom.CharloomError, match="damaged"):
        charloom.train(small_text, model, resume=True)
    assert not proof.exists()
    pickle.loads(bomb)  # noqa: S301  (the proof of the proof)
    assert proof.exists()


@pytest.mark.parametrize("missing", ["vocabulary.json", "model.safetensors"])
def test_a_config_must_name_what_readers_need(trained: Path, missing: str) -> None:
    config = json.loads((trained / "config.json").read_bytes())
    del config["files"][missing]
    with pytest.raises(ModelDirectoryError, match=f"does not name {missing}"):
        parse_config(json.dumps(config).encode())
