"""lm-evaluation-harness against a running server, with nothing of a hub: it finds what `Model.score` finds.

The harness goes into an environment of its own; CHARLOOM_LM_EVAL_PYTHON names one that has it already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import charloom
from tests.proofs.running import running

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ("lm-eval>=0.4.11", "tenacity", "requests", "aiohttp", "tiktoken", "tqdm")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TEXTS = ["The class statement", "an object is\nthe value of a name", "zzzz", "If the expression is true, "]
CHOICES = [("\nThe import ", ["statement", "qqqqqq", "the"]), ("\nan object ", ["is", "xx", "of type"])]

TASKS = {
    "rolling": """
task: charloom_rolling
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/rolling.json}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}]
""",
    "choices": """
task: charloom_choices
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/choices.json}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: "{{choices}}"
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc}]
""",
}


def run(*command: object, **environment: str) -> None:
    ran = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python that has the harness."""
    given = os.environ.get("CHARLOOM_LM_EVAL_PYTHON")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("harness")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *HARNESS)
    yield folder / "bin/python"


def evaluated(python: Path, address: str, model: charloom.Model, folder: Path) -> dict[str, list[Any]]:
    """What the harness says of each text of each task, in their order."""
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(task.replace("FOLDER", str(folder)))
    (folder / "rolling.json").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    lines = [json.dumps({"context": context, "choices": choices}) + "\n" for context, choices in CHOICES]
    (folder / "choices.json").write_text("".join(lines))
    prefix = model.vocabulary.opening_id
    arguments = f"model=small,base_url={address}/v1/completions,num_concurrent=4,custom_prefix_token_id={prefix}"
    command: list[object] = [python, "-m", "lm_eval", "--model", "local-completions", "--model_args", arguments]
    command += ["--tasks", "charloom_rolling,charloom_choices", "--include_path", folder]
    command += ["--output_path", folder / "out", "--log_samples"]
    run(*command, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=str(folder / "hub"))
    found = {}
    for name in TASKS:
        (file,) = (folder / "out").rglob(f"samples_charloom_{name}_*.jsonl")
        samples = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        found[name] = [sample["filtered_resps"] for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
    return found


def test_it_finds_what_score_finds(harness: Path, trained: Path, tmp_path: Path) -> None:
    model = charloom.load(trained, precision="int8")

    def nats(text: str) -> float:
        return model.score(text).nats

    with running(trained, "--quiet", log=tmp_path / "log") as server:
        found = evaluated(harness, server.address, model, tmp_path)
    rolling = [float(answer[0] if isinstance(answer, list) else answer) for (answer,) in found["rolling"]]
    assert rolling == pytest.approx([-nats(text) for text in TEXTS], rel=1e-4)
    for (context, choices), answers in zip(CHOICES, found["choices"], strict=True):
        start = context.removeprefix("\n")  # `score` begins after a line end
        asked = start.rstrip()  # the harness counts spaces at the end to the choices
        expected = [nats(asked) - nats(start + choice) for choice in choices]
        assert [float(answer[0]) for answer in answers] == pytest.approx(expected, rel=1e-4)
