"""A corpus into S3: prepared here, so that a job reads ids and nothing has to be cleaned twice."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from charloom.errors import UsageError
from charloom.events import Notify, ignore
from charloom.files import expand_home
from charloom.options import ReadingOptions
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import default_bucket, ensure_bucket, upload_file
from charloom.settings import ReadingSettings, combine_settings
from charloom.text.prepared import IDS, RECORD, VOCABULARY, PreparedCorpus, prepared_among
from charloom.text.preparing import prepare_corpus

CORPORA = "charloom/corpora"
"""The folder of a bucket that corpora are kept in."""

_FIRST = 250  # characters shown of the beginning
_EXAMPLE = 20  # of the encoded example


@dataclass(frozen=True)
class UploadedCorpus:
    """A prepared corpus in S3.

    Attributes:
        uri: its folder's address, which ends in a slash.
        files: how many files it has.
        uploaded: how many of them had to be sent.
        skipped: how many were there unchanged.
        bytes: their size, all together.
        characters: how many the cleaned text has.
        vocab_size: how many symbols a model will tell apart, the unknown character counted.
        sha256: the fingerprint of the cleaned text.
        first: how the text begins, decoded from its ids.
        example: the first ids, with what they stand for and what is to be guessed.
    """

    uri: str
    files: int
    uploaded: int
    skipped: int
    bytes: int
    characters: int
    vocab_size: int
    sha256: str
    first: str
    example: dict[str, Any]


def upload(
    aws: Aws,
    corpus: str | Path | Sequence[str | Path],
    settings: ReadingSettings | None = None,
    *,
    bucket: str | None = None,
    prefix: str = CORPORA,
    folder: Path | str | None = None,
    overwrite: bool = False,
    kms_key: str | None = None,
    notify: Notify = ignore,
    **reading: Unpack[ReadingOptions],
) -> UploadedCorpus:
    """Prepare a corpus and put it into S3, under a name that its content gives: what is there is never altered.

    Args:
        aws: the account.
        corpus: what `charloom.train` takes, or one folder that was prepared already.
        settings: how the text is read; `reading` goes over it.
        bucket: where to; SageMaker's default bucket if none is named. It is created if it is not there.
        prefix: the folder of the bucket.
        folder: where to keep the prepared corpus on this machine; a temporary folder if none is named.
        overwrite: replace the prepared corpus that is in that folder.
        kms_key: the KMS key that encrypts it; None: what the bucket says.
        notify: receives what happens.
        **reading: `clean`, `encoding`, `vocabulary`, `min_count`, as `charloom.train` takes them.

    Raises:
        UsageError: a setting cannot work, or the address is none.
        CorpusError: the text cannot be read.
        CloudError: Amazon refused something; a corpus that is not whole there is not taken for one.
    """
    specs = [str(spec) for spec in ([corpus] if isinstance(corpus, str | Path) else corpus)]
    if not specs:
        raise UsageError("name a corpus to upload; charloom corpus list names some")
    choice = combine_settings(ReadingSettings, settings, reading)
    target = S3Uri.parse(f"s3://{bucket or default_bucket(aws)}/{prefix.strip('/')}")
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        prepared = prepared_among(specs)
        if prepared is not None:
            prepared.adopt(choice)
            prepared.verify()
        else:
            place = Path(temporary, "corpus") if folder is None else expand_home(folder)
            prepare_corpus(specs, place, choice, overwrite=overwrite, notify=notify)
            prepared = PreparedCorpus(place)
        return _send(aws, prepared, target, notify, kms_key)


def _send(aws: Aws, prepared: PreparedCorpus, target: S3Uri, notify: Notify, kms_key: str | None) -> UploadedCorpus:
    place, names = target / _name(prepared), (VOCABULARY, IDS, RECORD)  # the record last: it makes them a corpus
    ensure_bucket(aws, target.bucket)
    sent = [upload_file(aws, prepared.path / name, place / name, notify, kms_key=kms_key) for name in names]
    ids, vocabulary = prepared.whole.ids[1:], prepared.vocabulary
    example = ids[: _EXAMPLE + 1]
    return UploadedCorpus(
        uri=f"{place}/",
        files=len(names),
        uploaded=sum(sent),
        skipped=len(names) - sum(sent),
        bytes=sum((prepared.path / name).stat().st_size for name in names),
        characters=prepared.record.characters,
        vocab_size=vocabulary.size,
        sha256=prepared.record.sha256,
        first=vocabulary.decode(ids[:_FIRST]),
        example={
            "input": vocabulary.decode(example[:-1]),
            "input_ids": example[:-1].tolist(),
            "target": vocabulary.decode(example[1:]),
            "target_ids": example[1:].tolist(),
        },
    )


def _name(prepared: PreparedCorpus) -> str:
    """What it was made from, for people, and a fingerprint of all that it is."""
    source = prepared.record.sources[0] if prepared.record.sources else ""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(source).stem).strip("-")[:40] or "corpus"
    return f"{stem}-{hashlib.sha256((prepared.path / RECORD).read_bytes()).hexdigest()[:12]}"
