"""`charloom inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from charloom.bundle import (
    FileCheck,
    MemoryRecord,
    ModelConfig,
    ModelDirectory,
    UnfinishedRun,
    evaluations,
    holds_model,
    open_model_directory,
    read_recent_history,
    read_unfinished,
)
from charloom.bundle.config import GRAPH, METRICS, STEP_GRAPH, CopiedRecord, LikenessRecord, PrecisionRecord
from charloom.cli.history import show_history
from charloom.cli.output import Output, OutputOptions
from charloom.display import typed, visible
from charloom.errors import ModelDirectoryError
from charloom.files import expand_home
from charloom.kernel.weights import read_weights
from charloom.runtime.onnx_session import check_graph
from charloom.runtime.session import check_network
from charloom.text.named import NAMED


def inspect(model: Path, *, options: OutputOptions = OutputOptions()) -> int:
    """Say what a model is, what it was trained on and how that went, and whether it is whole (exit status 1 if not).

    Parameters
    ----------
    model
        The model directory.
    """
    out = Output(options)
    unfinished = _read_unfinished(model)
    if unfinished is not None and not holds_model(expand_home(model)):
        return _report_unfinished(out, model, unfinished)
    directory = open_model_directory(model)
    files = list(directory.check_files())
    damaged = [f"{visible(file.name)} is {file.state}" for file in files if not file.harmless]
    graph_problem = _graph_problem(directory)
    problem = "; ".join(damaged) or graph_problem
    history = directory.read_evaluations()
    if out.json:
        out.result(
            {
                "model": str(directory.address or model),
                "config": directory.config.model_dump(mode="json"),
                "files": [asdict(file) for file in files],
                "checks": {"files": not damaged, "graph": graph_problem is None},
                "whole": problem is None,
                "problem": problem,
                "unfinished": unfinished is not None,
                "history": [asdict(record) for record in history],
            }
        )
    else:
        out.sentences(_description(directory.config))
        show_history(out, history)
        out.sentences(_file_table(files))
        if unfinished is not None:
            own = directory.config.training.get("run") == unfinished.identity
            which = "from" if own else "to be replaced by"
            out.sentences(f"{which} {_progress(unfinished)}; to continue:\n    {_resume_command(model, unfinished)}")
        out.sentences("it is whole" if problem is None else f"NOT WHOLE: {problem}")
    return 0 if problem is None else 1


def _report_unfinished(out: Output, model: Path, run: UnfinishedRun) -> int:
    """What there is of a model that training has not written yet; exit status 1, as it is not whole."""
    history = evaluations(read_recent_history(expand_home(model) / METRICS))
    command = _resume_command(model, run)
    if out.json:
        out.result(
            {
                "model": str(model),
                "whole": False,
                "unfinished": True,
                "step": run.step,
                "steps": run.steps,
                "history": [asdict(record) for record in history],
                "resume": command,
            }
        )
    else:
        out.sentences(f"no model yet: {_progress(run)}")
        show_history(out, history)
        out.sentences(f"it may still be training; if it was interrupted, continue it with:\n    {command}")
    return 1


def _read_unfinished(model: Path) -> UnfinishedRun | None:
    try:
        return read_unfinished(expand_home(model))
    except OSError:  # not to be read, or too long for a name
        return None


def _progress(run: UnfinishedRun) -> str:
    of = "" if run.steps is None else f" of {run.steps:,}"
    return f"an unfinished run, at step {run.step:,}{of}"


def _resume_command(model: Path, run: UnfinishedRun) -> str:
    # The names alone are recorded, not where the texts are; of a named corpus also the Python that it came from.
    sources: list[str | Path] = [
        next((name for name in NAMED if source.startswith(f"{name} (")), _as_name(source)) for source in run.sources[:5]
    ]
    corpus = sources if sources and len(run.sources) <= 5 else ["YOUR-TEXTS"]
    return typed("charloom", "train", *corpus, "-o", model, "--resume")


def _as_name(source: str) -> str | Path:
    return Path(source) if source.startswith("-") else source


def _graph_problem(directory: ModelDirectory) -> str | None:
    """Step the network as `generate` would, and its graphs; the reason if one cannot run."""
    shape = directory.config.model
    try:
        check_network(shape, read_weights(directory))
        for name in (GRAPH, STEP_GRAPH):
            graph = directory.read_graph(name)
            if graph is not None:
                check_graph(graph, shape, name)
    except ModelDirectoryError as error:
        return str(error)
    return None


def _description(config: ModelConfig) -> str:
    shape, corpus = config.model, config.corpus
    embedding = f"embedding {shape.embedding_size}" if shape.embedding_size else "one-hot input"
    lines = [
        f"{shape.cell.upper()} {shape.num_layers} × {shape.hidden_size}, {embedding}, {shape.vocab_size} symbols "
        f"({corpus.vocabulary}), {shape.parameters:,} parameters; charloom {visible(config.library_version)}",
        f"trained on {visible(', '.join(corpus.sources))}: {corpus.characters:,} characters, "
        f"cleaning {visible(', '.join(corpus.cleaning)) or 'none'}, sha256 {corpus.sha256[:12]}…",
    ]
    lines += [
        f"{visible(protocol):>12}: {loss.loss:.4f} nats, {loss.bits_per_char:.4f} bits per character "
        f"on {loss.characters:,} held-out characters"
        for protocol, loss in config.losses.items()
    ]
    if config.likeness is not None and config.likeness.unlike:
        lines.append(_unlike_line(config.likeness))
    if config.precision is not None:
        lines.append(_precision_line(config.precision))
    if isinstance(temperature := config.training.get("temperature"), dict):
        lines.append(f"writes at temperature {visible(str(temperature.get('reason')))}")
    if config.memory is not None:
        lines.append(_memory_line(config.memory))
    if config.listed is not None:
        lines.append(f"{config.listed.listed:,} of {config.listed.written:,} items that it wrote are on its list")
    return "\n".join(lines)


def _unlike_line(likeness: LikenessRecord) -> str:
    return (
        f"the held-out end is unlike the rest of the text: {likeness.held_out:.2f} bits a symbol by a 3-gram, "
        f"and {likeness.learned:.2f} elsewhere"
    )


def _precision_line(precision: PrecisionRecord) -> str:
    writes = "int8" if precision.int8_is_faithful else "float32"
    return (
        f"writes with {writes}: {precision.int8:.4f} nats in int8, {precision.float32:.4f} in float32 "
        f"on {precision.characters:,} characters"
    )


def _memory_line(memory: MemoryRecord) -> str:
    recited, unseen = memory.recited, memory.unseen
    beside = "" if unseen is None else f", and {_copied(unseen)} of real text that it has not seen"
    return (
        f"memorized: {recited.exact} of {recited.samples} passages of the training text; in copies of 50 characters or "
        f"more are {_copied(memory.written)} of what it writes{beside}"
    )


def _copied(record: CopiedRecord) -> str:
    """How much of a text is copied, and the longest copy."""
    return f"{record.copied_fraction.get('50', 0.0):.1%} (the longest: {record.longest:,})"


def _file_table(files: list[FileCheck]) -> str:
    return "\n".join(f"  {file.state:<8}{file.bytes:>14,}  {visible(file.name)}" for file in files)
