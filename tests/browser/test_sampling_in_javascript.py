"""The page's sampling and its random numbers are charloom's own, number for number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Error, Page

from charloom.kernel.sampling import Sampler, draw
from charloom.runtime.html import join_modules
from charloom.settings import SamplingSettings

SOURCE = join_modules("sampling.js")
NEXT = (
    f"([logits, settings, unknown, us]) => {{ {SOURCE}\nreturn us.map((u) => nextId(logits, settings, unknown, u)); }}"
)
UNIFORMS = f"""([seed, count]) => {{ {join_modules("random.js")}
const next = seededUniforms(seed); return Array.from({{ length: count }}, next); }}"""


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Any:
    page = browser.new_page()
    yield page
    page.close()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    logits=st.lists(st.one_of(st.floats(-30, 30, width=32), st.sampled_from([0.0, 1.0, 2.0])), min_size=3, max_size=40),
    temperature=st.sampled_from([0, 1e-300, 0.01, 0.5, 1, 3, 1000]),
    top_k=st.sampled_from([0, 1, 2, 5, 1000]),
    top_p=st.sampled_from([1e-6, 0.3, 0.5, 0.9, 1]),
    min_p=st.sampled_from([0, 0.05, 0.5, 1]),
    unknown=st.sampled_from([0, None]),
)
def test_the_filters_keep_what_pythons_keep(
    blank: Page, logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float, unknown: int | None
) -> None:
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    uniforms = np.random.default_rng(0).random(24)
    row = np.array([logits], dtype=np.float32)
    weights = Sampler([SamplingSettings.model_validate(options)], unknown).weights(row)
    expected = [int(draw(weights, uniforms[place : place + 1])[0]) for place in range(len(uniforms))]
    found = blank.evaluate(NEXT, [row[0].tolist(), options, unknown, uniforms.tolist()])
    assert found == expected


@pytest.mark.parametrize("seed", [0, 1, 7, 123_456_789, 2**32 - 1, 2**32, 2**53 - 1])
def test_a_seed_gives_numpys_numbers(blank: Page, seed: int) -> None:
    assert blank.evaluate(UNIFORMS, [seed, 1000]) == np.random.default_rng(seed).random(1000).tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0, 1])
def test_what_is_not_a_number_is_an_error(blank: Page, bad: float, temperature: float) -> None:
    rows = [[bad] * 3] if bad == -math.inf else [[1.0, bad, 0.5], [0.0, 1.0, bad]]
    options = {"temperature": temperature, "top_k": 0, "top_p": 1, "min_p": 0}
    for logits in rows:
        with pytest.raises(Error, match="the model gives no number"):
            blank.evaluate(NEXT, [logits, options, 0, [0.5]])
