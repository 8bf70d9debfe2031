"""A plain network over a few characters, unrolled: what it reads, expects and pays, and the gradient on its way back.

Legend: T steps, U units, V characters, K distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from charloom.bundle import ModelDirectory
from charloom.runtime.activations import activations
from charloom.runtime.session import initial_state, open_session
from charloom.training.model import CharacterModel
from figures import moving, style
from figures.gradients import gradient_norms

BEFORE = "That I'll try.\n\nPETRUCHIO:\n"  # held-out text, which sets the state
READ = "I swear "  # a step each
NEXT = "I"
UNITS = 6
GUESSES = 3


@dataclass(frozen=True)
class Step:
    """One character: what is read, what the network makes of it, what comes.

    Attributes:
        read: the character.
        state: values of a few units after it, from −1 to 1.
        guesses: the likeliest next characters with their probabilities.
        came: the next character.
        bits: what that cost.
        gradient: the norm of the gradient of the last step's loss at this state, as a share of that at the last state.
    """

    read: str
    state: list[float]
    guesses: list[tuple[str, float]]
    came: str
    bits: float
    gradient: float


def steps(directory: ModelDirectory) -> list[Step]:
    """What the network does with READ."""
    vocabulary = directory.vocabulary
    ids = vocabulary.encode(BEFORE + READ)
    session = open_session(directory, "float32")
    logits, _ = session.run(np.array([vocabulary.opening_id, *ids])[:, None], initial_state(session.shape, 1))
    logits = logits[-len(READ) :, 0].astype(float)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    hidden = activations(session, vocabulary, ids, units=range(session.shape.hidden_size)).values[-len(READ) :]
    units = sorted(np.argsort(-hidden.std(axis=0), kind="stable")[:UNITS])
    shares = _gradient_shares(directory)
    made = []
    for at, (read, came) in enumerate(zip(READ, READ[1:] + NEXT, strict=True)):
        ranked = np.argsort(-probabilities[at], kind="stable")
        likeliest = [int(token) for token in ranked if token != vocabulary.unknown_id][:GUESSES]
        guesses = [(vocabulary.decode(np.array([token])), float(probabilities[at, token])) for token in likeliest]
        bits = -float(np.log2(probabilities[at, vocabulary.encode(came)[0]]))
        made.append(Step(read, hidden[at, units].tolist(), guesses, came, bits, shares[at]))
    return made


def _gradient_shares(directory: ModelDirectory) -> list[float]:
    """The gradient at each step's state (T,), as a share of the last one's."""
    vocabulary = directory.vocabulary
    model = CharacterModel(directory.config.model).double().eval()
    model.load_state_dict(load_tensors(directory.read_weights()))
    window = torch.tensor([vocabulary.opening_id, *vocabulary.encode(BEFORE + READ + NEXT)])[:, None]
    norms = gradient_norms(model, window, len(READ))[0]
    return [float(norm / norms[0]) for norm in reversed(norms)]


WIDTH, LEFT, TOP = 96, 132, 150  # of a step; of the first; of the states
FORWARD, BACK, SECONDS = 1.0, 0.7, 18.0  # seconds a step, and of the loop


def draw(found: list[Step]) -> bytes:
    """A column for each step, which come one after the other; then the gradient, from right to left."""
    count = len(found)
    rules, parts = [], _labels()
    for at, step in enumerate(found):
        rules.append(moving.appearing(f"c{at}", at * FORWARD, SECONDS))
        parts.append(f'<g class="c{at}">' + "".join(_column(at, step)) + "</g>")
    for at in range(count - 1, -1, -1):
        rules.append(moving.appearing(f"g{at}", count * FORWARD + 0.6 + (count - 1 - at) * BACK, SECONDS))
        parts.append(f'<g class="g{at}">' + "".join(_gradient(at, found[at].gradient, last=at == count - 1)) + "</g>")
    costs = [f"after {moving.shown(s.read)} came {moving.shown(s.came)} and cost {s.bits:.1f} bits" for s in found]
    first = f"{found[0].gradient:.1%} of the last cost's gradient at the last state arrives at the first"
    said = "; ".join([*costs, first])
    return moving.picture(LEFT + WIDTH * count, 380, "A recurrent network, unrolled", said, "".join(rules), parts)


def _labels() -> list[str]:
    rows = (
        (28, "what it cost"),
        (52, "what came"),
        (84, "what it expected"),
        (TOP + 44, "its state h"),
        (284, "what it reads"),
    )
    parts = [moving.text(12, y, words, anchor="start") for y, words in rows]
    return [
        *parts,
        moving.text(12, 326, "the gradient of the", "s", "start"),
        moving.text(12, 342, "last cost, backwards", "s", "start"),
    ]


def _column(at: int, step: Step) -> list[str]:
    x = LEFT + at * WIDTH
    middle = x + 34
    parts = [
        moving.text(middle, 28, f"{step.bits:.1f} bits"),
        moving.text(middle, 54, moving.shown(step.came), "m b"),
        moving.arrow(middle, TOP - 8, middle, TOP - 26),
        moving.arrow(middle, 264, middle, TOP + 6 * 14 + 8),
        moving.text(middle, 288, moving.shown(step.read), "m b"),
    ]
    for row, (character, share) in enumerate(step.guesses):
        y = 70 + row * 18
        colour = style.BLUE if character == step.came else style.GREY
        parts += [
            moving.box(x + 14, y, 36 * share, 13, colour, 0.5),
            moving.text(x + 4, y + 11, moving.shown(character), "m"),
        ]
        parts.append(moving.text(x + 76, y + 11, f"{share:.0%}", "s", "end"))
    for row, value in enumerate(step.state):
        colour = style.BLUE if value > 0 else style.ORANGE
        parts.append(moving.box(middle - 22, TOP + row * 14, 44, 13, style.FAINT))
        parts.append(moving.box(middle - 22, TOP + row * 14, 44, 13, colour, abs(value)))
    if at:
        parts.append(moving.arrow(x - WIDTH + 60, TOP + 42, x + 8, TOP + 42))
    return parts


def _gradient(at: int, share: float, *, last: bool) -> list[str]:
    """How much arrives at a step's state, and the way to it from the next."""
    middle = LEFT + at * WIDTH + 34
    label = f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"
    parts = [moving.text(middle, 362, label, "s")]
    if last:
        return [moving.arrow(middle, 296, middle, 322, 12, style.ORANGE), *parts]
    return [moving.arrow(middle + WIDTH - 14, 334, middle + 8, 334, max(0.5, 12 * share), style.ORANGE), *parts]


def figures(found: list[Step]) -> dict[str, object]:
    """The numbers that the pages speak of."""
    return {
        "text": READ + NEXT,
        "bits": [round(step.bits, 2) for step in found],
        "gradient at the first state": float(f"{found[0].gradient:.2g}"),
    }
