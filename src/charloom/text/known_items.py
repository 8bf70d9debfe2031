"""Which items a list has, without the list: by hashes, so that a model can leave out what it learned."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

MOST_KNOWN = 10_000_000
"""Items of a list that is kept, at most: 40 MB."""
_BYTES = 4


class KnownItems:
    """The items of a list, by hashes of 32 bits.

    They answer whether an item is on the list and cannot be read; who guesses an item can check it. Of items that are
    not on a list of N, one in 2^32 / N is taken for one that is.
    """

    def __init__(self, content: bytes) -> None:
        """Read what `content` wrote."""
        self._hashes = np.frombuffer(content[: len(content) // _BYTES * _BYTES], "<u4")

    @classmethod
    def of(cls, items: Iterable[str]) -> KnownItems:
        """Know these items."""
        hashes = b"".join(map(_hash, items))
        return cls(np.unique(np.frombuffer(hashes, "<u4")).tobytes())

    @property
    def content(self) -> bytes:
        """The hashes, in order, 4 bytes each, the least significant first."""
        return self._hashes.tobytes()

    def __len__(self) -> int:
        """How many hashes there are."""
        return len(self._hashes)

    def __contains__(self, item: object) -> bool:
        """Whether an item is on the list."""
        if not isinstance(item, str):
            return False
        wanted: NDArray[np.uint32] = np.frombuffer(_hash(item), "<u4")
        place = int(np.searchsorted(self._hashes, wanted[0]))
        return place < len(self._hashes) and self._hashes[place] == wanted[0]


def _hash(item: str) -> bytes:
    return blake2b(item.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
