"""Does the law by which a budget chooses a size agree with what was measured?

    python benchmarks/budget_law.py

Prints the runs that the constants in `charloom.training.budget` were fitted to (least squares, runs above 1.6 nats
weighted 0.4) beside what the law says of them. All: tiny Shakespeare, one LSTM layer, embedding 64, 16 rows × 100,
learning rate 0.003 · √(512 / H) but where noted, one seed; loss by `stateful` on the last tenth.
"""

from __future__ import annotations

from charloom.bundle import ModelShape
from charloom.training.budget import predicted_loss

WHOLE, PART = 1_003_854, 300_000  # different characters to train on; the part is the last of the whole
RUNS = [  # hidden units, characters, passes, loss; dropout 0.1 but where the comment says otherwise
    (128, WHOLE, 0.5, 1.9889), (256, WHOLE, 0.5, 1.9421), (512, WHOLE, 0.5, 1.8994),
    (128, WHOLE, 1, 1.8804), (256, WHOLE, 1, 1.8098), (512, WHOLE, 1, 1.7421),
    (128, WHOLE, 2, 1.7558), (256, WHOLE, 2, 1.6896), (512, WHOLE, 2, 1.5974),
    (128, WHOLE, 4, 1.6491), (256, WHOLE, 4, 1.5593), (512, WHOLE, 4, 1.4924),
    (128, WHOLE, 8, 1.5991), (256, WHOLE, 8, 1.4888),
    (256, WHOLE, 10, 1.4846),  # and input dropout 0.05, weight decay 0.05
    (384, WHOLE, 8, 1.4637),  # dropout 0.2, input dropout 0.05, weight decay 0.05
    (512, WHOLE, 3, 1.5377), (512, WHOLE, 10, 1.4342),  # dropout 0.3, a mask for every character
    (256, PART, 12, 1.6083),  # no dropout, learning rate 0.003
    (320, PART, 24, 1.5465),  # dropout 0.3, input dropout 0.1, learning rate 0.003
]  # fmt: skip


def main() -> None:
    """Print measured and predicted losses."""
    print(f"{'units':>6}{'parameters':>12}{'characters':>12}{'passes':>8}{'measured':>10}{'law':>9}{'off':>9}")
    for hidden_size, characters, passes, measured in RUNS:
        shape = ModelShape(
            cell="lstm", num_layers=1, hidden_size=hidden_size, embedding_size=64, dropout=0, vocab_size=66
        )
        law = predicted_loss(shape.parameters, passes * characters, characters)
        print(
            f"{hidden_size:>6}{shape.parameters:>12,}{characters:>12,}{passes:>8}{measured:>10.4f}"
            f"{law:>9.4f}{law - measured:>+9.4f}"
        )


if __name__ == "__main__":
    main()
