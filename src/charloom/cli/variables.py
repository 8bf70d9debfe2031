"""The environment's variables that are charloom's, and a word about those whose names are nearly theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

_PREFIX: Final = "CHARLOOM_"
_NEAR: Final = 0.8  # of difflib: a letter or two; your own variables may begin with charloom's name too

# `charloom serve` has more, and refuses those of its own that it does not know.
READ: Final = frozenset({
    "CHARLOOM_CACHE", "CHARLOOM_CODEBUILD_ROLE", "CHARLOOM_HOME", "CHARLOOM_KERNEL", "CHARLOOM_KERNELS",
    "CHARLOOM_SAGEMAKER_ROLE", "CHARLOOM_SCHEDULER_ROLE",
})  # fmt: skip


def misspelt_variables(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The names that are nearly those of variables that are read, each with the nearest."""
    others = [name for name in names if name.upper().startswith(_PREFIX) and name not in READ]
    if not others:
        return
    from charloom.serving.settings import PREFIX, variables

    known = {name.removeprefix(_PREFIX): name for name in (*READ, *variables())}
    for name in others:
        near = get_close_matches(name.upper().removeprefix(_PREFIX), known, 1, _NEAR)
        if near and not name.startswith(PREFIX):
            yield name, known[near[0]]
