"""API keys: compared in constant time, read from a file or the environment."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from charloom.errors import UsageError
from charloom.serving.errors import ApiError
from charloom.serving.settings import API_KEYS

_FILE_LIMIT = 1 << 20


def read_keys(file: Path | None, environment: Mapping[str, str]) -> list[str]:
    """The keys that requests may carry; none of them means that all are let in.

    Raises:
        UsageError: the file cannot be read, or holds no key; the environment's setting is there and holds none.
    """
    keys = [key for part in environment.get(API_KEYS, "").split(",") if (key := part.strip())]
    if not keys and API_KEYS in environment:
        raise UsageError(f"{API_KEYS} is set and holds no key, so that everybody could ask: give one, or unset it")
    if file is not None:
        try:
            with file.expanduser().open(encoding="utf-8-sig") as opened:  # some editors put a mark first
                lines = opened.read(_FILE_LIMIT).splitlines()
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot read --api-key-file {file}: {reason}") from None
        held = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not held:
            raise UsageError(f"--api-key-file {file} holds no key: write one a line")
        keys += held
    return keys


class Keys:
    """Keys that let a request in. Only their digests are kept."""

    def __init__(self, keys: list[str]) -> None:
        """Let in whoever has one of `keys`; everybody, if there is none.

        Raises:
            UsageError: one of them is empty.
        """
        if not all(key.strip() for key in keys):
            raise UsageError("a key is empty: everybody has that one")
        self._digests = [_digest(key.encode()) for key in keys]

    def check(self, authorization: bytes | None) -> None:
        """Look at an Authorization header.

        Raises:
            ApiError: 401, keys are asked for and this is none.
        """
        if not self._digests:
            return
        scheme, _, key = (authorization or b"").partition(b" ")
        digest = _digest(key.strip())
        known = [hmac.compare_digest(digest, one) for one in self._digests]  # all of them: the time tells nothing
        if scheme.lower() != b"bearer" or not any(known):
            raise ApiError(401, "give one of the server's keys: Authorization: Bearer KEY", code="invalid_api_key")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
