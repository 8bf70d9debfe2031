"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.errors import UsageError

# `-` is standard input; the command-line library takes a lone hyphen for an option unless told.
CorpusArgument = Annotated[str, Parameter(allow_leading_hyphen=True)]

Threads = Annotated[int, Field(ge=1, le=1024)]


def corpus_specs(corpus: Sequence[str]) -> list[str]:
    """The corpora that were named, after refusing what was meant to be an option.

    Raises:
        UsageError: one begins with a hyphen and is not `-` itself.
    """
    for spec in corpus:
        if spec.startswith("-") and spec != "-":
            raise UsageError(f"there is no option {spec} here (a file of that name: ./{spec})")
    return list(corpus)
