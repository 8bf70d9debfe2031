"""Container images: which one serves a model, and charloom's own in the account's registry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charloom.errors import CloudError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker.aws import Aws, named_role, registry
from charloom.sagemaker.commands import command
from charloom.sagemaker.image_builds import DOCKERFILE, build_with_codebuild, build_with_docker, docker_runs
from charloom.sagemaker.instances import four_function_image
from charloom.sagemaker.kernels import report_missing_kernel
from charloom.sagemaker.names import tags
from charloom.sagemaker.packaging import build_wheel, carried_file
from charloom.sagemaker.requirements import pins
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

_INSTALLING = "/pytorch-inference"
"""A part of the address of AWS's images, whose toolkit installs a model's requirements when it starts."""


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
        ("docker" if docker_runs() else "codebuild") if builder == "auto" else builder
    )
    role = named_role(aws, codebuild_role, CODEBUILD_ROLE, _ROLE_NEEDED) if chosen == "codebuild" else ""
    _ensure_repository(aws)
    image = _address(aws)
    with tempfile.TemporaryDirectory(prefix="charloom-") as folder:
        context = Path(folder)
        write_context(context)
        report_missing_kernel(notify)
        if chosen == "docker":
            build_with_docker(aws, context, image, [__version__, "latest"], notify)
        else:
            build_with_codebuild(aws, context, image, __version__, role, bucket, notify)
    if aws.dry:
        notify(Notice(f"nothing was built: {chosen} would build {image}"))
    return ServingImage(f"{image}:{__version__}", chosen)


def write_context(folder: Path) -> None:
    """Write what `docker/serve.Dockerfile` needs of an installed charloom: its wheel, and the versions it runs with."""
    build_wheel(folder)
    (folder / "constraints.txt").write_text("\n".join([*pins("serve"), ""]), "utf-8")
    (folder / "docker").mkdir()
    dockerfile = carried_file("charloom/sagemaker/serve.Dockerfile")
    (folder / DOCKERFILE).write_bytes(dockerfile.read_bytes())


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


def installs_at_start(image: str) -> bool:
    """Whether an image is one of AWS's that fetch what a model's code needs when they start."""
    return _INSTALLING in image


def chosen_image(aws: Aws, image: str | None, notify: Notify) -> str:
    """The image to serve with; `notify` receives what AWS's image lacks."""
    if image:
        return image
    if found := serving_image(aws):
        return found
    if aws.dry:
        notify(Notice("the account is not asked for its charloom-serve image: the requests are as if it had none"))
        return four_function_image(aws.region)
    notify(
        Notice(
            "the account has no charloom-serve image, so AWS's pytorch-inference 2.6.0 serves: no response streaming "
            "(invoke --stream), a slower start, and a server that is no longer maintained; "
            f"{command(aws, 'image')} puts ours there"
        )
    )
    return four_function_image(aws.region)
