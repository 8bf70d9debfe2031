from __future__ import annotations

import pytest

from charloom.errors import CorpusError, UsageError
from charloom.text.decoding import check_encoding, decode


def test_error_names_file_byte_offset_and_line() -> None:
    data = b"one\ntwo\nthr\xe9e\n"
    with pytest.raises(CorpusError) as caught:
        decode(data, "notes.txt")
    assert str(caught.value) == (
        "notes.txt is not UTF-8: byte 0xE9 at offset 11 (line 3); say how it is encoded, "
        "for example --encoding latin-1, or read any bytes with --vocabulary bytes"
    )


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


@pytest.mark.parametrize("name", ["utf-9", "", "rot13", "base64", "hex", "klingon\0"])
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


def test_half_a_character_is_refused() -> None:
    with pytest.raises(CorpusError, match="half a character"):
        decode(b"a +2AA- b", "odd.txt", "utf-7")
