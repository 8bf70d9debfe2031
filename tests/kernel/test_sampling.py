from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.kernel.sampling import Sampler, draw, min_p, next_probabilities, top_k, top_p
from charloom.settings import SamplingSettings

P = np.array([[0.1, 0.4, 0.05, 0.25, 0.2]])


def distribution(logits: list[float], unknown_id: int | None = None, **settings: Any) -> list[float]:
    row = np.array([logits], dtype=np.float32)
    probabilities: list[float] = next_probabilities(row, SamplingSettings(**settings), unknown_id)[0].tolist()
    return probabilities


logits_rows = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20)


@st.composite
def rows(draw: st.DrawFn) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    weights = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
    return np.array([weights], dtype=np.float64) / sum(weights)


def share_of(weights: Any) -> Any:
    return weights / weights.sum(axis=-1, keepdims=True)


def test_softmax_by_hand() -> None:
    np.testing.assert_allclose(distribution(np.log([1.0, 2.0, 5.0]).tolist(), temperature=1), [0.125, 0.25, 0.625])
    assert distribution([1e5, 1e5], temperature=1) == [0.5, 0.5]
    assert distribution([-3e38, 0.0], temperature=1) == [0, 1]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [0, 1, 0, 0, 0]),
        (2, [0, 8 / 13, 0, 5 / 13, 0]),
        (4, [2 / 19, 8 / 19, 0, 5 / 19, 4 / 19]),
        (5, [0.1, 0.4, 0.05, 0.25, 0.2]),
        (99, [0.1, 0.4, 0.05, 0.25, 0.2]),
    ],
)
def test_top_k_by_hand(k: int, expected: list[float]) -> None:
    np.testing.assert_allclose(share_of(top_k(P, k)), [expected])


def test_rows_have_numbers_of_their_own() -> None:
    two = np.concatenate([P, P])
    np.testing.assert_allclose(top_k(two, [1, 2]), [[0, 0.4, 0, 0, 0], [0, 0.4, 0, 0.25, 0]])
    np.testing.assert_allclose(top_p(two, [0.39, 0.41]), [[0, 0.4, 0, 0, 0], [0, 0.4, 0, 0.25, 0]])
    np.testing.assert_allclose(min_p(two, [0.6, 1]), [[0, 0.4, 0, 0.25, 0], [0, 0.4, 0, 0, 0]])


def test_top_k_of_equals_takes_the_lowest_ids() -> None:
    np.testing.assert_allclose(share_of(top_k(np.full((1, 4), 0.25), 2)), [[0.5, 0.5, 0, 0]])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1.0, [0.1, 0.4, 0.05, 0.25, 0.2]),
        (0.01, [0, 1, 0, 0, 0]),
        (0.39, [0, 1, 0, 0, 0]),
        (0.41, [0, 8 / 13, 0, 5 / 13, 0]),
        (0.64, [0, 8 / 13, 0, 5 / 13, 0]),
        (0.66, [0, 8 / 17, 0, 5 / 17, 4 / 17]),
        (0.94, [2 / 19, 8 / 19, 0, 5 / 19, 4 / 19]),
        (0.96, [0.1, 0.4, 0.05, 0.25, 0.2]),
    ],
)
def test_top_p_by_hand(p: float, expected: list[float]) -> None:
    np.testing.assert_allclose(share_of(top_p(P, p)), [expected])


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, [0.1, 0.4, 0.05, 0.25, 0.2]),
        (0.2, [2 / 19, 8 / 19, 0, 5 / 19, 4 / 19]),
        (0.5, [0, 8 / 17, 0, 5 / 17, 4 / 17]),
        (0.6, [0, 8 / 13, 0, 5 / 13, 0]),
        (1, [0, 1, 0, 0, 0]),
    ],
)
def test_min_p_by_hand(share: float, expected: list[float]) -> None:
    np.testing.assert_allclose(share_of(min_p(P, share)), [expected])


@given(rows(), st.integers(1, 25))
def test_top_k_keeps_exactly_k(row: Any, k: int) -> None:
    row = (row + 1e-3) / (row + 1e-3).sum()  # all above zero, so that what is kept can be counted
    kept = share_of(top_k(row, k))
    assert np.count_nonzero(kept) == min(k, row.size)
    assert kept.sum() == pytest.approx(1)
    if k < row.size:
        assert row[kept > 0].min() >= row[kept == 0].max()


@given(rows(), st.floats(0.001, 1))
def test_top_p_keeps_the_fewest_that_reach_p(row: Any, p: float) -> None:
    kept = share_of(top_p(row, p))
    chosen = row[kept > 0]
    assert kept.sum() == pytest.approx(1)
    assert chosen.sum() >= p - 1e-9
    assert p == 1 or chosen.sum() - chosen.min() < p + 1e-9, "one fewer would have been enough"
    if np.any(kept == 0):
        assert chosen.min() >= row[kept == 0].max()
    np.testing.assert_allclose(kept[kept > 0], chosen / chosen.sum())


@given(rows(), st.floats(0, 1))
def test_min_p_keeps_those_above_the_share(row: Any, share: float) -> None:
    kept = share_of(min_p(row, share))
    assert kept.sum() == pytest.approx(1)
    assert kept.argmax() == row.argmax()
    for before, after in zip(row[0], kept[0], strict=True):
        assert (after > 0) == (before > 0 and before >= share * row.max())


@given(
    logits_rows,
    st.floats(0, 1000),
    st.integers(0, 25),
    st.floats(0.001, 1),
    st.floats(0, 1),
)
def test_every_setting_gives_a_distribution_without_the_unknown(
    logits: list[float], temperature: float, k: int, p: float, share: float
) -> None:
    probabilities = np.array(distribution(logits, 0, temperature=temperature, top_k=k, top_p=p, min_p=share))
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.min() >= 0
    assert probabilities[0] == 0
    unfiltered = distribution(logits, 0, temperature=temperature)
    assert unfiltered[int(probabilities.argmax())] == max(unfiltered), "the likeliest stays the likeliest"


def test_filters_work_in_the_documented_order() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1]).tolist()
    # Temperature 0.5 squares: 16 9 4 1. Top-k 3 leaves 16 9 4; of 29, top-p 0.8 leaves 16 9.
    expected = [16 / 25, 9 / 25, 0, 0]
    np.testing.assert_allclose(distribution(logits, temperature=0.5, top_k=3, top_p=0.8), expected, atol=1e-6)
    # Had top-p come first (16 + 9 = 25 of 30 = 0.83 < 0.84), a third would have been kept; after top-k
    # (25 of 29 = 0.86) two are enough.
    np.testing.assert_allclose(distribution(logits, temperature=0.5, top_k=3, top_p=0.84), expected, atol=1e-6)
    # Without it, the third is needed.
    three = [16 / 29, 9 / 29, 4 / 29, 0]
    np.testing.assert_allclose(distribution(logits, temperature=0.5, top_p=0.84), three, atol=1e-6)


def test_temperature() -> None:
    logits = np.log([0.5, 0.3, 0.2]).tolist()
    np.testing.assert_allclose(distribution(logits, temperature=1), [0.5, 0.3, 0.2], atol=1e-6)
    np.testing.assert_allclose(distribution(logits, temperature=1000), [1 / 3] * 3, atol=1e-3)
    assert distribution(logits, temperature=0, top_k=3) == [1, 0, 0]
    assert distribution([1, 5, 5, 2], temperature=0) == [0, 1, 0, 0], "of equals the lowest"
    assert distribution([9, 5, 5, 2], 0, temperature=0) == [0, 1, 0, 0]


@pytest.mark.parametrize("temperature", [1e-9, 1e-300, 5e-324])
def test_a_temperature_of_almost_nothing_is_the_likeliest(temperature: float) -> None:
    assert distribution([9, 3, 7, -2], 0, temperature=temperature) == [0, 0, 1, 0]
    assert distribution([-9, -3, -7, -2], temperature=temperature) == [0, 0, 0, 1]


def test_draw_follows_the_frequencies() -> None:
    expected = np.array([0.0, 0.5, 0.05, 0.0, 0.3, 0.15, 0.0])
    n = 20_000
    uniforms = np.random.default_rng(0).random(n)
    counts = np.bincount(draw(np.tile(expected, (n, 1)), uniforms), minlength=7)
    assert counts[expected == 0].sum() == 0
    likely = expected > 0
    chi_square = (((counts - n * expected)[likely]) ** 2 / (n * expected)[likely]).sum()
    assert chi_square < 16.3  # 3 degrees of freedom: exceeded once in a thousand


def test_draw_inverts_the_cumulative_distribution() -> None:
    probabilities = np.tile([0.0, 0.25, 0.5, 0.0, 0.25, 0.0], (7, 1))
    uniforms = np.array([0.0, 0.24999, 0.25, 0.74999, 0.75, 0.99999, np.nextafter(1, 0)])
    assert draw(probabilities, uniforms).tolist() == [1, 1, 2, 2, 4, 4, 4]


@given(rows(), st.floats(0, 1, exclude_max=True))
def test_draw_never_takes_the_impossible(row: Any, uniform: float) -> None:
    for number in (uniform, 0.0, float(np.nextafter(1, 0))):
        (token,) = draw(row, np.array([number]))
        assert row[0, token] > 0


settings = st.builds(
    SamplingSettings,
    temperature=st.sampled_from([0, 0.5, 0.8, 1, 3]),
    top_k=st.sampled_from([0, 1, 3, 50]),
    top_p=st.sampled_from([0.2, 0.9, 1]),
    min_p=st.sampled_from([0, 0.1, 1]),
)


@given(st.lists(settings, min_size=1, max_size=9), st.integers(2, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_a_row_gets_the_same_bits_whatever_its_neighbours(
    rows: list[SamplingSettings], size: int, seed: int, constrained: bool
) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (len(rows), size)).astype(np.float32)
    allowed = None
    if constrained:
        allowed = generator.random((len(rows), size)) < 0.5
        allowed[:, 1] = True
    together = Sampler(rows, 0).weights(logits, allowed)
    for index, row in enumerate(rows):
        mask = None if allowed is None else allowed[index : index + 1]
        alone = Sampler([row], 0).weights(logits[index : index + 1], mask)
        assert np.array_equal(alone[0], together[index])
    if allowed is not None:
        assert np.all(together[~allowed] == 0)


def test_settings_that_switch_a_filter_off_leave_every_bit() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 30)).astype(np.float32)
    plain = Sampler([SamplingSettings(temperature=1)] * 3, None).weights(logits)
    exact = logits.astype(np.float64)
    np.testing.assert_allclose(plain, np.exp(exact - exact.max(axis=-1, keepdims=True)), rtol=1e-15)
