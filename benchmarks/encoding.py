"""How fast is text turned into ids? Ours beside a Python loop over a dictionary, in one run on one core.

python benchmarks/encoding.py [FILE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from charloom.settings import CorpusSettings
from charloom.text.corpus import load_corpus
from charloom.text.vocabulary import CharacterVocabulary

CHARACTERS = 20_000_000


def rate(text: str, encode: Callable[[str], object]) -> float:
    """Characters a second: the best of three."""
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        encode(text)
        best = max(best, len(text) / (time.perf_counter() - started))
    return best


def main() -> None:
    corpus = load_corpus(sys.argv[1:] or ["python-docs"], CorpusSettings())
    ascii_text = "".join(character for character in corpus.text if character.isascii())
    print(f"{'text':<22}{'ours, M/s':>12}{'dictionary, M/s':>18}{'ratio':>8}")
    for name, text in (("ASCII", ascii_text), ("ASCII and three more", ascii_text + "é世😀")):
        text = text * (CHARACTERS // len(text) + 1)
        vocabulary = CharacterVocabulary.from_text(text)
        ids = {character: number for number, character in enumerate(vocabulary.characters, start=1)}
        ours = rate(text, vocabulary.encode)
        loop = rate(text[: CHARACTERS // 10], lambda part, ids=ids: [ids[character] for character in part])  # type: ignore[misc]
        print(f"{name:<22}{ours / 1e6:>12.0f}{loop / 1e6:>18.0f}{ours / loop:>8.1f}")


if __name__ == "__main__":
    main()
