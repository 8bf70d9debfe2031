"""What an LSTM's forget gates do along a sentence, computed from the weights in the model directory with numpy.

Legend: T time, E embedding, H hidden units, U chosen units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays

from charloom.bundle import ModelDirectory
from charloom.runtime.session import initial_state, open_session
from charloom.text.vocabulary import Ids
from figures import style

Values = NDArray[np.float64]

SENTENCE = "That I'll try.\n\nPETRUCHIO:\nI swear I'll cuff you, if you strike again."
STUDIED = 5_000  # characters of held-out text by which units are chosen


@dataclass(frozen=True)
class Pass:
    """An LSTM layer along a text.

    Attributes:
        forget: the forget gates, from 0 (all is forgotten) to 1 (all is kept), (T, H).
        hidden: the hidden states (T, H).
    """

    forget: Values
    hidden: Values


def read_by_hand(directory: ModelDirectory, ids: Ids) -> Pass:
    """The equations of a one-layer LSTM, in float64, from a zero state."""
    weights = {name: value.astype(np.float64) for name, value in load_arrays(directory.read_weights()).items()}
    inputs = weights["embedding.weight"] @ weights["recurrent.weight_ih_l0"].T  # (V, 4 H)
    inputs += weights["recurrent.bias_ih_l0"] + weights["recurrent.bias_hh_l0"]
    recurrent = weights["recurrent.weight_hh_l0"].T  # (H, 4 H)
    hidden = cell = np.zeros(directory.config.model.hidden_size)
    forgets, hiddens = [], []
    for token in ids:
        i, f, g, o = np.split(inputs[token] + hidden @ recurrent, 4)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        hidden = _sigmoid(o) * np.tanh(cell)
        forgets.append(_sigmoid(f))
        hiddens.append(hidden)
    return Pass(np.array(forgets), np.array(hiddens))


def largest_difference(directory: ModelDirectory, ids: Ids, found: Pass) -> float:
    """How far the hidden states are from those of the float32 network that the runtime runs."""
    session = open_session(directory, "float32")
    state, largest = initial_state(session.shape, 1), 0.0
    for token, hidden in zip(ids, found.hidden, strict=True):
        _, state = session.run(np.array([[token]]), state)
        largest = max(largest, float(np.abs(state[0][0] - hidden).max()))
    return largest


def choose_units(directory: ModelDirectory, held_out: Ids) -> list[tuple[int, str]]:
    """Units with what they were chosen for: two by each of three questions, the strongest first."""
    ids = held_out[:STUDIED]
    forget = read_by_hand(directory, ids).forget
    characters = np.array([directory.vocabulary.decode(ids[at : at + 1]) for at in range(len(ids))])
    letter = np.char.isalpha(characters)
    chosen: list[tuple[int, str]] = []
    for why, order in (
        ("keeps most", forget.mean(axis=0)),
        ("forgets at a space", forget[letter].mean(axis=0) - forget[characters == " "].mean(axis=0)),
        ("forgets at a line's end", forget[letter].mean(axis=0) - forget[characters == "\n"].mean(axis=0)),
    ):
        taken = {unit for unit, _ in chosen}
        ranked = [int(unit) for unit in np.argsort(-order, kind="stable") if int(unit) not in taken]
        chosen.extend((unit, why) for unit in ranked[:2])
    return chosen


def draw(sentence: str, forget: Values, units: list[tuple[int, str]]) -> bytes:
    """One line a unit: its forget gate (T, H) after each character of the sentence."""
    with style.figure(8.2, 4.6) as figure:
        every = figure.subplots(len(units), 1, sharex=True)
        places = np.arange(len(sentence))
        for axes, (unit, why) in zip(every, units, strict=True):
            axes.fill_between(places, forget[:, unit], step="mid", color=style.BLUE, alpha=0.3, linewidth=0)
            axes.step(places, forget[:, unit], where="mid", color=style.BLUE, linewidth=1.2)
            axes.set_ylim(0, 1.05)
            axes.set_yticks([0, 1])
            axes.set_title(f"unit {unit}: {why}", fontsize=8.5)
            axes.set_xlim(-0.6, len(sentence) - 0.4)
            axes.grid(axis="y", linewidth=0.8)
            axes.tick_params(bottom=False, labelbottom=axes is every[-1])
        shown = ["⏎" if character == "\n" else character for character in sentence]
        every[-1].set_xticks(places, shown, fontsize=8, family="monospace")
        return style.svg(figure, "Forget gates along a sentence")


def figures(forget: Values, units: list[tuple[int, str]], difference: float) -> dict[str, object]:
    """The numbers that the pages speak of."""
    means = {f"unit {unit}, {why}": round(float(forget[:, unit].mean()), 3) for unit, why in units}
    return {"mean forget gate": means, "largest difference from the runtime's states": float(f"{difference:.1g}")}


def _sigmoid(values: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-values)))
