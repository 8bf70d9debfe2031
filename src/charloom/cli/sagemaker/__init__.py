"""`charloom sagemaker`: each command in a file of its own, imported when it is called."""

from __future__ import annotations

from cyclopts import App

from charloom.cli.examples import prologue

COMMANDS = {
    "upload": "Prepare a corpus and put it into S3.",
    "train": "Train as a SageMaker job, or here as one would be.",
    "status": "Say how a job is doing.",
    "logs": "Show what a job or an endpoint has written.",
    "stop": "Stop a job.",
    "attach": "Fetch a job's model into a model directory.",
    "image": "Build the serving image and push it to the account.",
    "package": "Pack a model as model.tar.gz, and check that it serves.",
    "deploy": "Put a model behind an endpoint.",
    "invoke": "Ask an endpoint to continue a text.",
    "transform": "Generate or score JSON lines in S3 as a batch.",
    "list": "Every endpoint and job of ours: age, price so far, expiry.",
    "delete": "Delete an endpoint with all that belongs to it, or a job of this machine.",
    "reap": "Delete the endpoints that have expired.",
}


def _make_app() -> App:
    app = App(
        name="sagemaker",
        help="Amazon SageMaker, a step at a time; --dry-run shows the requests of any of them.",
        help_prologue=prologue("sagemaker"),
    )
    for place, (name, does) in enumerate(COMMANDS.items()):
        function = {"list": "list_endpoints"}.get(name, name)
        app.command(
            f"charloom.cli.sagemaker.{name}:{function}",
            name=name,
            help=does,
            sort_key=place,
            help_prologue=prologue(f"sagemaker {name}"),
        )
    return app


sagemaker_app = _make_app()
