"""`charloom sagemaker upload`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from charloom.cli.arguments import CorpusArgument, Destination, corpus_specs
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reach_account
from charloom.errors import UsageError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command
from charloom.sagemaker.resource_settings import KmsKey
from charloom.sagemaker.uploads import CORPORA, UploadedCorpus
from charloom.sagemaker.uploads import upload as upload_corpus
from charloom.settings import ReadingSettings


def upload(
    *corpus: CorpusArgument,
    bucket: str | None = None,
    prefix: str = CORPORA,
    output: Annotated[Path | None, Destination] = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    kms_key: KmsKey | None = None,
    text: Annotated[ReadingSettings, Parameter(name="*", group=Group("Text"))] = ReadingSettings(),
    cloud: CloudOptions = CloudOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Prepare a corpus (cleaning, vocabulary, ids) and put it into S3; what is there unchanged is not sent again.

    Parameters
    ----------
    corpus
        Files, folders, globs, - (stdin), addresses or names; or one folder that charloom corpus prepare wrote.
    bucket
        The bucket; sagemaker-REGION-ACCOUNT, as SageMaker's own tools have it, if none is named. Created if missing.
    prefix
        The folder in the bucket.
    output
        A folder to keep the prepared corpus in, on this machine.
    overwrite
        Replace the prepared corpus that is in that folder.
    kms_key
        The KMS key that encrypts it in S3: its id, alias or ARN; else what the bucket says.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a corpus to upload; charloom corpus list names some")
    with CloudView(out) as view:
        aws = reach_account(cloud, out)
        done = upload_corpus(
            aws, specs, text, bucket=bucket, prefix=prefix, folder=output, overwrite=overwrite, kms_key=kms_key,
            notify=view,
        )  # fmt: skip
    if not aws.dry:
        _report(out, aws, done)


def _report(out: Output, aws: Aws, done: UploadedCorpus) -> None:
    if out.json:
        out.result(asdict(done))
        return
    out.text(
        f"{done.uri}\n"
        f"{done.files} files, {done.bytes / 1e6:,.1f} MB: {done.uploaded} sent, {done.skipped} there already\n"
        f"{done.characters:,} characters, {done.vocab_size} symbols\nsha256 {done.sha256}\n\n"
        f"--- the beginning\n{done.first}\n\n"
        f"input   {done.example['input']!r}\n        {done.example['input_ids']}\n"
        f"target  {done.example['target']!r}\n        {done.example['target_ids']}"
    )
    again = command(aws, "train", done.uri, output=Path("runs/mine"))
    out.say(f"now try:\n    {again}", style="bold")
