from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CorpusError
from charloom.settings import TrainingSettings
from charloom.text.prepared import map_ids
from charloom.training.batches import NO_TARGET, ItemBatches, RingBatches, fit_batch


@st.composite
def rings(draw: st.DrawFn) -> RingBatches:
    """Rings whose ids are their own places, so that a window says where it was cut."""
    batch = draw(st.integers(1, 9))
    characters = draw(st.integers(batch, 400))
    bptt = draw(st.integers(1, 60))
    return RingBatches(np.arange(characters), batch, bptt, draw(st.integers(0, 2**63 - 1)))


def size(ring: RingBatches) -> int:
    return ring._length


@given(rings(), st.integers(0, 5))
def test_windows_are_contiguous_and_targets_are_the_inputs_shifted(ring: RingBatches, epoch: int) -> None:
    n = size(ring)
    for index in range(ring.windows_per_epoch):
        inputs, targets = ring.window(epoch, index)
        assert inputs.shape == targets.shape
        assert inputs.shape[1] == ring.batch_size
        assert inputs.size == ring.characters(index)
        np.testing.assert_array_equal(targets, (inputs + 1) % n)
        np.testing.assert_array_equal(inputs[1:], targets[:-1])


@given(rings(), st.integers(0, 5))
def test_each_row_goes_on_where_it_ended(ring: RingBatches, epoch: int) -> None:
    last = None
    for index in range(ring.windows_per_epoch):
        inputs, targets = ring.window(epoch, index)
        if last is not None:
            np.testing.assert_array_equal(inputs[0], last)
        last = targets[-1]


@given(rings(), st.integers(0, 5))
def test_an_epoch_predicts_every_character_once_but_n_mod_b(ring: RingBatches, epoch: int) -> None:
    n = size(ring)
    predicted = Counter(
        int(place) for index in range(ring.windows_per_epoch) for place in ring.window(epoch, index)[1].flatten()
    )
    assert set(predicted.values()) == {1}
    assert len(predicted) == n - n % ring.batch_size
    assert sum(map(ring.characters, range(ring.windows_per_epoch))) == len(predicted)


@given(st.integers(1, 9), st.integers(1, 500), st.integers(1, 60))
def test_windows_are_of_equal_length_and_at_most_bptt(batch: int, row: int, bptt: int) -> None:
    ring = RingBatches(np.arange(batch * row), batch, bptt, 0)
    lengths = {len(ring.window(0, index)[0]) for index in range(ring.windows_per_epoch)}
    assert max(lengths) <= bptt
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


def test_epochs_begin_at_different_places_and_each_seed_at_its_own() -> None:
    def starts(seed: int) -> list[int]:
        ring = RingBatches(np.arange(10_000), 4, 50, seed)
        return [int(ring.window(epoch, 0)[0][0, 0]) for epoch in range(8)]

    assert len(set(starts(1))) == 8
    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def settings(batch_size: int, bptt: int) -> TrainingSettings:
    return TrainingSettings(batch_size=batch_size, bptt=bptt)


@pytest.mark.parametrize(
    ("characters", "explicit", "expected"),
    [
        (1_600, set(), (16, 100)),  # exactly enough
        (1_599, set(), (15, 100)),
        (350, set(), (3, 100)),
        (99, set(), (1, 99)),
        (1, set(), (1, 1)),
        (350, {"batch_size"}, (16, 21)),
        (350, {"bptt"}, (3, 100)),
    ],
)
def test_fit_batch(characters: int, explicit: set[str], expected: tuple[int, int]) -> None:
    fitted = fit_batch(characters, settings(16, 100), frozenset(explicit))
    assert (fitted.batch_size, fitted.bptt) == expected


@pytest.mark.parametrize(
    ("characters", "explicit", "message"),
    [
        (
            350,
            {"batch_size", "bptt"},
            "350 characters to train on are too few for 16 rows of 100: 1,600 are needed; "
            "--batch-size 3 or --bptt 21 would fit",
        ),
        (
            99,
            {"bptt"},
            "99 characters to train on are too few for 1 rows of 100: 100 are needed; --bptt 99 would fit",
        ),
        (
            9,
            {"batch_size", "bptt"},
            "9 characters to train on are too few for 16 rows of 100: 1,600 are needed; use a longer text",
        ),
    ],
)
def test_fit_batch_says_what_would_fit(characters: int, explicit: set[str], message: str) -> None:
    with pytest.raises(CorpusError) as caught:
        fit_batch(characters, settings(16, 100), frozenset(explicit))
    assert str(caught.value) == message


@given(st.integers(1, 5_000), st.integers(1, 64), st.integers(1, 200))
def test_what_fits_is_enough_and_never_more_than_asked(characters: int, batch: int, bptt: int) -> None:
    fitted = fit_batch(characters, settings(batch, bptt), frozenset())
    assert fitted.batch_size * fitted.bptt <= max(characters, 1)
    assert fitted.batch_size <= batch
    assert fitted.bptt <= bptt


@pytest.mark.parametrize("cuts", [[], [1, 700, 702, 4_990]])
def test_windows_of_a_mapped_file_are_those_of_the_memory(cuts: list[int], tmp_path: Path) -> None:
    """Also where the text is in parts, some of them shorter than a window."""
    ids = np.random.default_rng(1).integers(0, 300, 5_000).astype("<u2")
    (tmp_path / "ids.bin").write_bytes(ids.tobytes())
    mapped = RingBatches(np.split(map_ids(tmp_path / "ids.bin", "uint16")[1:], cuts), 300, 4, 1)
    held = RingBatches(ids[1:], 300, 4, 1)
    for index in range(held.windows_per_epoch):
        for ours, expected in zip(mapped.window(2, index), held.window(2, index), strict=True):
            np.testing.assert_array_equal(ours, expected)


lists_of_items = st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=12), min_size=2, max_size=80).map(
    lambda items: [np.array([*item, 1]) for item in items]
)


@given(lists_of_items, st.integers(1, 8), st.integers(1, 30), st.integers(0, 2**32), st.integers(0, 5))
def test_every_item_is_in_one_row_of_an_epoch(
    items: list[Any], batch_size: int, bptt: int, seed: int, epoch: int
) -> None:
    batches = ItemBatches(np.concatenate(items), batch_size, bptt, seed)
    seen: Counter[tuple[int, ...]] = Counter()
    predicted = 0
    for index in range(batches.windows_per_epoch):
        inputs, targets = batches.window(epoch, index)
        assert inputs.shape == targets.shape
        assert (inputs[0] == 1).all(), "a line end"
        kept = targets[:-1] != NO_TARGET
        np.testing.assert_array_equal(inputs[1:][kept], targets[:-1][kept])
        for column in targets.T:
            row = column[column != NO_TARGET]
            assert (column[: len(row)] == row).all(), "what is empty comes last"
            predicted += len(row)
            seen.update(tuple(item.tolist()) for item in np.split(row, np.flatnonzero(row == 1)[:-1] + 1))
    assert seen == Counter(tuple(item.tolist()) for item in items)
    assert predicted == sum(map(len, items))
    assert sum(batches.characters(index) for index in range(batches.windows_per_epoch)) == predicted


def test_windows_of_items_are_full_and_of_one_size() -> None:
    generator = np.random.default_rng(3)
    items = [np.append(generator.integers(2, 20, size=size), 1) for size in generator.integers(2, 14, size=5_000)]
    batches = ItemBatches(np.concatenate(items), 16, 40, seed=0)
    windows = [batches.window(2, index)[1] for index in range(batches.windows_per_epoch)]
    counts = np.array([(window != NO_TARGET).sum() for window in windows])
    assert abs(counts - 640).max() < 80
    assert counts.sum() > 0.85 * sum(window.size for window in windows)
    again, later = (ItemBatches(np.concatenate(items), 16, 40, seed=0).window(epoch, 5)[1] for epoch in (2, 3))
    np.testing.assert_array_equal(again, windows[5])
    assert again.shape != later.shape or (again != later).any()
