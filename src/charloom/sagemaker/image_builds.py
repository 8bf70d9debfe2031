"""Build a container image and push it: by Docker on this machine, or by AWS CodeBuild."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import deque
from pathlib import Path
from typing import Any

from charloom.errors import CharloomError, CloudError
from charloom.events import LogLine, Notify, StatusChanged
from charloom.sagemaker.aws import Answer, Aws, is_missing
from charloom.sagemaker.names import S3Uri, tags
from charloom.sagemaker.packaging import files_under, write_zip
from charloom.sagemaker.s3 import default_bucket, ensure_bucket, upload_file
from charloom.sagemaker.waiting import looks

DOCKERFILE = "docker/serve.Dockerfile"
"""Its path in the context that Docker is sent."""

PLATFORM = "linux/amd64"
"""Of SageMaker's machines, also where the image is built on another kind."""

# SageMaker refuses the index that an attestation makes of an image; the variable turns that off in every buildx.
ENVIRONMENT = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_BUILDKIT": "1"}

_ASKING = 20  # seconds until an engine that says nothing counts as none

PROJECT = "charloom-serve"
"""The name of the project; each build is given what it needs, so that an old project builds new images."""
_MACHINE = "aws/codebuild/standard:7.0"
_MINUTES = 60
_LAST_LINES = 3
_LOOK_EVERY = 5.0  # seconds


def docker_runs() -> bool:
    """Whether there is a Docker engine that answers."""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=_ASKING, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def build_with_docker(aws: Aws, context: Path, image: str, names: list[str], notify: Notify) -> None:
    """Build a context's Dockerfile and push it under several tags; a dry run only asks for the right to push."""
    response = aws.call("ecr", "get_authorization_token")
    if aws.dry:
        return
    user, _, password = base64.b64decode(response["authorizationData"][0]["authorizationToken"]).decode().partition(":")
    login = ["login", "--username", user, "--password-stdin", image.partition("/")[0]]
    _docker(login, context, notify, given=password)  # not as an option: everybody could read those
    tagged = [f"{image}:{name}" for name in names]
    marks = [part for name in tagged for part in ("--tag", name)]
    _docker(["build", "--platform", PLATFORM, "--file", DOCKERFILE, *marks, "."], context, notify)
    for name in tagged:
        _docker(["push", name], context, notify)


def _docker(arguments: list[str], folder: Path, notify: Notify, given: str = "") -> None:
    """Run Docker and pass on what it says."""
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


def buildspec() -> str:
    """What the machine does: JSON, which is YAML as well."""
    login = "aws ecr get-login-password | docker login --username AWS --password-stdin ${IMAGE%%/*}"
    marks = '--tag "$IMAGE:$VERSION" --tag "$IMAGE:latest"'
    return json.dumps(
        {
            "version": 0.2,
            "env": {"variables": ENVIRONMENT},
            "phases": {
                "pre_build": {"commands": [login]},
                "build": {
                    "commands": [
                        f"docker build --platform {PLATFORM} --file {DOCKERFILE} {marks} .",
                        'docker push "$IMAGE:$VERSION"',
                        'docker push "$IMAGE:latest"',
                    ]
                },
            },
        },
        indent=1,
    )


def project_request(source: S3Uri, role: str) -> dict[str, Any]:
    """CreateProject: a machine that may run Docker."""
    return {
        "name": PROJECT,
        "description": "Builds charloom's serving image",
        "source": {"type": "S3", "location": f"{source.bucket}/{source.key}", "buildspec": buildspec()},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": _MACHINE,
            "computeType": "BUILD_GENERAL1_SMALL",
            "privilegedMode": True,  # Docker needs that
        },
        "serviceRole": role,
        "timeoutInMinutes": _MINUTES,
        "tags": [{"key": tag["Key"], "value": tag["Value"]} for tag in tags()],
    }


def build_request(source: S3Uri, role: str, image: str, version: str) -> dict[str, Any]:
    """StartBuild: this source, this role, this image."""
    variables = {"IMAGE": image, "VERSION": version}
    return {
        "projectName": PROJECT,
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": f"{source.bucket}/{source.key}",
        "buildspecOverride": buildspec(),
        "serviceRoleOverride": role,
        "imageOverride": _MACHINE,
        "privilegedModeOverride": True,
        "timeoutInMinutesOverride": _MINUTES,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
        ],
    }


def build_with_codebuild(
    aws: Aws, context: Path, image: str, version: str, role: str, bucket: str | None, notify: Notify
) -> None:
    """Send a context, let it be built and pushed, and follow that to its end. Interrupted, the build is stopped."""
    place = bucket or default_bucket(aws)
    ensure_bucket(aws, place)
    source = S3Uri(place) / "charloom" / "image" / f"charloom-serve-{version}.zip"
    archive = context.with_name(f"{context.name}.zip")
    try:
        write_zip(archive, {name: path.read_bytes() for name, path in sorted(files_under(context).items())})
        upload_file(aws, archive, source, notify)
    finally:
        archive.unlink(missing_ok=True)
    try:
        aws.call("codebuild", "create_project", **project_request(source, role))
    except CloudError as error:
        if error.code != "ResourceAlreadyExistsException":
            raise
    started = aws.call("codebuild", "start_build", **build_request(source, role, image, version))
    identity = str(started.get("build", {}).get("id", "BUILD_ID"))
    try:
        _Following(aws, identity, notify).to_the_end()
    except KeyboardInterrupt:
        aws.call("codebuild", "stop_build", id=identity)
        raise


class _Following:
    """A build, as it goes on."""

    def __init__(self, aws: Aws, identity: str, notify: Notify) -> None:
        self._aws = aws
        self._identity = identity
        self._notify = notify
        self._phase = ""
        self._token: dict[str, str] = {}
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def to_the_end(self) -> None:
        """Pass on phases and lines."""
        for build in looks(self._look, PROJECT, self._notify, every=_LOOK_EVERY):
            status = build.get("buildStatus", "UNKNOWN")
            if self._aws.dry or status == "SUCCEEDED":
                return
            if status != "IN_PROGRESS":
                raise CloudError(f"the image was not built: {status}: {self._why(build)}", status, self._why(build))

    def _look(self) -> Answer:
        found = self._aws.call("codebuild", "batch_get_builds", ids=[self._identity]).get("builds", [])
        build: Answer = found[0] if found else {}
        if build.get("currentPhase", self._phase) != self._phase:
            self._phase = build["currentPhase"]
            self._notify(StatusChanged(PROJECT, self._phase))
        self._pass_on_lines(build.get("logs", {}))
        return build

    def _pass_on_lines(self, logs: Answer) -> None:
        group, stream = logs.get("groupName"), logs.get("streamName")
        if self._aws.dry:
            group, stream = f"/aws/codebuild/{PROJECT}", "STREAM"
        while group and stream:
            page = self._lines(group, stream)
            for event in page.get("events", []):
                line = str(event["message"]).rstrip()
                self._last.append(line)
                self._notify(LogLine(line))
            token = {"nextToken": page["nextForwardToken"]} if page.get("nextForwardToken") else {}
            if token in ({}, self._token):
                return
            self._token = token

    def _lines(self, group: str, stream: str) -> Answer:
        """The next lines; none where the log has not begun yet."""
        place = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
        try:
            return self._aws.call("logs", "get_log_events", **place, **self._token)
        except CloudError as error:
            if not is_missing(error):
                raise
            return {}

    def _why(self, build: Answer) -> str:
        """What the phases that failed say, and the last lines."""
        said = [
            str(context.get("message") or context.get("statusCode"))
            for phase in build.get("phases", [])
            if phase.get("phaseStatus") not in (None, "SUCCEEDED")
            for context in phase.get("contexts", [])
        ]
        return " ".join(" / ".join([*said, *self._last]).split())[:1000] or "it did not say why"
