"""`charloom sagemaker invoke`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend, note_elsewhere
from charloom.cli.sagemaker.cloud import CloudView
from charloom.cli.texts import read_text
from charloom.errors import UsageError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import HERE, shown_place
from charloom.sagemaker.invocation import Answer, collect, invoke_later, invoke_stream, invoke_text
from charloom.sagemaker.invocation import invoke as ask
from charloom.sagemaker.other_regions import endpoint_elsewhere
from charloom.settings import SamplingSettings

_SAMPLING = Group("Sampling (defaults are the model's generation_config.json)", sort_key=10)


def invoke(
    name: str,
    *,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompt_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    payload: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    sampling: Annotated[SamplingSettings, Parameter(name="*", group=_SAMPLING)] = SamplingSettings(),
    stream: Annotated[bool, Parameter(negative=())] = False,
    later: Annotated[bool, Parameter(name="--async", negative=())] = False,
    wait: bool = True,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Ask an endpoint to continue a text.

    Parameters
    ----------
    name
        The endpoint: of this machine, else of the account; --here, --region and --profile decide.
    prompt
        What to continue; without one the text starts from nothing.
    prompt_file
        A UTF-8 file with the prompt; - is stdin.
    payload
        The total length, a hyphen and the start text, such as "100-you are "; sent as plain text.
    stream
        Show characters as they arrive; an answer may then take 8 minutes, else 60 seconds.
    later
        The endpoint is asynchronous: request and answer go through S3.
    wait
        With --async: wait for the answer, instead of printing where it will lie.
    """
    out = Output(options)
    _check(prompt, prompt_file, payload, sampling, stream=stream, later=later, wait=wait)
    start = (prompt or "") if prompt_file is None else read_text(prompt_file, "the prompt")
    backend = find_backend(place, out, "endpoint", name, "invoke", would="be asked")
    if backend is None:
        return
    aws = backend.aws
    if later and aws is None:
        raise UsageError(f"endpoint {name} is of this machine and answers at once: leave --async out")
    note_elsewhere(out, place, backend, endpoint_elsewhere(name))
    if later and aws is not None:
        _ask_later(out, aws, name, start if payload is None else payload, payload is not None, sampling, wait)
    elif payload is not None:
        _ask_payload(out, aws, name, payload)
    elif stream:
        _stream(out, aws, name, start, sampling)
    else:
        _ask_at_once(out, aws, name, start, sampling)


def _ask_payload(out: Output, aws: Aws | None, name: str, payload: str) -> None:
    text = invoke_text(aws, name, payload)
    if not _dry(aws):
        _show_text(out, name, payload, text)


def _ask_at_once(out: Output, aws: Aws | None, name: str, start: str, sampling: SamplingSettings) -> None:
    answer = ask(aws, name, start, sampling)
    if not _dry(aws):
        _show(out, aws, answer)


def _check(
    prompt: str | None,
    file: Path | None,
    payload: str | None,
    sampling: SamplingSettings,
    *,
    stream: bool,
    later: bool,
    wait: bool,
) -> None:
    if [prompt, file, payload].count(None) < 2:
        raise UsageError("give --prompt, --prompt-file or --payload, not two of them")
    if payload is not None and (stream or sampling.model_fields_set):
        given = "--stream" if stream else f"--{min(sampling.model_fields_set).replace('_', '-')}"
        raise UsageError(f"--payload says the length, and the model the rest: leave {given} out")
    if later and stream:
        raise UsageError("an asynchronous answer is not streamed: leave --stream or --async out")
    if not wait and not later:
        raise UsageError("--no-wait is for --async")


def _dry(aws: Aws | None) -> bool:
    return aws is not None and aws.dry


def _ask_later(
    out: Output, aws: Aws, name: str, text: str, is_payload: bool, sampling: SamplingSettings, wait: bool
) -> None:
    pending = invoke_later(aws, name, text, sampling, payload=is_payload)
    if wait:
        with CloudView(out) as view:
            answer = collect(aws, pending, notify=view)
        if not aws.dry and is_payload:
            _show_text(out, name, text, answer.text)
        elif not aws.dry:
            _show(out, aws, answer)
    elif not aws.dry and out.json:
        failure = None if pending.failure is None else str(pending.failure)
        out.result({"endpoint": name, "output": str(pending.output), "failure": failure})
    elif not aws.dry:
        out.text(str(pending.output))


def _stream(out: Output, aws: Aws | None, name: str, prompt: str, sampling: SamplingSettings) -> None:
    pieces = invoke_stream(aws, name, prompt, sampling)
    if _dry(aws) or out.json:
        answer = pieces.finish()
        if not _dry(aws):
            _show(out, aws, answer)
        return
    begun = False
    try:
        for piece in pieces:
            out.text(piece if begun else prompt + piece, end="")
            begun = True
    finally:
        if begun:
            out.text("")
    answer = pieces.finish()
    if not begun:
        out.text(prompt)
    _summarize(out, aws, answer)


def _show(out: Output, aws: Aws | None, answer: Answer) -> None:
    if out.json:
        out.result(asdict(answer))
        return
    out.text(answer.prompt + answer.text)
    _summarize(out, aws, answer)


def _show_text(out: Output, name: str, payload: str, text: str) -> None:
    if out.json:
        out.result({"endpoint": name, "payload": payload, "text": text})
    else:
        out.text(text)


def _summarize(out: Output, aws: Aws | None, answer: Answer) -> None:
    facts: Iterable[str] = (
        f"{answer.characters:,} characters in {answer.seconds:.2f} s",
        *([] if answer.seed is None else [f"seed {answer.seed}"]),
        shown_place(HERE if aws is None else aws),
    )
    out.say(f"({', '.join(facts)})", style="dim")
