from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cli.main import COMMANDS
from charloom.cli.output import Output, OutputOptions
from charloom.settings import CorpusSettings, ModelSettings, SamplingSettings, TrainingSettings
from tests.cli.conftest import Charloom, one_line


@pytest.mark.parametrize("protocol", ["stateful", "windows-256", "cold-60"])
def test_evaluate(charloom: Charloom, trained: Path, small_text: Path, protocol: str) -> None:
    ran = charloom("evaluate", trained, small_text, "--protocol", protocol, "--json")
    assert ran.status == 0
    assert {"loss", "bits_per_char", "perplexity", "characters", "protocol"} <= set(ran.json)
    assert ran.json["protocol"] == protocol
    recorded = json.loads((trained / "config.json").read_text())["losses"]
    if protocol in recorded:
        assert ran.json["loss"] == pytest.approx(recorded[protocol]["loss"], abs=1e-5)
        assert ran.json["characters"] == recorded[protocol]["characters"]


def test_evaluate_says_when_the_text_is_another(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("another text altogether, with a 世 in it. " * 30)
    ran = charloom("evaluate", trained, tmp_path / "other.txt", "--split", "all", "--json")
    assert ran.status == 0
    assert ran.json["unknown"] == 30
    assert ran.json["characters"] == 41 * 30
    ran = charloom("evaluate", trained, tmp_path / "other.txt")
    assert "not the text that the model was trained on" in ran.err


def test_evaluate_needs_a_corpus_and_a_known_protocol(charloom: Charloom, trained: Path) -> None:
    assert charloom("evaluate", trained).status == 2
    assert charloom("evaluate", trained, "x.txt", "--protocol", "lukewarm").status == 2


def test_inspect_a_whole_model(charloom: Charloom, trained: Path) -> None:
    ran = charloom("inspect", trained, "--json")
    assert ran.status == 0
    assert ran.json["whole"] is True
    assert ran.json["config"]["format_version"] == 1
    assert {file["state"] for file in ran.json["files"]} == {"ok"}
    assert "it is whole" in charloom("inspect", trained).out


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "metrics.jsonl"])
def test_inspect_an_altered_model(charloom: Charloom, trained: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    ran = charloom("inspect", folder, "--json")
    assert ran.status == 1
    assert ran.json["whole"] is False
    assert {file["name"] for file in ran.json["files"] if file["state"] == "altered"} == {name}
    assert ran.json["checks"] == {"files": False, "graph": name == "metrics.jsonl"}
    assert f"NOT WHOLE: {name} is altered" in charloom("inspect", folder).out


def test_inspect_lets_people_edit_the_card(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    (folder / "README.md").write_text("my own words")
    ran = charloom("inspect", folder, "--json")
    assert ran.status == 0
    assert {file["name"] for file in ran.json["files"] if file["state"] == "edited"} == {"README.md"}


def test_corpus_list(charloom: Charloom) -> None:
    ran = charloom("corpus", "list", "--json")
    assert [json.loads(line)["name"] for line in ran.out.splitlines()] == ["names", "python-docs", "tiny-shakespeare"]


def test_corpus_show(charloom: Charloom, tmp_path: Path) -> None:
    (tmp_path / "abc.txt").write_text("abcabcab\n")
    data = charloom("corpus", "show", tmp_path / "abc.txt", "--json").json
    assert data["characters"] == 9
    assert data["vocab_size"] == 5  # unknown, newline, a, b, c
    assert data["vocabulary"] == "\nabc"
    assert data["example"]["input_ids"] == [2, 3, 4, 2, 3, 4, 2, 3]
    assert data["example"]["target_ids"] == [3, 4, 2, 3, 4, 2, 3, 1]
    assert data["example"]["target"] == "bcabcab\n"
    shown = charloom("corpus", "show", tmp_path / "abc.txt").out
    assert "[2, 3, 4, 2, 3, 4, 2, 3]" in shown


def test_corpus_show_of_the_article(charloom: Charloom, shakespeare: Path) -> None:
    data = charloom("corpus", "show", shakespeare, "--clean", "article", "--json").json
    assert data["characters"] == 894_876
    assert data["vocab_size"] == 38
    assert data["cleaning"] == ["drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines"]


@pytest.mark.slow
def test_quickstart_twice_in_the_same_folder(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    known = set(charloom("corpus", "show", "names", "--first", 100_000, "--json").json["first"].split("\n")[:-1])
    for _ in range(2):
        ran = charloom("quickstart", small_text, "-o", tmp_path / "q", "--steps", 30, "--json")
        assert ran.status == 0
        assert {"model", "bits_per_char", "sample"} <= set(ran.json)
        assert ran.json["names_model"] == str(tmp_path / "q-names")
        assert len(set(ran.json["names"])) == 12
        assert not known & set(ran.json["names"])
        assert f"charloom generate {tmp_path / 'q'}" in ran.err
    for said in ran.err.split("Now prose"):
        first, *_, last = re.findall(r"validation (\d\.\d+) nats", said)
        assert float(last) < float(first)


def test_quickstart_leaves_other_models_alone(charloom: Charloom, trained: Path) -> None:
    before = (trained / "config.json").read_bytes()
    ran = charloom("quickstart", "-o", trained)
    assert ran.status == 1
    assert "already holds another model" in ran.err.splitlines()[-1]
    assert (trained / "config.json").read_bytes() == before


def test_quickstart_learns_nothing_before_it_knows_that_the_text_is_there(
    charloom: Charloom, small_text: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes(small_text.read_bytes())
    for text, output, says in (
        (tmp_path / "none.txt", tmp_path / "q", "no such file or folder"),
        (tmp_path / "texts", tmp_path / "texts" / "q", "inside the corpus"),
    ):
        ran = charloom("quickstart", text, "-o", output, "--steps", 1)
        assert ran.status != 0
        assert says in one_line(ran)
    assert [path.name for path in tmp_path.rglob("*")] == ["texts", "a.txt"]


def test_every_setting_is_an_option_with_its_own_sentence(charloom: Charloom) -> None:
    """The settings are the single source: an option cannot be missing, nor its help differ."""
    homes = {"train": (CorpusSettings, ModelSettings, TrainingSettings), "generate": (SamplingSettings,)}
    for command, kinds in homes.items():
        words = " ".join(re.sub("[│╭╮╰╯─]", " ", charloom(command, "--help").out).split())
        for kind in kinds:
            for name, field in kind.model_fields.items():
                assert f"--{name.replace('_', '-')}" in words
                assert field.description is not None
                assert field.description.split()[0] in words


@pytest.mark.slow
def test_every_command_has_help(charloom: Charloom) -> None:
    overview = charloom("--help").out
    for command, does in COMMANDS.items():
        assert f"│ {command} " in overview
        assert does.split()[0] in overview
        own = charloom(command, "--help")
        assert own.status == 0
        assert len(own.out) > 500
    assert charloom().out == overview, "no command shows them all"


def test_version(charloom: Charloom) -> None:
    from charloom import __version__

    assert charloom("--version").out.strip() == __version__


def test_an_unknown_command_is_a_usage_error(charloom: Charloom) -> None:
    ran = charloom("dream")
    assert ran.status == 2
    assert "dream" in one_line(ran)


def test_a_hyphen_is_stdin_and_other_options_are_refused(
    charloom: Charloom, trained: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = small_text.read_bytes()
    for command in (("corpus", "show", "-", "--json"), ("evaluate", trained, "-", "--json")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert charloom(*command).status == 0
    ran = charloom("train", small_text, "--stepps", 4, "-o", small_text.parent / "m")
    assert ran.status == 2
    assert "--stepps" in one_line(ran)


def test_two_hyphens_end_the_options(
    charloom: Charloom, trained: Path, tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.txt").write_bytes(small_text.read_bytes())
    Path("--quiet").symlink_to(trained)
    assert charloom("corpus", "show", "-dash.txt").status == 2
    assert charloom("corpus", "show", "--json", "--", "-dash.txt").json["sources"] == ["-dash.txt"]
    assert charloom("evaluate", "--json", "--", "--quiet", "-dash.txt").status == 0
    assert "it is whole" in charloom("inspect", "--", "--quiet").out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(small_text.read_bytes())))
    assert charloom("corpus", "show", "--json", "--", "-").json["sources"] == ["stdin"]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["1", "2"])
def test_help_has_its_texts_in_an_optimized_python(level: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    command = [sys.executable, "-m", "charloom", "generate", "--help"]
    plain, optimized = (
        subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=True).stdout
        for more in ({}, {"PYTHONOPTIMIZE": level})
    )
    assert "Continue a prompt with a trained model." in plain
    assert optimized == plain


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can limit the memory")
def test_a_network_larger_than_the_memory(small_text: Path, tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
        "from charloom.cli.main import main; main()"
    )
    shape = ["--hidden-size", "16384", "--num-layers", "32", "--steps", "5"]
    ran = subprocess.run(
        [sys.executable, "-c", program, "train", str(small_text), "-o", str(tmp_path / "m"), *shape],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == "charloom: out of memory: use a shorter text or a smaller model\n"


def test_what_the_library_logs_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        Output(OutputOptions(quiet=quiet))
        logging.getLogger("charloom").warning("numpy runs the network")
    assert capsys.readouterr().err == "note: numpy runs the network\n"
