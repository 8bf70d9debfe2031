"""The items of a list, known by hashes."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from charloom.text.known_items import KnownItems

texts = st.sets(st.text(max_size=8), max_size=50)


@given(texts, texts)
def test_what_is_on_the_list_is_known_and_hardly_anything_else(listed: set[str], others: set[str]) -> None:
    known = KnownItems.of(listed)
    assert all(item in known for item in listed)
    hashes = {blake2b(item.encode(), digest_size=4).digest() for item in listed}
    for item in others:
        assert (item in known) == (blake2b(item.encode(), digest_size=4).digest() in hashes)
    assert len(known) == len(hashes)


@given(texts)
def test_it_is_read_as_it_was_written(listed: set[str]) -> None:
    content = KnownItems.of(listed).content
    assert len(content) == 4 * len(KnownItems(content))
    assert KnownItems(content).content == content
    assert all(item in KnownItems(content) for item in listed)


def test_the_order_and_the_number_of_times_do_not_matter() -> None:
    assert KnownItems.of(["b", "a", "b"]).content == KnownItems.of(["a", "b"]).content


def test_what_is_no_text_or_damaged_is_not_known() -> None:
    assert 5 not in KnownItems.of(["5"])
    assert "a" not in KnownItems(b"")
    assert len(KnownItems(b"12345")) == 1
