"""Our serving image in the account's registry: built by Docker where there is one, else by CodeBuild."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charloom.errors import CloudError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker import codebuild, docker
from charloom.sagemaker.account import named_role
from charloom.sagemaker.aws import Aws, registry
from charloom.sagemaker.names import tags
from charloom.sagemaker.requirements import pins
from charloom.sagemaker.wheel import build_wheel, carried_file
from charloom.version import __version__

REPOSITORY = "charloom-serve"
"""The name of the image, and of its repository."""

Builder = Literal["auto", "docker", "codebuild"]

CODEBUILD_ROLE = "CHARLOOM_CODEBUILD_ROLE"
"""The role that builds images, where no option names one."""

_ROLE_NEEDED = (
    "CodeBuild builds the image where no Docker engine runs, and needs a role for that: "
    f"--codebuild-role NAME, or {CODEBUILD_ROLE}"
)


@dataclass(frozen=True)
class ServingImage:
    """An image that was pushed.

    Attributes:
        image: its address in the account's registry.
        builder: what built it.
    """

    image: str
    builder: Literal["docker", "codebuild"]


def serving_image(aws: Aws) -> str | None:
    """The address of the account's serving image: this version's, else the latest; None where there is none.

    Raises:
        CloudError: the registry cannot be asked.
    """
    for tag in (__version__, "latest"):
        try:
            found = aws.call("ecr", "describe_images", repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])
        except CloudError as error:
            if error.code == "RepositoryNotFoundException":
                return None
            if error.code != "ImageNotFoundException":
                raise
            continue
        if found.get("imageDetails"):
            return f"{_address(aws)}:{tag}"
    return None


def build_image(
    aws: Aws,
    *,
    builder: Builder = "auto",
    codebuild_role: str | None = None,
    bucket: str | None = None,
    notify: Notify = ignore,
) -> ServingImage:
    """Build the image of this charloom and push it to the account's registry, as this version and as the latest.

    Args:
        aws: the account.
        builder: what builds it; auto takes Docker where its engine runs, else CodeBuild.
        codebuild_role: the role that CodeBuild may take on; else the environment's CHARLOOM_CODEBUILD_ROLE.
        bucket: where CodeBuild reads from; SageMaker's default bucket if none is named.
        notify: receives what happens, the builder's own words included.

    Raises:
        UsageError: CodeBuild is needed, and no role is named.
        CloudError: a request was refused, or the build failed.
        CharloomError: Docker failed, or charloom is not installed.
    """
    chosen: Literal["docker", "codebuild"] = (
        ("docker" if docker.engine_runs() else "codebuild") if builder == "auto" else builder
    )
    role = named_role(aws, codebuild_role, CODEBUILD_ROLE, _ROLE_NEEDED) if chosen == "codebuild" else ""
    _ensure_repository(aws)
    image = _address(aws)
    with tempfile.TemporaryDirectory(prefix="charloom-") as folder:
        context = Path(folder)
        write_context(context)
        if chosen == "docker":
            docker.build_and_push(aws, context, image, [__version__, "latest"], notify)
        else:
            codebuild.build(aws, context, image, __version__, role, bucket, notify)
    if aws.dry:
        notify(Notice(f"nothing was built: {chosen} would build {image}"))
    return ServingImage(f"{image}:{__version__}", chosen)


def write_context(folder: Path) -> None:
    """Write what `docker/serve.Dockerfile` needs of an installed charloom: its wheel, and the versions it runs with.

    Raises:
        CharloomError: charloom is not installed.
        StorageError: the folder cannot be written.
    """
    build_wheel(folder)
    (folder / "constraints.txt").write_text("\n".join([*pins("serve"), ""]), "utf-8")
    (folder / "docker").mkdir()
    dockerfile = carried_file("charloom/sagemaker/serve.Dockerfile")
    (folder / docker.DOCKERFILE).write_bytes(dockerfile.read_bytes())


def _address(aws: Aws) -> str:
    return f"{registry(aws, aws.account_id)}/{REPOSITORY}"


def _ensure_repository(aws: Aws) -> None:
    try:
        aws.call(
            "ecr",
            "create_repository",
            repositoryName=REPOSITORY,
            imageScanningConfiguration={"scanOnPush": True},
            tags=tags(),
        )
    except CloudError as error:
        if error.code != "RepositoryAlreadyExistsException":
            raise
