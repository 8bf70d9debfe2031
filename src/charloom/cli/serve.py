"""`charloom serve`."""

from __future__ import annotations

import os
import threading
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from charloom.bundle import holds_model, open_model_directory
from charloom.cli.output import Output, OutputOptions
from charloom.errors import MissingExtraError
from charloom.interrupts import INTERRUPTED
from charloom.serving.settings import ServeSettings, container_model, gather_settings, in_container

if TYPE_CHECKING:
    from charloom.serving.run import Listening

_SERVING = Group("Serving (also CHARLOOM_SERVE_... in the environment, and --config)", sort_key=10)


def serve(
    *model: str | Path,
    config: Path | None = None,
    open_page: Annotated[bool, Parameter(name="--open", negative=())] = False,
    serving: Annotated[ServeSettings, Parameter(name="*", group=_SERVING)] = ServeSettings(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Serve models over HTTP, with a page to play with them.

    Keys may also be in CHARLOOM_SERVE_API_KEY. SIGTERM and Ctrl-C finish what is being answered, then end.

    Parameters
    ----------
    model
        Model directories, each PATH or NAME=PATH; under SageMaker /opt/ml/model if none is given.
    config
        A TOML file of settings, named as the options are; options and environment go over it.
    open_page
        Open the page in a browser as soon as it can be reached.
    """
    specs = [str(each) for each in model]
    out, contained = Output(options), in_container(specs, os.environ)
    chosen: dict[str, Any] = {name: getattr(serving, name) for name in serving.model_fields_set}
    settings = gather_settings(chosen, os.environ, config, in_container=contained)
    try:
        from charloom.serving import logs, middleware, models, run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "starlette", "uvicorn", "prometheus_client", "anyio"):
            raise MissingExtraError("serving", "serve") from error
        raise
    named = models.named_paths(specs or [str(container_model(os.environ))] * contained)
    if not contained:
        _check_specs(named)
    keys = middleware.read_keys(settings.api_key_file, os.environ)
    logs.set_up(settings.log_format, quiet=options.quiet)

    def announce(listening: Listening) -> None:
        if out.json:
            out.result({**asdict(listening), "models": list(named)})
        does = {"ok": "serving", "loading": "still loading"}.get(listening.status, "cannot serve")
        out.say(f"{does} {', '.join(named)} at {listening.address}")
        if open_page:
            threading.Thread(target=_open_page, args=(out, listening.address), daemon=True).start()

    return INTERRUPTED if run.serve(named, settings, keys=keys, announce=announce) else 0


def _open_page(out: Output, address: str) -> None:
    """In a thread of its own: a browser in the terminal returns when it is closed."""
    if not webbrowser.open(address):
        out.say(f"note: there is no browser to open here; open {address} yourself", style="yellow")


def _check_specs(named: dict[str, Any]) -> None:
    """Say at once what needs no loading to be seen.

    Raises:
        ModelDirectoryError: a folder is not there, or holds no model.
    """
    for path in named.values():
        if not holds_model(Path(path)):
            open_model_directory(path)
