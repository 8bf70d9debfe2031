"""An exported page read without the code that wrote or runs it, and the numpy loop that says what it must write."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from tests.reference import gru_step, lstm_step, rnn_step

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class PageContent:
    """What is in the page: its description, and its weights in float32 by name, scales multiplied in."""

    description: dict[str, Any]
    weights: dict[str, Float32]
    int8_weights: int

    @property
    def vocab_size(self) -> int:
        size: int = self.description["shape"]["vocab_size"]
        return size


def read_page(file: Path) -> PageContent:
    text = file.read_text("utf-8")
    blocks = dict(re.findall(r'<script type="[^"]*" id="(\w+)">(.*?)</script>', text, re.S))
    description = json.loads(blocks["description"])
    content = base64.b64decode(blocks["weights"], validate=True)
    raw: dict[str, NDArray[Any]] = {}
    for tensor in description["tensors"]:
        kind = {"int8": "<i1", "float32": "<f4"}[tensor["kind"]]
        raw[tensor["name"]] = np.frombuffer(content, kind, tensor["length"], tensor["offset"])
    weights = {}
    for name, array in raw.items():
        if array.dtype == np.int8:
            scales = raw[f"{name}.scales"]
            by_output = name != "characters"
            matrix = array.reshape((len(scales), -1) if by_output else (-1, len(scales))).astype(np.float32)
            weights[name] = matrix * (scales[:, None] if by_output else scales)
        elif not name.endswith(".scales"):
            weights[name] = array.astype(np.float32)
    return PageContent(description, weights, sum(array.size for array in raw.values() if array.dtype == np.int8))


def reference_logits(page: PageContent, ids: list[int], state: list[Any]) -> Float32:
    """Read ids in float32, from and into `state` (filled when empty): the logits (V,) after the last one."""
    shape, w = page.description["shape"], page.weights
    cell, hidden = shape["cell"], shape["hidden_size"]
    if not state:
        state.extend(np.zeros((1, hidden), np.float32) for _ in range(2 * shape["num_layers"]))
    x: Any = None
    for token in ids:
        x = w["characters"][token][None]
        for layer in range(shape["num_layers"]):
            below = w.get(f"below{layer}", np.eye(x.shape[1], dtype=np.float32))
            recurrent, bias = w[f"recurrent{layer}"], w[f"bias{layer}"]
            other = w.get(f"recurrent_bias{layer}", np.zeros_like(bias))
            before = state[2 * layer]
            if cell == "lstm":
                x, state[2 * layer + 1] = lstm_step(x, before, state[2 * layer + 1], below, recurrent, bias, other)
            else:
                x = (gru_step if cell == "gru" else rnn_step)(x, before, below, recurrent, bias, other)
            assert x.dtype == np.float32
            state[2 * layer] = x
    logits: Float32 = (x @ w["output"].T + w["output_bias"])[0]
    return logits


def reference_greedy(page: PageContent, ids: list[int], length: int) -> list[int]:
    """The likeliest ids one after another, the unknown character never among them."""
    state: list[Any] = []
    written: list[int] = []
    logits = reference_logits(page, ids, state)
    for _ in range(length):
        scores = logits.copy()
        if page.description["unknown_id"] is not None:
            scores[page.description["unknown_id"]] = -np.inf
        written.append(int(scores.argmax()))
        logits = reference_logits(page, written[-1:], state)
    return written


def starts(page: Page, text: str) -> list[str]:
    """At which side the page begins a line in Latin and one in Arabic letters, written into the element `text`."""
    script = """place => {
        place.textContent = "abc\\n\\u0627\\u0628\\u062c";
        const box = place.getBoundingClientRect(), letters = document.createRange();
        return [0, 4].map((first) => {
            letters.setStart(place.firstChild, first);
            letters.setEnd(place.firstChild, first + 3);
            const line = letters.getBoundingClientRect();
            return line.left - box.left < box.right - line.right ? "left" : "right";
        });
    }"""
    sides: list[str] = page.locator(text).evaluate(script)
    return sides
