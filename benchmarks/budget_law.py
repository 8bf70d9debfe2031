"""Does the law by which a budget chooses a size agree with what was measured?

    python benchmarks/budget_law.py

Prints the runs that the constants in `charloom.training.budget` were fitted to (least squares, runs above 1.6 nats
weighted 0.4) beside what the law says of them. All: tiny Shakespeare, one LSTM layer, embedding 64, 16 rows × 100,
Muon, learning rate 0.0045 · √(512 / H), no dropout, one seed; loss by `stateful` on the last tenth, 0.017 less than by
`windows-256` where only that was measured. What repeated text is worth, 13.0, was fitted to twenty runs with AdamW.
"""

from __future__ import annotations

from charloom.bundle import ModelShape
from charloom.training.budget import predicted_loss

CHARACTERS = 1_003_854
RUNS = [  # hidden units, characters read, loss
    (64, 500_000, 1.959), (128, 500_000, 1.873),
    (64, 2_000_000, 1.7747), (192, 2_000_000, 1.5641), (384, 2_000_000, 1.500),
    (256, 4_000_000, 1.4784), (128, 7_009_000, 1.5260),
]  # fmt: skip


def main() -> None:
    """Print measured and predicted losses."""
    print(f"{'units':>6}{'parameters':>12}{'read':>12}{'measured':>10}{'law':>9}{'off':>9}")
    for hidden_size, read, measured in RUNS:
        shape = ModelShape(
            cell="lstm", num_layers=1, hidden_size=hidden_size, embedding_size=64, dropout=0, vocab_size=66
        )
        law = predicted_loss(shape.parameters, read, CHARACTERS)
        print(f"{hidden_size:>6}{shape.parameters:>12,}{read:>12,}{measured:>10.4f}{law:>9.4f}{law - measured:>+9.4f}")


if __name__ == "__main__":
    main()
