from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charloom.runtime.prompts import Prefix, PrefixCache

prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=30)


def put(cache: PrefixCache, ids: list[int]) -> None:
    mark = np.array([[sum(token * 3**place for place, token in enumerate([*ids, 1]))]], dtype=np.float32)
    cache.put(np.array(ids), mark, (mark,))


def cost(entries: int) -> int:
    return entries * Prefix(1, np.zeros((1, 1), np.float32), (np.zeros((1, 1), np.float32),)).bytes


@given(prompts, st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_the_longest_beginning_is_found(kept: list[list[int]], wanted: list[int]) -> None:
    cache = PrefixCache(1 << 20)
    for ids in kept:
        put(cache, ids)
    found = cache.longest(np.array(wanted, dtype=np.uint8))
    lengths = [len(ids) for ids in kept if wanted[: len(ids)] == ids]
    assert (found.length if found else 0) == max(lengths, default=0)
    if found:
        expected = sum(token * 3**place for place, token in enumerate([*wanted[: found.length], 1]))
        assert found.logits[0, 0] == expected == found.state[0][0, 0]


@given(prompts, st.integers(0, 5))
def test_the_bytes_are_bounded_and_counted(kept: list[list[int]], entries: int) -> None:
    cache = PrefixCache(cost(entries))
    for ids in kept:
        put(cache, ids)
        assert cache.bytes == cost(len(cache)) <= cost(entries)
    assert len(cache) == min(entries, len({tuple(ids) for ids in kept}))


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = PrefixCache(cost(2))
    put(cache, [1])
    put(cache, [2])
    assert cache.longest(np.array([1, 1])) is not None
    put(cache, [0])
    assert cache.longest(np.array([2, 2])) is None
    assert cache.longest(np.array([1])) is not None
    assert (cache.hits, cache.misses) == (2, 1)


def test_ids_of_any_width_are_the_same_prompt() -> None:
    cache = PrefixCache(1 << 20)
    cache.put(np.array([1, 2], dtype=np.uint8), np.zeros((1, 1), np.float32), ())
    assert cache.longest(np.array([1, 2, 3], dtype=np.int64)) is not None
    assert cache.longest(np.array([1, 258], dtype=np.int64)) is None
