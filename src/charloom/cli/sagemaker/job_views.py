"""How a job is shown, and what Ctrl-C asks while one is waited for."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charloom.cli.output import Output
from charloom.interrupts import INTERRUPTED
from charloom.report import duration
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.batch_transform import TransformStatus
from charloom.sagemaker.commands import command
from charloom.sagemaker.instances import LOCAL, UNKNOWN, shown_price
from charloom.sagemaker.jobs.follow import JobStatus, Watch, stop_training


def job_data(found: JobStatus | TransformStatus) -> dict[str, Any]:
    """A job's status as JSON has it; times in ISO 8601."""
    data = asdict(found)
    shown = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in data.items()}
    return {"job": shown.pop("name"), **shown}


def job_text(found: JobStatus | TransformStatus, region: str) -> str:
    """A job's status for people."""
    many = f"{found.instances} × " if found.instances > 1 else ""
    spot = ", spot" if isinstance(found, JobStatus) and found.spot else ""
    lines = [
        f"job      {found.name}",
        f"status   {_state(found)}",
        f"machine  {many}{found.instance}{spot}" + ("" if region == LOCAL else f" in {region}"),
        f"time     {_time(found)}",
        f"price    {_price(found)}",
    ]
    if isinstance(found, JobStatus):
        lines += [f"metric   {name} {value:g}" for name, value in sorted(found.metrics.items())]
        lines += [f"model    {found.artifact}"] if found.artifact else []
    else:
        lines += [f"model    {found.model}", f"input    {found.input}", f"output   {found.output}"]
    lines += [f"failure  {found.failure_reason}"] if found.failure_reason else []
    return "\n".join(lines)


def _state(found: JobStatus | TransformStatus) -> str:
    if isinstance(found, TransformStatus):
        return found.status
    since = "" if found.since is None else f", for {duration((datetime.now(UTC) - found.since).total_seconds())}"
    message = f" ({found.message})" if found.message else ""
    return f"{found.status}: {found.secondary_status}{'' if found.over else since}{message}"


def _time(found: JobStatus | TransformStatus) -> str:
    if found.seconds is None:
        return "not begun"
    billed = found.seconds_billed if isinstance(found, JobStatus) else None
    return duration(found.seconds) + ("" if billed is None else f", {duration(billed)} billed")


def _price(found: JobStatus | TransformStatus) -> str:
    if found.price_per_hour is None:
        return f"{UNKNOWN}: --price says what an hour of one machine costs"
    less = ", less on spot machines" if isinstance(found, JobStatus) and found.spot else ""
    so_far = "" if found.over else " so far"
    return f"{shown_price(found.price)}{so_far} ({shown_price(found.price_per_hour)} an hour each{less})"


def wait_for_job(out: Output, aws: Aws, watch: Watch, name: str, output: Path | None) -> JobStatus | int:
    """Wait for a job; Ctrl-C asks whether to stop it, a second one leaves it as it is. The end, or an exit status."""
    stopping = False
    while True:
        try:
            return watch.until_ended()
        except KeyboardInterrupt:
            if stopping or not _ask_to_stop(name):
                _say_how_to_go_on(out, aws, name, output, stopping)
                return INTERRUPTED
            stopping = True
            out.say("stopping it; it saves what it has, which takes up to two minutes")
            stop_training(aws, name)


def _ask_to_stop(name: str) -> bool:
    """Ask, where somebody can answer."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"\nstop the job {name}? It runs on, and is paid for, if not. [y/N] ")  # also under --quiet
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def _say_how_to_go_on(out: Output, aws: Aws, name: str, output: Path | None, stopping: bool) -> None:
    fetch = command(aws, "attach", name, output=output or Path("runs/mine"))
    state = "is stopping" if stopping else "runs on"
    out.say(
        f"the job {state}. To wait for it and fetch its model, or to stop it:\n"
        f"    {fetch}\n    {command(aws, 'stop', name)}",
        style="bold",
    )
