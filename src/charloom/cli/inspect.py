"""`charloom inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from charloom.bundle import FileCheck, ModelConfig, ModelDirectory, open_model_directory
from charloom.cli.output import Output, OutputOptions
from charloom.errors import ModelDirectoryError
from charloom.runtime.session import OnnxSession


def inspect(model: Path, *, options: OutputOptions = OutputOptions()) -> int:  # noqa: B008
    """Say what a model is, what it was trained on, and whether it is whole (exit status 1 if not).

    Parameters
    ----------
    model
        The model directory.
    """
    out = Output(options)
    directory = open_model_directory(model)
    files = list(directory.check_files())
    damaged = [f"{file.name} is {file.state}" for file in files if not file.harmless]
    graph_problem = _graph_problem(directory)
    problem = "; ".join(damaged) or graph_problem
    if out.json:
        out.result(
            {
                "model": str(model),
                "config": directory.config.model_dump(mode="json"),
                "files": [asdict(file) for file in files],
                "checks": {"files": not damaged, "graph": graph_problem is None},
                "whole": problem is None,
            }
        )
    else:
        out.text(_description(directory.config))
        out.text(_file_table(files))
        out.text("it is whole" if problem is None else f"NOT WHOLE: {problem}")
    return 0 if problem is None else 1


def _graph_problem(directory: ModelDirectory) -> str | None:
    """Load the graph as `generate` would; the reason if it cannot be loaded."""
    try:
        OnnxSession(directory.read_graph(), directory.config.model)
    except ModelDirectoryError as error:
        return str(error)
    return None


def _description(config: ModelConfig) -> str:
    shape, corpus = config.model, config.corpus
    embedding = f"embedding {shape.embedding_size}" if shape.embedding_size else "one-hot input"
    lines = [
        f"{shape.cell.upper()} {shape.num_layers} × {shape.hidden_size}, {embedding}, {shape.vocab_size} symbols "
        f"({corpus.vocabulary}), {shape.parameters:,} parameters; charloom {config.library_version}",
        f"trained on {', '.join(corpus.sources)}: {corpus.characters:,} characters, "
        f"cleaning {', '.join(corpus.cleaning) or 'none'}, sha256 {corpus.sha256[:12]}…",
    ]
    lines += [
        f"{protocol:>12}: {loss.loss:.4f} nats, {loss.bits_per_char:.4f} bits per character "
        f"on {loss.characters:,} characters kept back"
        for protocol, loss in config.losses.items()
    ]
    return "\n".join(lines)


def _file_table(files: list[FileCheck]) -> str:
    return "\n".join(f"  {file.state:<8}{file.bytes:>14,}  {file.name}" for file in files)
