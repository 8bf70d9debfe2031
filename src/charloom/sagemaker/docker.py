"""Docker on this machine: builds an image and pushes it."""

from __future__ import annotations

import base64
import os
import subprocess
from collections import deque
from pathlib import Path

from charloom.errors import CharloomError
from charloom.events import LogLine, Notify
from charloom.sagemaker.aws import Aws

DOCKERFILE = "docker/serve.Dockerfile"
"""Where it stands in what Docker is sent."""

PLATFORM = "linux/amd64"
"""Of SageMaker's machines, also where the image is built on another kind."""

# SageMaker refuses the index that an attestation makes of an image; the variable turns that off in every buildx.
ENVIRONMENT = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_BUILDKIT": "1"}

_ASKING = 20  # seconds until an engine that says nothing counts as none
_LAST_LINES = 3


def engine_runs() -> bool:
    """Whether there is a Docker engine that answers."""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=_ASKING, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def build_and_push(aws: Aws, context: Path, image: str, names: list[str], notify: Notify) -> None:
    """Build a context's Dockerfile and push it under several tags; a dry run only asks for the right to push.

    Args:
        aws: the account.
        context: the folder that Docker is sent.
        image: its address in the registry, without a tag.
        names: the tags.
        notify: receives what Docker says.

    Raises:
        CharloomError: Docker is not there, or failed.
        CloudError: the registry gave no right to push.
    """
    told = aws.call("ecr", "get_authorization_token")
    if aws.dry:
        return
    user, _, password = base64.b64decode(told["authorizationData"][0]["authorizationToken"]).decode().partition(":")
    login = ["login", "--username", user, "--password-stdin", image.partition("/")[0]]
    _docker(login, context, notify, given=password)  # not as an option: everybody could read those
    tagged = [f"{image}:{name}" for name in names]
    marks = [part for name in tagged for part in ("--tag", name)]
    _docker(["build", "--platform", PLATFORM, "--file", DOCKERFILE, *marks, "."], context, notify)
    for name in tagged:
        _docker(["push", name], context, notify)


def _docker(arguments: list[str], folder: Path, notify: Notify, given: str = "") -> None:
    """Run Docker and pass on what it says.

    Raises:
        CharloomError: it failed; its last lines are in the message.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        with subprocess.Popen(
            ["docker", *arguments],
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(given)
            process.stdin.close()
            for line in process.stdout:
                if line.strip():
                    last.append(line.strip())
                    notify(LogLine(line.rstrip()))
    except OSError as error:
        raise CharloomError(f"cannot run docker: {error.strerror or error}; --builder codebuild needs none") from None
    if process.returncode:
        raise CharloomError(f"docker {arguments[0]} failed: {' / '.join(last)[:500] or 'it did not say why'}")
