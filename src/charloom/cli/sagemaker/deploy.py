"""`charloom sagemaker deploy`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Group, Parameter

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, other_account, reach_account
from charloom.cli.sagemaker.consent import may_cost
from charloom.interrupts import end_as_interrupt
from charloom.sagemaker.commands import HERE, Where, command
from charloom.sagemaker.hosting.deploy import Deployed, plan_deployment, put_in_service
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.other_regions import endpoint_elsewhere
from charloom.sagemaker.sources import ModelSource

_ENDPOINT = Group("Endpoint", sort_key=10)


def deploy(
    model: str,
    *,
    name: str | None = None,
    yes: Annotated[bool, Parameter(negative=())] = False,
    endpoint: Annotated[EndpointSettings, Parameter(name="*", group=_ENDPOINT)] = EndpointSettings(),
    cloud: CloudOptions = CloudOptions(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Put a model behind an endpoint, and wait until it is in service.

    What it costs is said first, and asked about. If it fails, or Ctrl-C comes before it is in service, all that was
    created is removed again. It costs until charloom sagemaker delete NAME, or until --ttl is over.

    Parameters
    ----------
    model
        A model directory, a model.tar.gz, the s3:// address of one, or the name of a finished training job.
    name
        What to call it; made from the model's name if not given.
    yes
        Do not ask whether it may cost that much.
    """
    out = Output(options)
    source = ModelSource.parse(model)
    if endpoint.local:
        _deploy_here(out, source, name, endpoint, cloud)
        return 0
    aws = reach_account(cloud, out)
    plan = plan_deployment(aws, source, endpoint, name)
    if not may_cost(out, aws, endpoint.stated_cost(aws.region), None, "deploy it?", yes=yes):
        out.say("nothing was created")
        return 1
    with CloudView(out) as view, end_as_interrupt():
        made = put_in_service(aws, plan, view)
    if not aws.dry:
        _tell(out, aws, made, endpoint)
    return 0


def _deploy_here(
    out: Output, model: ModelSource, name: str | None, endpoint: EndpointSettings, cloud: CloudOptions
) -> None:
    from charloom.sagemaker.local.backend import Local

    here = Local(lambda: reach_account(cloud, out))
    if cloud.dry_run:
        here.check_deployment(model, endpoint, name)
        out.say("this machine: no request would be sent")
        return
    with CloudView(out) as view, end_as_interrupt():
        made = here.deploy(model, endpoint, name=name, notify=view)
    _tell(out, HERE, made, endpoint)
    for sentence in endpoint_elsewhere(made.name, other_account(cloud)):
        out.warn(sentence)


def _tell(out: Output, where: Where, made: Deployed, endpoint: EndpointSettings) -> None:
    if out.json:
        out.result(asdict(made))
        return
    out.text(made.name)
    ask = command(where, "invoke", made.name, prompt="The ", async_=endpoint.asynchronous)
    out.say(f"now try:\n    {ask}\nand when you are done:\n    {command(where, 'delete', made.name)}", style="bold")
