from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CorpusError, UsageError
from charloom.text.decoding import check_encoding, decode, decode_chunks


def test_error_names_file_byte_offset_and_line() -> None:
    data = b"one\ntwo\nthr\xe9e\n"
    with pytest.raises(CorpusError) as caught:
        decode(data, "notes.txt")
    assert str(caught.value) == (
        "notes.txt is not UTF-8: byte 0xE9 at offset 11 (line 3); save it as UTF-8, or say how it is encoded, "
        "for example --encoding latin-1; --vocabulary bytes trains on any bytes"
    )


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_line_of_an_error_counts_every_kind_of_line_end(end: str, encoding: str, size: int) -> None:
    bad = b"\xd8\x00\x00A" if encoding == "utf-16-be" else b"\xff"
    data = f"one{end}two{end}thr".encode(encoding) + bad + f"e{end}".encode(encoding)
    with pytest.raises(CorpusError, match=r"\(line 3\)"):
        "".join(decode_chunks([data[start : start + size] for start in range(0, len(data), size)], "f", encoding))


def test_utf_16_is_guessed_from_its_mark() -> None:
    with pytest.raises(CorpusError, match="--encoding utf-16"):
        decode("hi".encode("utf-16"), "a.txt")


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        (b"\xef\xbb\xbfhi", "utf-8", "hi"),
        (b"\xef\xbb\xbfhi", "utf-8-sig", "hi"),
        (b"a\r\nb\rc\nd", "utf-8", "a\nb\nc\nd"),
        ("é\r\n".encode("utf-16"), "utf-16", "é\n"),
        (b"\xfe\xff\x00h", "utf-16", "h"),
        ("\ufeffé".encode("utf-16-le"), "utf-16-le", "é"),
        (b"caf\xe9", "latin-1", "café"),
        (b"\x80", "cp1252", "€"),
        (b"", "utf-8", ""),
    ],
)
def test_decoding(data: bytes, encoding: str, expected: str) -> None:
    assert decode(data, "a.txt", encoding) == expected


def test_only_the_first_mark_goes() -> None:
    assert decode("\ufeffa\ufeffb".encode(), "a.txt") == "a\ufeffb"


def test_bytes_can_be_kept() -> None:
    text = decode(b"a\xff\r\nb", "a.txt", keep_bytes=True)
    assert text.encode("utf-8", "surrogateescape") == b"a\xff\nb"


@pytest.mark.parametrize("name", ["utf-9", "", "rot13", "base64", "hex", "punycode", "klingon\0"])
def test_unknown_encodings(name: str) -> None:
    with pytest.raises(UsageError, match="no such text encoding") as caught:
        check_encoding(name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["utf-8", "UTF-16", "latin-1", "cp1252", "shift_jis"])
def test_known_encodings(name: str) -> None:
    check_encoding(name)


def test_a_truncated_utf_16_file() -> None:
    with pytest.raises(CorpusError, match="is not UTF-16"):
        decode("hi".encode("utf-16")[:-1], "a.txt", "utf-16")


@pytest.mark.parametrize("keep_bytes", [False, True])
def test_half_a_character_is_refused(keep_bytes: bool) -> None:
    with pytest.raises(CorpusError, match="half a character"):
        decode(b"a +2AA- b", "odd.txt", "utf-7", keep_bytes=keep_bytes)


ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "shift_jis",
    "gb18030",
    "utf-7",
]
PARTS = ["a", "é", "世", "😀", "\r", "\n", "\r\n", "\ufeff", "x\r\ny"]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    return [*chunks, data[start:]]


def at_once(data: bytes, encoding: str, keep_bytes: bool) -> str | UnicodeError:
    """What Python makes of the whole, written down independently."""
    try:
        text = data.decode(encoding, "surrogateescape" if keep_bytes else "strict")
        text.encode("utf-8", "surrogateescape" if keep_bytes else "strict")
    except UnicodeError as error:
        return error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def outcome(chunks: list[bytes], encoding: str, keep_bytes: bool) -> str | CorpusError:
    try:
        return "".join(decode_chunks(chunks, "a.txt", encoding, keep_bytes=keep_bytes))
    except CorpusError as error:
        return error


@given(st.lists(st.sampled_from(PARTS)), st.sampled_from(ENCODINGS), st.lists(st.integers(0, 5)), st.booleans())
def test_where_valid_bytes_are_cut_makes_no_difference(
    parts: list[str], encoding: str, sizes: list[int], keep_bytes: bool
) -> None:
    data = "".join(parts).encode(encoding, "ignore")
    assert outcome(cut(data, sizes), encoding, keep_bytes) == at_once(data, encoding, keep_bytes)


HOSTILE = [b"a", b"\n", b"\r", b"\xff", b"\xfe", b"\xe4\xb8", b"\x96", b"\xef\xbb\xbf", b"\0"]
hostile = st.lists(st.sampled_from(HOSTILE)).map(b"".join) | st.binary(max_size=12)


@given(hostile, st.sampled_from(ENCODINGS), st.lists(st.integers(0, 3)))
def test_where_any_bytes_are_cut_makes_no_difference(data: bytes, encoding: str, sizes: list[int]) -> None:
    found, expected = outcome(cut(data, sizes), encoding, False), at_once(data, encoding, False)
    assert str(found) == str(outcome([data], encoding, False))
    if isinstance(expected, str):
        assert found == expected
        return
    assert isinstance(found, CorpusError)
    if isinstance(expected, UnicodeDecodeError) and encoding in ("utf-8", "utf-16", "cp1252"):
        line = len(re.findall("\r\n|\r|\n", data[: expected.start].decode(encoding))) + 1
        assert f"at offset {expected.start} (line {line})" in str(found)


@given(hostile, st.lists(st.integers(0, 3)))
def test_where_kept_bytes_are_cut_makes_no_difference(data: bytes, sizes: list[int]) -> None:
    assert outcome(cut(data, sizes), "utf-8", True) == at_once(data, "utf-8", True)
