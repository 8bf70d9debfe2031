"""The page's network under node, by the kernel as WebAssembly and by JavaScript: the characters that Python writes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.bundle import ModelShape
from charloom.errors import CharloomError
from charloom.kernel.build import compile_wasm
from charloom.kernel.network import Network
from charloom.runtime.html import join_modules, pack_weights
from charloom.settings import SamplingSettings
from tests.kernel.networks import make_shape, make_weights

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

PROGRAM = f"""{join_modules("worker.js")}
const given = JSON.parse(require("node:fs").readFileSync(0, "utf-8"));
const tokens = [];
globalThis.postMessage = (data) => {{
  tokens.push(...(data.tokens ?? []));
  if (!data.ended && !data.error) return;
  process.stdout.write(JSON.stringify(data.error ?? tokens), () => process.exit());
}};
onmessage({{ data: {{ run: 0, longest: 50_000, ...given.model }} }});
onmessage({{ data: {{ run: 1, from: 1, ...given.request }} }});
"""
SHAPES = [
    make_shape("lstm", 2, 40, 65, 12),
    make_shape("gru", 3, 33, 30),
    make_shape("rnn", 1, 16, 2, 3),
    pytest.param(make_shape("lstm", 1, 24, 700, 8), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def kernel() -> str:
    try:
        return base64.b64encode(compile_wasm().read_bytes()).decode()
    except CharloomError as error:
        pytest.skip(str(error))


def answer(folder: Path, model: dict[str, object], request: dict[str, object]) -> Any:
    """What the thread answers: for each id after the first, itself, its bits and the likeliest; or what is wrong."""
    (folder / "worker.cjs").write_text(PROGRAM)
    given = json.dumps({"model": model, "request": request})
    ran = subprocess.run(["node", str(folder / "worker.cjs")], input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.cell}-{shape.vocab_size}")
def test_two_thousand_characters_are_pythons(tmp_path: Path, kernel: str, shape: ModelShape) -> None:
    settings = SamplingSettings(temperature=1.3, top_k=40, top_p=0.95, min_p=0.001)
    length, seed, unknown = 2000, 12345, 0 if shape.vocab_size > 2 else None
    prompt = np.random.default_rng(0).integers(1, shape.vocab_size, 150)
    network = Network(shape, make_weights(shape))
    zeros = np.zeros((1, shape.hidden_size), np.float32)
    start = (zeros,) * (shape.num_layers * shape.states_per_layer)
    _, state = network.run(prompt[:-1, None], start)
    uniforms = np.random.default_rng(seed).random((length, 1))
    expected, _ = network.write(prompt[-1:], state, uniforms, [settings], unknown)
    ids = np.concatenate([prompt, expected[:, 0]])
    nats, _ = network.nats(ids[:-1, None], ids[1:, None], start)
    model = {
        "description": {"shape": shape.model_dump(), "unknown_id": unknown},
        "weights": base64.b64encode(pack_weights(shape, make_weights(shape))).decode(),
    }
    asked = {"ids": prompt.tolist(), "length": length, "settings": {**settings.model_dump(), "seed": seed}}
    found = answer(tmp_path, {**model, "kernel": kernel}, asked)
    assert answer(tmp_path, {**model, "kernel": ""}, asked) == found
    assert [token[0] for token in found] == ids[1:].tolist()
    np.testing.assert_allclose([token[1] for token in found], nats[:, 0] / np.log(2), rtol=1e-12, atol=1e-12)
    for place in (0, 149, 1000):  # the five likeliest, the first of equals first
        logits, _ = network.run(ids[: place + 1, None], start)
        scores = logits[-1, 0].copy()
        scores[unknown if unknown is not None else []] = -np.inf
        likeliest = np.argsort(-scores, kind="stable")[: min(5, shape.vocab_size - (unknown is not None))].tolist()
        assert [other for other in found[place][2::2] if other >= 0] == likeliest


def test_weights_that_give_no_number_are_said(tmp_path: Path, kernel: str) -> None:
    shape = make_shape("gru", 1, 16, 20)
    weights = bytearray(pack_weights(shape, make_weights(shape)))
    weights[-4:] = np.float32(np.nan).tobytes()  # the last symbol's bias
    model: dict[str, object] = {
        "description": {"shape": shape.model_dump(), "unknown_id": 0},
        "weights": base64.b64encode(weights).decode(),
    }
    settings = SamplingSettings(seed=1).model_dump()
    for each in (kernel, ""):
        said = answer(tmp_path, {**model, "kernel": each}, {"ids": [1], "length": 5, "settings": settings})
        assert said == "the model gives no number for this text: its weights are damaged"
