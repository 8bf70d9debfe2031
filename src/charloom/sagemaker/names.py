"""Names as Amazon wants or gives them: resources, addresses in S3, partitions, tags, states."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

from charloom.errors import UsageError
from charloom.version import __version__

OURS = "charloom"
"""The tag that marks a resource as ours; its value is the version that made it."""

OWNER, EXPIRES = "charloom:owner", "charloom:expires"
"""Tags that say who made an endpoint, and when it is to go (a moment in UTC, as in 2026-11-25T10:00:00Z)."""

PRICE = "charloom:price"
"""The tag that keeps a price that the user gave: USD an hour of one instance."""

ENDED = ("Completed", "Failed", "Stopped")
"""The states of a job, training or transform, that has ended."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_NAME_LIMIT = 63
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{2,254}")


def partition(region: str) -> str:
    """The part of the cloud that a region belongs to, as resource names have it."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def dns_suffix(region: str) -> str:
    """The domain of a region's services."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def check_name(name: str, what: str) -> str:
    """A name of a job, model or endpoint."""
    if not isinstance(name, str) or len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {str(name)[:80]!r}: letters, digits and single hyphens between them, {_NAME_LIMIT} at most"
        )
    return name


def fresh_name(stem: str) -> str:
    """A name that nothing else has: the stem made fit, the time to the second (UTC), four random digits."""
    fit = re.sub(r"[^a-zA-Z0-9]+", "-", stem).strip("-") or OURS
    mark = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{token_hex(2)}"
    return f"{fit[: _NAME_LIMIT - len(mark) - 1].rstrip('-')}-{mark}"


def tags(**more: str) -> list[dict[str, str]]:
    """What every resource of ours is marked with, and more."""
    return [{"Key": key, "Value": value} for key, value in {OURS: __version__, **more}.items()]


def as_tag(moment: datetime) -> str:
    """A moment as a tag has it: 2026-11-25T10:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_tag(text: str | None) -> datetime | None:
    """The moment that a tag names, or None where it names none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class S3Uri:
    """An address in S3: `s3://bucket/key`. A key may be empty, and ends in a slash where it names a folder."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read an address."""
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() != "s3":
            raise UsageError(f"{text[:120]!r} is not an address in S3, such as s3://bucket/folder/file")
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(f"{bucket[:80]!r} is no bucket's name: 3 to 63 small letters, digits, hyphens and dots")
        return cls(bucket, key)

    def __truediv__(self, part: str) -> S3Uri:
        """An address below this one."""
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{part}".lstrip("/"))

    def __str__(self) -> str:
        """The address itself."""
        return f"s3://{self.bucket}/{self.key}"


def is_s3(text: str) -> bool:
    """Whether a text is meant as an address in S3."""
    return text.lower().startswith("s3://")
