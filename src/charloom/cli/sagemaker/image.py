"""`charloom sagemaker image`."""

from __future__ import annotations

from dataclasses import asdict

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reach_account
from charloom.sagemaker.commands import command
from charloom.sagemaker.images import Builder, build_image


def image(
    *,
    builder: Builder = "auto",
    codebuild_role: str | None = None,
    bucket: str | None = None,
    cloud: CloudOptions = CloudOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Build the serving image and push it to the account's registry as charloom-serve.

    Endpoints then use it by themselves. Docker builds it where its engine runs, else AWS CodeBuild does.

    Parameters
    ----------
    builder
        What builds it; auto takes Docker where its engine runs.
    codebuild_role
        The role that CodeBuild may assume; else CHARLOOM_CODEBUILD_ROLE.
    bucket
        Where CodeBuild reads from; SageMaker's default bucket if none is named.
    """
    out = Output(options)
    aws = reach_account(cloud, out)
    with CloudView(out) as view:
        built = build_image(aws, builder=builder, codebuild_role=codebuild_role, bucket=bucket, notify=view)
    if aws.dry:
        return
    if out.json:
        out.result(asdict(built))
    else:
        out.text(built.image)
        out.say(f"now try:\n    {command(aws, 'deploy', 'MODEL')}", style="bold")
