"""Compile the kernel where that has not been done, and say where: `python -m charloom.kernel [all | TARGET...]`."""

import sys

from charloom.errors import CharloomError
from charloom.kernel.build import TARGETS, WASM, compile_library, cross_compile

try:
    wanted = [*TARGETS, WASM] if sys.argv[1:] == ["all"] else sys.argv[1:]
    for target in wanted:
        print(cross_compile(target))  # noqa: T201
    if not wanted:
        print(compile_library())  # noqa: T201
except CharloomError as error:
    sys.exit(f"charloom.kernel: {error}")
