"""What an exported page must write and think: what Python does with the model that it was exported from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

import charloom
from charloom.bundle import open_model_directory
from charloom.kernel.reference import ReferenceNetwork
from charloom.kernel.weights import read_weights

Float32 = NDArray[np.float32]


class Expected:
    """What a model's page must do."""

    def __init__(self, directory: Path) -> None:
        opened = open_model_directory(directory)
        self._model = charloom.load(directory, precision="int8")
        self.shape, self.vocabulary = opened.config.model, opened.vocabulary
        self._network = ReferenceNetwork(self.shape, read_weights(opened))

    def _state(self) -> tuple[Float32, ...]:
        count = self.shape.num_layers * self.shape.states_per_layer
        return tuple(np.zeros((1, self.shape.hidden_size), np.float32) for _ in range(count))

    def logits(self, ids: list[int]) -> Float32:
        """The logits (V,) after ids."""
        logits, _ = self._network.run(np.array(ids)[:, None], self._state(), len(ids) - 1)
        return np.asarray(logits[0, 0])

    def bits(self, ids: list[int]) -> list[float]:
        """What each id but the first costs."""
        given = np.array(ids)[:, None]
        nats, _ = self._network.nats(given[:-1], given[1:], self._state())
        return [float(each) for each in nats[:, 0] / np.log(2)]

    def text(self, prompt: str, seed: int, length: int, **settings: Any) -> str:
        """What `charloom generate` writes after the prompt."""
        return self._model.generate(prompt, seed=seed, length=length, **settings).text


def replaced(file: Path, to: Path, **blocks: str) -> Path:
    """A copy of a page in which the data of these ids is another."""
    text = file.read_text("utf-8")
    for name, content in blocks.items():
        before = f' id="{name}">{block(file, name)}</script>'
        assert text.count(before) == 1
        text = text.replace(before, f' id="{name}">{content}</script>')
    to.write_text(text, "utf-8")
    return to


def block(file: Path, name: str) -> str:
    """The data of this id in a page."""
    found: Any = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', file.read_text("utf-8"), re.S)
    return str(found[1])


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
