"""`charloom corpus prepare`, and the commands that take what it wrote."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from charloom.cli import progress
from charloom.text import corpus as corpus_module
from tests.cli.conftest import Charloom, one_line

OPTIONS = ("--hidden-size", 16, "--batch-size", 8, "--bptt", 16, "--threads", 1, "--device", "cpu", "--steps", 12)


@pytest.fixture
def prepared(charloom: Charloom, small_text: Path, tmp_path: Path) -> Path:
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "prepared").status == 0
    return tmp_path / "prepared"


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


def test_prepare(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", "--json")
    shown = charloom("corpus", "show", small_text, "--json").json
    assert ran.status == 0
    assert {name: ran.json[name] for name in ("characters", "vocab_size", "sha256", "unknown")} == {
        name: shown[name] for name in ("characters", "vocab_size", "sha256", "unknown")
    }
    assert ran.json["path"] == str(tmp_path / "p")
    assert ran.json["bytes"] == small_text.stat().st_size
    assert ran.json["seconds"] > 0
    assert (
        f"charloom train {tmp_path / 'p'}"
        in charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", "--overwrite").err
    )


def test_show_says_the_same_of_the_text_and_of_what_was_prepared(
    charloom: Charloom, prepared: Path, small_text: Path
) -> None:
    assert charloom("corpus", "show", prepared, "--json").json == charloom("corpus", "show", small_text, "--json").json
    assert charloom("corpus", "show", prepared).out == charloom("corpus", "show", small_text).out


def test_show_verifies(charloom: Charloom, prepared: Path) -> None:
    content = bytearray((prepared / "ids.bin").read_bytes())
    content[-1] ^= 1
    (prepared / "ids.bin").write_bytes(content)
    ran = charloom("corpus", "show", prepared)
    assert ran.status == 1
    assert "checksum" in one_line(ran)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--vocabulary", "bytes"), ("--clean", "article", "--min-count", 5)])
def test_a_model_is_the_same_bit_for_bit(
    charloom: Charloom, small_text: Path, tmp_path: Path, options: tuple[Any, ...]
) -> None:
    charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", *options)
    from_text = charloom("train", small_text, "-o", tmp_path / "a", *OPTIONS, *options, "--json")
    from_disk = charloom("train", tmp_path / "p", "-o", tmp_path / "b", *OPTIONS, "--json")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert from_text.json["losses"] == from_disk.json["losses"]
    records = [json.loads((tmp_path / name / "config.json").read_text())["corpus"] for name in ("a", "b")]
    assert records[0] == records[1]
    for corpus in (small_text, tmp_path / "p"):
        for split in ("validation", "all"):
            ran = charloom("evaluate", tmp_path / "b", corpus, "--split", split, "--json")
            other = charloom("evaluate", tmp_path / "a", small_text, "--split", split, "--json")
            assert ran.json == other.json
            assert "not the text" not in ran.err


def test_row_tail_of_a_prepared_corpus(charloom: Charloom, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The quick brown fox.\n" * 2000)
    charloom("corpus", "prepare", tmp_path / "a.txt", "-o", tmp_path / "p")
    for corpus, model in (("a.txt", "a"), ("p", "b")):
        ran = charloom("train", tmp_path / corpus, "-o", tmp_path / model, *OPTIONS, "--validation-split", "row-tail")
        assert ran.status == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_validation_is_bounded(charloom: Charloom, prepared: Path, small_text: Path, tmp_path: Path) -> None:
    ran = charloom("train", prepared, "-o", tmp_path / "m", *OPTIONS, "--validation-characters", 300)
    assert "learning 19,700 characters" in ran.err
    assert "300 held out" in ran.err
    assert charloom("evaluate", tmp_path / "m", small_text, "--json").json["characters"] == 300
    assert "at most 300 characters" in (tmp_path / "m" / "README.md").read_text("utf-8")


def test_resume_from_a_prepared_corpus(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    """The settings that the corpus brought are the run's own: they are no contradiction when it goes on."""
    import charloom as library

    charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", "--clean", "lowercase")
    options: dict[str, Any] = {"hidden_size": 16, "batch_size": 8, "bptt": 16, "steps": 12, "device": "cpu"}
    library.train(tmp_path / "p", tmp_path / "m", should_stop=lambda: True, **options)
    result = library.train(tmp_path / "p", tmp_path / "m", resume=True)
    assert (result.resumed_from_step, result.steps) == (1, 12)
    library.train(tmp_path / "p", tmp_path / "whole", **options)
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")


def test_a_contradicting_option_is_a_usage_error(charloom: Charloom, prepared: Path, tmp_path: Path) -> None:
    for command in (("train", prepared, "-o", tmp_path / "m"), ("corpus", "show", prepared)):
        ran = charloom(*command, "--clean", "lowercase")
        assert ran.status == 2
        assert "was prepared with --clean none, not lowercase: leave --clean out" in one_line(ran)
    ran = charloom("train", prepared, "-o", tmp_path / "m", "--recipe", "article")
    assert ran.status == 2
    assert not (tmp_path / "m").exists()


def test_named_with_others(charloom: Charloom, prepared: Path, small_text: Path, trained: Path, tmp_path: Path) -> None:
    for command in (("train", "-o", tmp_path / "m"), ("corpus", "show"), ("evaluate", trained)):
        ran = charloom(*command, prepared, small_text)
        assert ran.status == 2
        assert "must be named alone" in one_line(ran)


def test_a_model_never_goes_into_a_prepared_corpus(charloom: Charloom, prepared: Path, small_text: Path) -> None:
    ran = charloom("train", small_text, "-o", prepared, "--overwrite")
    assert ran.status == 1
    assert "holds a prepared corpus" in one_line(ran)
    assert charloom("corpus", "show", prepared).status == 0


def test_evaluate_needs_the_models_own_vocabulary_and_cleaning(
    charloom: Charloom, trained: Path, small_text: Path, tmp_path: Path
) -> None:
    for options, what in ((("--min-count", 9), "vocabulary"), (("--clean", "lowercase"), "cleaning")):
        charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", "--overwrite", *options)
        ran = charloom("evaluate", trained, tmp_path / "p")
        assert ran.status == 1
        assert f"prepared with another {what} than the model's" in one_line(ran)


def test_prepare_needs_a_corpus_and_an_output(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    assert charloom("corpus", "prepare", "-o", tmp_path / "p").status == 2
    assert charloom("corpus", "prepare", small_text).status == 2
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "p", "--validation-fraction", 0.1).status == 2
    assert not (tmp_path / "p").exists()


def test_prepare_from_stdin(charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(small_text.read_bytes())))
    ran = charloom("corpus", "prepare", "-", "-o", tmp_path / "p", "--json")
    assert ran.status == 0
    assert ran.json["characters"] == 20_000


def test_for_a_large_text_the_way_to_need_less_memory_is_named(
    charloom: Charloom, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "corpus prepare" not in charloom("corpus", "show", small_text).err
    monkeypatch.setattr(corpus_module, "LARGE", 19_999)
    assert charloom("corpus", "show", small_text).err.count("charloom corpus prepare") == 1


def test_progress_in_a_log(
    charloom: Charloom, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    err = charloom("corpus", "prepare", small_text, "-o", tmp_path / "p").err
    assert re.search(r"^reading · 0 MB · [\d,]+ MB/s$", err, re.M)
    assert re.search(r"^encoding · 0 of 0 MB · [\d,]+ MB/s$", err, re.M)
