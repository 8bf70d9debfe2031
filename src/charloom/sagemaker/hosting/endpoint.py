"""An endpoint for the time of a `with` block: it is deleted at its end, whatever happens inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from charloom.errors import CharloomError, CloudError
from charloom.events import Notice, Notify, ignore
from charloom.options import SamplingOptions
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.backend import delete, deploy
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.hosting.delete import NO_ENDPOINT
from charloom.sagemaker.hosting.deploy import Deployed
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.options import EndpointOptions


class DeployOptions(EndpointOptions, total=False):
    """What `deploy` takes by name, except `notify`."""

    settings: EndpointSettings | None
    name: str | None


class Endpoint:
    """An endpoint in service that can be asked."""

    def __init__(self, aws: Aws | None, about: Deployed) -> None:
        """Ask the endpoint that `about` describes."""
        self._aws = None if about.region == LOCAL else aws
        self.about = about

    @property
    def name(self) -> str:
        """What it is called."""
        return self.about.name

    def generate(self, prompt: str, **sampling: Unpack[SamplingOptions]) -> str:
        """Continue a text; the continuation alone.

        Args:
            prompt: the text.
            **sampling: as for `Model.generate`: length, temperature, top_k, top_p, min_p, seed, stop.

        Raises:
            UsageError: an option cannot work.
            CloudError: the endpoint refused, or could not be reached.
        """
        from charloom.sagemaker.invocation import invoke

        return invoke(self._aws, self.name, prompt, **sampling).text

    def delete(self, notify: Notify = ignore) -> None:
        """Delete it now, with all that belongs to it; one that is gone already is not an error.

        Raises:
            CloudError: Amazon refused something.
        """
        try:
            delete(self._aws, self.name, notify=notify)
        except CloudError as error:
            if error.code != NO_ENDPOINT:
                raise

    def _delete_anyway(self, notify: Notify) -> None:
        try:
            self.delete(notify)
        except CharloomError as error:
            again = command(HERE if self._aws is None else self._aws, "delete", self.name)
            notify(Notice(f"the endpoint {self.name} could not be deleted ({error}): {again}"))


@contextmanager
def deployed(
    aws: Aws | None, model: str | Path, *, notify: Notify = ignore, **options: Unpack[DeployOptions]
) -> Iterator[Endpoint]:
    """Deploy a model for the time of a block, and delete the endpoint with all that belongs to it at the end.

    It is deleted after an exception and after Ctrl-C too. A process that is killed deletes nothing: give `ttl` as well.

        with charloom.sagemaker.deployed(aws, "runs/mine", ttl="1h") as endpoint:
            print(endpoint.generate("Once "))

    Args:
        aws: the account; for an endpoint of this machine it may be None.
        model: as for `deploy`.
        notify: receives what happens.
        **options: as for `deploy`.

    Raises:
        CharloomError: as `deploy` and `delete` do; if both the block and the deletion fail, the block's error.
    """
    endpoint = Endpoint(aws, deploy(aws, model, notify=notify, **options))
    try:
        yield endpoint
    except BaseException:
        endpoint._delete_anyway(notify)
        raise
    endpoint.delete(notify)
