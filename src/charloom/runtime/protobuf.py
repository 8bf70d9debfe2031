"""Fields of protocol-buffers messages as bytes (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations


def number_field(field: int, value: int) -> bytes:
    """A field that holds a whole number."""
    return _varint(field << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def bytes_field(field: int, content: bytes | str) -> bytes:
    """A field that holds bytes, a text or a message."""
    content = content.encode() if isinstance(content, str) else content
    return bytes_field_head(field, len(content)) + content


def bytes_field_head(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of such a field."""
    return _varint(field << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first, each but the last marked by its eighth bit."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
