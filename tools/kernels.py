"""Compile the kernel where that has not been done, and say where: `scripts/kernels [all | TARGET...]`."""

from __future__ import annotations

import sys

from charloom.errors import CharloomError
from charloom.kernel.build import TARGETS, WASM, cross_compile


def main() -> None:
    """Compile for the targets that are named, or for all."""
    named = sys.argv[1:]
    try:
        for target in [*TARGETS, WASM] if named in ([], ["all"]) else named:
            print(cross_compile(target))  # noqa: T201
    except CharloomError as error:
        sys.exit(f"kernels: {error}")


if __name__ == "__main__":
    main()
