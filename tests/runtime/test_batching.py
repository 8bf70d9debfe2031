"""The engine: the same texts as alone, in bounded company, and no text harms another."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charloom
from charloom.errors import BusyError, CharloomError, UsageError
from charloom.runtime.continuation import Continuation
from charloom.runtime.engine import Engine
from charloom.runtime.logprobs import log_probabilities
from charloom.runtime.prompts import PromptReader
from charloom.runtime.rows import Row
from charloom.runtime.session import Logits, Session, State, initial_state
from charloom.settings import SamplingSettings, validate
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Ids
from tests.fakes import FakeSession, cycle

LETTERS = CharacterVocabulary("abcde\n")
PROMPTS = ["", "The ", "the statement", "a", "class C:\n    def __init__(self):\n", "x" * 300, "É and \N{SNOWMAN}"]


def engine_of(session: Session, **limits: Any) -> Engine:
    return Engine(session, LETTERS, lambda prompt, options: (prompt, validate(SamplingSettings, options)), **limits)


class Gated(Session):
    """A session that runs only while its gate is open, and counts what it was asked."""

    def __init__(self, inner: FakeSession) -> None:
        self.shape = inner.shape
        self.inner = inner
        self.gate = threading.Event()
        self.failing = False

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        assert self.gate.wait(30)
        if self.failing:
            raise RuntimeError("no such\nluck")
        return self.inner.run(ids, state)


@pytest.fixture
def gated() -> Iterator[Gated]:
    session = Gated(cycle(LETTERS.size))
    yield session
    session.gate.set()


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread, not for ever."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never came")


# --- the same text, whatever else is written


def options_of(seed: int) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {}, {"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.05}, {"temperature": 0}, {"regex": "([a-z]+ )*"},
    ]  # fmt: skip
    return {"seed": seed, "length": 200, "temperature": 1, **kinds[seed % len(kinds)]}


def test_a_seeded_text_is_the_same_alone_and_among_63_others(trained: Path) -> None:
    """32 seeds of 200 characters: however the prompts are cut, and whether or not their beginning is remembered."""
    model = charloom.load(trained, precision="int8")
    seeds = range(32)
    prompts = [PROMPTS[seed % len(PROMPTS)] for seed in seeds]
    alone = [model.generate(prompt, **options_of(seed)).text for seed, prompt in zip(seeds, prompts, strict=True)]
    assert len(set(alone)) > 25
    for chunk, cache_bytes in ((1, 0), (7, 1 << 20), (128, 64 << 20)):
        with model.engine(max_rows=64, prompt_chunk=chunk, cache_bytes=cache_bytes) as engine:
            for _ in range(2):  # the second time from the cache, where there is one
                others = [engine.submit("in the way", length=50 + 7 * place, seed=place) for place in range(32)]
                ours = [engine.submit(prompt, **options_of(seed)) for seed, prompt in zip(seeds, prompts, strict=True)]
                assert [one.result(60).text for one in ours] == alone
                for other in others:
                    other.cancel()
            assert (engine.status().cache_hits > 32) == bool(cache_bytes)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_one_text_at_a_time_is_what_generate_writes(trained: Path, precision: Any) -> None:
    model = charloom.load(trained, precision=precision)
    with model.engine(prompt_chunk=1024) as engine:
        for seed, prompt in enumerate(PROMPTS):
            found, expected = (
                engine.submit(prompt, seed=seed, length=60).result(60),
                model.generate(prompt, seed=seed, length=60),
            )
            assert (found.text, found.prompt, found.unknown) == (expected.text, prompt, expected.unknown)
            assert (found.finish_reason, found.characters, found.seed) == ("length", 60, seed)


def test_stops_and_samples(trained: Path) -> None:
    model = charloom.load(trained)
    with model.engine() as engine:
        together = engine.submit_samples("The ", 3, seed=4, length=40, stop=["e"])
        expected = model.generate_samples("The ", 3, seed=4, length=40, stop=["e"])
        assert [one.result(60).text for one in together] == [one.text for one in expected]
        assert [one.result(60).finish_reason for one in together] == [one.finish_reason for one in expected]


# --- prompts


def test_a_long_prompt_does_not_hold_up_the_others(gated: Gated) -> None:
    """Between any two steps of what is being written at most one piece of the prompt is read."""
    with engine_of(gated, prompt_chunk=10, cache_bytes=0) as engine, engine.submit("a", length=100_000_000) as short:
        gated.gate.set()
        next(iter(short))
        assert engine.submit("a" * 500, length=5).result(30).text == "bcde\n"
        assert not short.done
    pieces = [run[0] for run in gated.inner.runs]
    read = [place for place, length in enumerate(pieces) if length == 10]
    assert len(read) == 50
    assert max(pieces) == 10
    assert {second - first for first, second in itertools.pairwise(read)} == {2}, "a step of the other came between"


def test_prompts_are_read_side_by_side() -> None:
    session = cycle(LETTERS.size)
    reader = PromptReader(session, at_once=12)
    readings = [reader.begin(LETTERS.encode("abcde" * count)) for count in (1, 2, 3)]
    while any(reading.left for reading in readings):
        reader.advance(readings)
    assert session.runs == [(4, 3), (1, 3), (5, 2), (5, 1)]
    for reading, count in zip(readings, (1, 2, 3), strict=True):
        assert reading.state[0].tolist() == [[5 * count]]
        assert reading.logits is not None
        assert reading.logits.argmax() == 6


def test_what_was_read_is_not_read_again() -> None:
    session = cycle(LETTERS.size)
    with engine_of(session, cache_bytes=1 << 20) as engine:
        assert engine.submit("abcab", length=1).result(30).text == "c"
        assert session.runs == [(5, 1)]
        assert engine.submit("abcab", length=1).result(30).text == "c"
        assert session.runs == [(5, 1)], "a repeated prompt"
        assert engine.submit("abcabcde", length=1).result(30).text == "\n"
        assert session.runs == [(5, 1), (3, 1)], "a prompt that goes on"
        assert engine.submit("abca", length=1).result(30).text == "b"
        assert session.runs[2:] == [(4, 1)], "what is shorter has a state of its own"
        status = engine.status()
        assert (status.cache_hits, status.cache_misses, status.cached_prompts) == (2, 2, 3)


# --- limits


def test_the_queue_is_bounded(gated: Gated) -> None:
    with engine_of(gated, max_rows=2, max_queue=3) as engine:
        texts = [engine.submit("a", length=3)]
        until(lambda: engine.status().reading == 1)  # the second row may still be free when the network is held up
        texts += [engine.submit("a", length=3) for _ in range(4)]
        with pytest.raises(BusyError, match="3 requests are waiting already: try again later"):
            engine.submit("a", length=3)
        texts[-1].cancel()
        texts[-1] = engine.submit("a", length=3)  # a place that was given up is free
        gated.gate.set()
        assert [text.result(30).text for text in texts] == ["bcd"] * 5
        until(lambda: engine.status().writing == 0)


# --- rows are shared among requests

ENDLESS = 100_000_000


def test_a_request_for_many_texts_leaves_rows_to_others(gated: Gated) -> None:
    gated.gate.set()
    with engine_of(gated, max_rows=4) as engine:
        many = engine.submit_all(["a"] * 8, 8, length=ENDLESS)
        next(iter(many[0]))
        for length in (1, 20, 200):
            assert engine.submit("a", length=length).result(30).characters == length
        assert sum(len(text.text) > 0 for text in many) < 8, "texts do not begin before there are rows for them"
        engine.close(drain=False)


def test_where_more_requests_want_rows_than_there_are_they_take_turns(gated: Gated) -> None:
    gated.gate.set()
    with engine_of(gated, max_rows=4) as engine:
        many = [engine.submit("a", length=ENDLESS) for _ in range(11)]
        until(lambda: all(len(text.text) > 100 for text in many))
        assert engine.submit("a", length=20).result(30).characters == 20
        engine.close(drain=False)


def test_requests_get_the_same_whatever_they_ask_for(gated: Gated) -> None:
    """Of four rows a request for one text has one; requests for sixteen and for three share what is left."""
    with engine_of(gated, max_rows=5) as engine:
        asked = [engine.submit_all(["a"], count, length=ENDLESS) for count in (16, 3, 1)]
        gated.gate.set()
        until(lambda: len(asked[2][0].text) > 2000)
        engine.close(drain=False)
        many, some, one = (sum(len(text.text) for text in texts) for texts in asked)
    assert some / one == pytest.approx(2, rel=0.1)
    assert many / one == pytest.approx(2, rel=0.1)


def test_what_is_submitted_in_one_name_is_one_request(gated: Gated) -> None:
    with engine_of(gated, max_rows=2, max_queue=1) as engine:
        ours = [text for _ in range(8) for text in engine.submit_all(["a"], length=ENDLESS, share="ours")]
        theirs = engine.submit("a", length=2000)
        gated.gate.set()
        assert theirs.result(30).characters == 2000
        written = sum(len(text.text) for text in ours)
        engine.close(drain=False)
    assert written > 0


def test_a_text_that_pauses_is_the_same(trained: Path) -> None:
    model = charloom.load(trained, precision="int8")
    seeds = range(12)
    alone = [model.generate("The ", **options_of(seed)).text for seed in seeds]
    with model.engine(max_rows=3) as engine:
        together = engine.submit_all(["The ", "a"], 20, length=300)
        ours = [engine.submit("The ", **options_of(seed)) for seed in seeds]
        assert [text.result(60).text for text in ours] == alone
        assert (
            engine.submit_all(["The "], 12, seed=0, length=50)[11].result(60).text
            == model.generate("The ", seed=11, length=50).text
        )
        for text in together:
            text.cancel()


def test_a_request_takes_one_place_in_the_queue_however_many_texts_it_asks_for(gated: Gated) -> None:
    with engine_of(gated, max_rows=1, max_queue=2) as engine:
        first = engine.submit("a", length=3)
        until(lambda: engine.status().reading == 1)
        many = [engine.submit_all(["a"] * 5, 5, length=1) for _ in range(2)]
        with pytest.raises(BusyError, match="2 requests are waiting already"):
            engine.submit_all(["a"])
        gated.gate.set()
        assert [text.result(30).text for texts in many for text in texts] == ["b"] * 50
        assert first.result(30).text == "bcd"


def test_none_of_a_request_is_begun_where_one_text_is_refused() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        with pytest.raises(UsageError, match="there is no id 9"):
            engine.submit_all([[1], [9]], length=5)
        with pytest.raises(UsageError, match="samples = 0"):
            engine.submit_all(["a"], 0)
        assert engine.status().waiting == engine.status().reading == 0


def test_a_pattern_that_takes_much_work_holds_up_its_own_texts_alone(gated: Gated) -> None:
    """A step of the pattern visits some 18,000 places; the others are written at their own pace meanwhile."""
    gated.gate.set()
    with engine_of(gated, max_rows=8) as engine:
        hard = [
            engine.submit("a", length=9000, regex="(?s)((.?){95}z?){95}", seed=seed, temperature=3) for seed in (1, 2)
        ]
        until(lambda: all(text.text for text in hard))
        before = sum(len(text.text) for text in hard)
        assert engine.submit("a", length=300).result(60).characters == 300
        assert sum(len(text.text) for text in hard) - before <= 300 * 1_000 / 9_000 + 4
        for text in hard:
            text.cancel()


def test_what_a_pattern_ends_is_whole_whether_or_not_its_steps_are_known() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        for _ in range(3):
            text = engine.submit("a", length=50, regex="bcd", alternatives=1)
            assert text.result(30).text == "bcd"
            assert (text.finish_reason, [token.text for token in text.tokens]) == ("stop", ["b", "c", "d"])
        plain = engine.submit("a", length=ENDLESS)
        for regex in ("(?s)((.?){95}z?){95}", "(?s)((.?){94}z?){95}"):  # its steps are waited for
            text = engine.submit("a", length=9000, regex=regex, temperature=1, alternatives=1)
            until(lambda text=text: len(text.text) > 5)  # type: ignore[misc]
            text.cancel()
            assert "".join(token.text for token in text.tokens) == text.text
        plain.cancel()


def test_a_hard_pattern_gives_the_text_it_gives_alone(trained: Path) -> None:
    model = charloom.load(trained, precision="int8")
    options: dict[str, Any] = {"regex": "(?s)((.?){20}e?){20}", "length": 60, "temperature": 1.5}
    with model.engine(max_rows=4) as engine:
        plain = engine.submit("The ", length=2000)
        texts = [engine.submit("The ", seed=seed, **options) for seed in range(6)]
        found = [text.result(60).text for text in texts]
        plain.cancel()
    assert found == [model.generate("The ", seed=seed, **options).text for seed in range(6)]


def test_cancelling_frees_the_row_at_the_next_step(gated: Gated) -> None:
    gated.gate.set()
    with engine_of(gated, max_rows=1) as engine:
        endless = engine.submit("a", length=100_000_000)
        next(iter(endless))
        waiting = engine.submit("a", length=3)
        endless.cancel()
        assert waiting.result(30).text == "bcd"
        assert endless.done
        generation = endless.result(0)
        assert generation.finish_reason == "cancelled"
        assert generation.text.startswith("bcde"[: len(generation.text)])


def test_a_continuation_is_cancelled_at_the_end_of_its_block(gated: Gated) -> None:
    gated.gate.set()
    with engine_of(gated) as engine:
        with engine.submit("a", length=100_000_000) as endless:
            assert next(iter(endless))
        assert endless.result(1).finish_reason == "cancelled"
        until(lambda: engine.status().writing == 0)


def test_cancelled_before_it_began(gated: Gated) -> None:
    with engine_of(gated, max_rows=1) as engine:
        first, second = engine.submit("a", length=3), engine.submit("b", length=3)
        second.cancel()
        gated.gate.set()
        assert first.result(30).text == "bcd"
        assert second.result(0).text == ""


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_rows": 0}, "max_rows = 0: give 1 or more"),
        ({"max_queue": -1}, "max_queue = -1: give 0 or more"),
        ({"prompt_chunk": 0}, "prompt_chunk = 0"),
        ({"cache_bytes": -1}, "cache_bytes = -1"),
    ],
)
def test_wrong_limits(limits: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        engine_of(cycle(LETTERS.size), **limits)


def test_wrong_options_are_refused_at_once() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        with pytest.raises(UsageError, match="temperature = -1"):
            engine.submit("a", temperature=-1)
        assert engine.submit("a", length=0).result(1).finish_reason == "length"


# --- when something breaks


def test_a_text_that_fails_fails_alone() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        engine.submit("a", length=1).result(30)
        good = engine.submit("a", length=20_000)
        bad = engine.submit("a", length=100_000_000)

        def broken(tokens: Sequence[int]) -> str:
            raise ZeroDivisionError("division by zero")

        next(iter(bad))
        assert bad._row is not None
        bad._row.push_all = broken  # type: ignore[method-assign]
        with pytest.raises(CharloomError, match="this text failed: division by zero"):
            bad.result(30)
        with pytest.raises(CharloomError, match="this text failed"):
            list(bad)
        assert good.result(30).characters == 20_000


def test_a_network_that_fails_loses_what_was_under_way_and_nothing_else(gated: Gated) -> None:
    with engine_of(gated, max_rows=1) as engine:
        lost, waiting = engine.submit("a", length=3), engine.submit("a", length=3)
        until(lambda: engine.status().reading == 1)
        gated.failing = True
        gated.gate.set()
        with pytest.raises(CharloomError, match="the network failed: no such luck"):
            lost.result(30)
        gated.failing = False
        try:
            assert waiting.result(30).text == "bcd"
        except CharloomError:  # it had begun before the network was mended
            assert engine.submit("a", length=3).result(30).text == "bcd"


# --- the end


def test_closing_finishes_what_there_is_and_takes_no_more(gated: Gated) -> None:
    engine = engine_of(gated, max_rows=1)
    texts = [engine.submit("a", length=4) for _ in range(3)]
    with pytest.raises(TimeoutError):
        engine.close(timeout=0.01)
    with pytest.raises(BusyError, match="closing"):
        engine.submit("a")
    gated.gate.set()
    engine.close(timeout=30)
    assert [text.result(0).text for text in texts] == ["bcde"] * 3
    engine.close()  # once more does no harm


def test_closing_without_waiting_cancels(gated: Gated) -> None:
    gated.gate.set()
    engine = engine_of(gated, max_rows=2)
    texts = [engine.submit("a", length=100_000_000) for _ in range(3)]
    next(iter(texts[0]))
    engine.close(drain=False, timeout=30)
    assert [text.result(0).finish_reason for text in texts] == ["cancelled"] * 3


def test_an_error_inside_the_block_does_not_wait_for_the_texts() -> None:
    def wrong() -> None:
        with engine_of(cycle(LETTERS.size)) as engine:
            texts.append(engine.submit("a", length=100_000_000))
            raise KeyError

    texts: list[Continuation] = []
    with pytest.raises(KeyError):
        wrong()
    (text,) = texts
    assert text.result(0).finish_reason == "cancelled"


# --- from other threads and from event loops


def test_pieces_are_the_whole(trained: Path) -> None:
    model = charloom.load(trained)
    with model.engine() as engine:
        text = engine.submit("The ", length=300, seed=2)
        assert "".join(text) == text.result(30).text == "".join(text), "from the first, as often as one likes"
        with pytest.raises(TimeoutError):
            engine.submit("The ", length=100_000_000).result(0.05)
        engine.close(drain=False)


def test_an_event_loop_streams_and_waits(trained: Path) -> None:
    model = charloom.load(trained, precision="int8")
    expected = [model.generate("The ", length=100, seed=seed).text for seed in range(20)]

    async def stream(engine: Engine, seed: int) -> str:
        return "".join([piece async for piece in engine.submit("The ", length=100, seed=seed)])

    async def everything(engine: Engine) -> tuple[list[str], list[str], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        streamed = await asyncio.gather(*(stream(engine, seed) for seed in range(20)))
        whole = [await engine.submit("The ", length=100, seed=seed) for seed in range(20)]
        ticking.cancel()
        return streamed, [one.text for one in whole], ticks

    with model.engine() as engine:
        streamed, whole, ticks = asyncio.run(everything(engine))
    assert streamed == whole == expected
    assert ticks > 100, "the loop was free meanwhile"


def test_an_event_loop_hears_of_failures_and_cancellation(gated: Gated) -> None:
    async def everything(engine: Engine) -> None:
        lost = engine.submit("a", length=3)
        gated.failing = True
        gated.gate.set()
        with pytest.raises(CharloomError, match="the network failed"):
            await lost
        with pytest.raises(CharloomError, match="the network failed"):
            [piece async for piece in lost]
        gated.failing = False
        endless = engine.submit("a", length=100_000_000)
        async for piece in endless:
            assert piece
            endless.cancel()
        assert (await endless).finish_reason == "cancelled"

    with engine_of(gated) as engine:
        asyncio.run(everything(engine))


def test_many_threads_at_once(trained: Path) -> None:
    model = charloom.load(trained, precision="int8")
    expected = [model.generate("a", length=40, seed=seed).text for seed in range(40)]
    found: dict[int, str] = {}
    with model.engine(max_rows=16) as engine:

        def ask(seed: int) -> None:
            found[seed] = engine.submit("a", length=40, seed=seed).result(60).text

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [found[seed] for seed in range(40)] == expected


def test_the_random_numbers_of_a_row_do_not_depend_on_how_many_are_drawn_at_a_time(trained: Path) -> None:
    row = Row(LETTERS, SamplingSettings(), 7)
    one_by_one = np.random.default_rng(7)
    drawn = [number for count in (1, 7, 64, 128) for number in row.uniforms(count)]
    assert drawn == [one_by_one.random() for _ in range(200)]


# --- what the model thought


def test_tokens_say_what_the_model_thought(trained: Path) -> None:
    model = charloom.load(trained, precision="int8")
    with model.engine(prompt_chunk=3) as engine:
        text = engine.submit("The cat", length=50, seed=3, alternatives=5, prompt_alternatives=2, temperature=2)
        plain = engine.submit("The cat", length=50, seed=3, temperature=2)
        generation = text.result(60)
        assert generation.text == plain.result(60).text
        assert not plain.tokens
    written = "".join(token.text for token in text.tokens)
    assert written == generation.text
    ids = model.vocabulary.encode("\nThe cat" + written).astype(np.int64)
    assert text.prompt_tokens[0] is None
    expected = log_probabilities(model._session.run(ids[1:-1, None], initial_state(model.config.model, 1))[0][:, 0])
    found = [token for token in [*text.prompt_tokens[1:], *text.tokens] if token is not None]
    assert len(found) == len(expected) == 6 + 50
    for token, distribution, after in zip(found, expected, ids[2:], strict=True):
        assert token.id == after
        assert token.logprob == distribution[after]
        best = np.argsort(-distribution[1:], kind="stable")[:5] + 1
        shown = [(model.vocabulary.decode(np.array([other])), distribution[other]) for other in best]
        assert list(token.top) == shown[: len(token.top)]
    assert {len(token.top) for token in text.tokens} == {5}
    assert {len(token.top) for token in text.prompt_tokens[1:] if token is not None} == {2}


def test_a_prompt_alone_can_be_scored() -> None:
    with engine_of(cycle(LETTERS.size), cache_bytes=1 << 20) as engine:
        for _ in range(2):  # what is remembered of a prompt has no tokens
            text = engine.submit("abd", length=0, prompt_alternatives=1)
            assert text.result(30).text == ""
            first, likely, odd = text.prompt_tokens
            assert first is None
            assert likely is not None
            assert (likely.text, likely.top) == ("b", (("b", likely.logprob),))
            assert likely.logprob == pytest.approx(0, abs=1e-9)
            assert odd is not None
            assert (odd.text, odd.top[0][0]) == ("d", "c")
            assert odd.logprob == pytest.approx(-50, abs=1e-6)
        assert engine.submit("", length=0, prompt_alternatives=1).result(1).text == ""


def test_ids_are_a_prompt_too() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        text = engine.submit([1, 2], length=3)
        assert (text.prompt, text.result(30).text) == ("ab", "cde")
        assert engine.submit([], length=2).result(30).text == "ab"
        for wrong in (7, -1):
            with pytest.raises(UsageError, match=f"there is no id {wrong}; the vocabulary has those from 0 to 6"):
                engine.submit([1, wrong])
        with pytest.raises(UsageError, match="alternatives = -1"):
            engine.submit("a", alternatives=-1)


def test_tokens_of_what_a_stop_text_cuts_are_left_out() -> None:
    with engine_of(cycle(LETTERS.size)) as engine:
        text = engine.submit("a", length=100, stop=["e\na"], alternatives=1)
        assert text.result(30).text == "bcd"
        assert [token.text for token in text.tokens] == ["b", "c", "d"]
        chunks = list(text.chunks())
        assert "".join(chunk.text for chunk in chunks) == "bcd"
        assert [token.text for chunk in chunks for token in chunk.tokens] == ["b", "c", "d"]


def test_tokens_of_bytes_come_with_their_characters() -> None:
    cycle_of_bytes = "aé€".encode()

    def score(token: int, count: int) -> list[float]:
        scores = [0.0] * 256
        scores[cycle_of_bytes[(count - 1) % len(cycle_of_bytes)]] = 90.0
        return scores

    session = FakeSession(256, score)
    with Engine(session, ByteVocabulary(), lambda prompt, options: (prompt, SamplingSettings(**options))) as engine:
        text = engine.submit("", length=8, alternatives=1)
        assert text.result(30).text == "aé€a"
        assert bytes(token.id for token in text.tokens) == "aé€aé".encode()[:8]
        assert [token.text for token in text.tokens] == ["a", "", "", "", "", "", "a", ""]
        for chunk in text.chunks():
            assert "".join(chunk.text) in "aé€a"


def test_waiting_for_the_end_in_an_event_loop(gated: Gated) -> None:
    """`ended` returns when the text has ended or the time is over, and says which; the times are measured too."""

    async def wait() -> None:
        with engine_of(gated) as engine:
            text = engine.submit("a", length=5)
            assert not await text.ended(0.05)
            assert (text.done, text.text, text.first_after, text.seconds) == (False, "", None, 0)
            waiting = asyncio.create_task(text.ended(30))
            gated.gate.set()
            assert await waiting
            assert await text.ended()
            assert (text.text, text.finish_reason) == ("bcde\n", "length")
            assert text.waited is not None
            assert text.first_after is not None
            assert 0 <= text.waited <= text.first_after <= text.seconds

    asyncio.run(wait())
