"""An endpoint for the time of a `with` block: it is deleted at its end, whatever happens inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from charloom.errors import CharloomError, CloudError
from charloom.events import Notice, Notify, ignore
from charloom.options import SamplingOptions
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command
from charloom.sagemaker.hosting.delete import NO_ENDPOINT, delete
from charloom.sagemaker.hosting.deploy import Deployed, DeployOptions, deploy


class Endpoint:
    """An endpoint in service that can be asked."""

    def __init__(self, aws: Aws, about: Deployed) -> None:
        """Ask the endpoint that `about` describes."""
        self._aws = aws
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

    def delete(self) -> None:
        """Delete it now, with all that belongs to it; one that is gone already is not an error.

        Raises:
            CloudError: Amazon refused something.
        """
        _delete(self._aws, self.name)


@contextmanager
def deployed(aws: Aws, model: str, *, notify: Notify = ignore, **options: Unpack[DeployOptions]) -> Iterator[Endpoint]:
    """Deploy a model for the time of a block, and delete the endpoint with all that belongs to it at the end.

    It is deleted after an exception and after Ctrl-C too. A process that is killed deletes nothing: give `ttl` as well.

        with charloom.sagemaker.deployed(aws, "runs/mine", ttl="1h") as endpoint:
            print(endpoint.generate("Once "))

    Args:
        aws: the account.
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
        _delete_anyway(aws, endpoint.name, notify)
        raise
    _delete(aws, endpoint.name, notify)


def _delete(aws: Aws, name: str, notify: Notify = ignore) -> None:
    try:
        delete(aws, name, notify=notify)
    except CloudError as error:
        if error.code != NO_ENDPOINT:
            raise


def _delete_anyway(aws: Aws, name: str, notify: Notify) -> None:
    try:
        _delete(aws, name, notify)
    except CharloomError as error:
        notify(Notice(f"the endpoint {name} could not be deleted ({error}): {command(aws, 'delete', name)}"))
