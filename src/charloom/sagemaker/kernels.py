"""The compiled kernels that travel with charloom: those that are here, and those for SageMaker's machines.

An installed charloom has those of every platform. A checkout has its own machine's, and compiles others by ziglang.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from charloom.errors import CharloomError
from charloom.events import Notice
from charloom.kernel.build import cross_compile, found_libraries

_MACHINES = ("x86_64", "aarch64")  # aarch64 is Graviton


def kernel_files() -> dict[str, Path]:
    """Compiled kernels, by their names in the package."""
    for machine in _MACHINES:
        with contextlib.suppress(CharloomError):
            cross_compile(f"linux-{machine}")
    return {f"charloom/kernel/build/{path.name}": path for path in found_libraries().values()}


def report_missing_kernel(notify: Callable[[Notice], None], machine: str = "x86_64") -> None:
    """Notify where numpy will run the network on a Linux machine of this kind, because no kernel for it is packed."""
    if f"linux-{machine}" not in found_libraries():
        notify(
            Notice(
                f"no compiled kernel for Linux on {machine} is packed, so numpy runs the network there, many times "
                f"slower: pip install ziglang, which compiles one, and pack again"
            )
        )
