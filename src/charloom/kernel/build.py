"""The kernel as a library: the one that came with the package, or one compiled here from the source beside this file.

    python -m charloom.kernel.build     compiles it, if it is not there yet, and says where it is

A compiled library is named by what it was compiled from, so that a changed source is never met by an old library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from charloom.errors import CharloomError

HERE = Path(__file__).parent
SOURCES = (HERE / "kernel.c", HERE / "kernel.h")

# Contraction would fuse a product and a sum where the processor can, and so change the last bit. The other two spare
# checks that nothing here reads.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden")
COMPILERS = ("cc", "gcc", "clang")
WASM_FLAGS = (
    *(*FLAGS, "-msimd128", "-mbulk-memory", "-nostdlib"),
    *("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all", "-Wl,-z,stack-size=65536"),
)


def library() -> Path:
    """The kernel's library, compiled now if it has not been yet.

    Raises:
        CharloomError: there is none, and no compiler to make it.
    """
    came_with = HERE / f"kernel{_suffix()}"
    return came_with if came_with.exists() else compile_library()


def compile_library(extra: Sequence[str] = (), compiler: str | None = None) -> Path:
    """Compile the library into `build/` beside its source, or take it from there.

    Args:
        extra: more of the compiler's options.
        compiler: its name; the first one found if not given.

    Raises:
        CharloomError: no compiler is found, or it fails.
    """
    flags = [*FLAGS, *extra]
    to = HERE / "build" / f"kernel-{_hash(flags)}{_suffix()}"
    if not to.exists():
        _compile(compiler or _compiler(), flags, to)
    return to


def compile_wasm() -> Path:
    """The kernel for WebAssembly: the one that came with the package, or one compiled now, kept in `build/`.

    Raises:
        CharloomError: there is none, and nothing that can compile it; or the compiler fails.
    """
    came_with = HERE / "kernel.wasm"
    if came_with.exists():
        return came_with
    to = HERE / "build" / f"kernel-{_hash(WASM_FLAGS)}.wasm"
    if not to.exists():
        _run([*_wasm_compiler(), *WASM_FLAGS], to)
    return to


def _hash(flags: Sequence[str]) -> str:
    made_from = [flag.encode() for flag in flags] + [source.read_bytes() for source in SOURCES]
    return hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]


def _wasm_compiler() -> list[str]:
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding"]
    clang = shutil.which("clang")
    if clang is not None and shutil.which("wasm-ld") is not None:
        return [clang, "--target=wasm32"]
    raise CharloomError("nothing here compiles WebAssembly: pip install ziglang, or install clang and lld")


def _compiler() -> str:
    for name in (os.environ.get("CC"), *COMPILERS):
        found = shutil.which(name) if name else None
        if found is not None:
            return found
    raise CharloomError("no C compiler is found to make the kernel: install one (cc), or charloom's wheel")


def _compile(compiler: str, flags: Sequence[str], to: Path) -> None:
    _run([compiler, *flags, "-fPIC", "-shared"], to)


def _run(command: Sequence[str], to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        made = Path(folder) / to.name
        whole = [*command, str(SOURCES[0]), "-o", str(made)]
        done = subprocess.run(whole, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise CharloomError(f"the kernel cannot be compiled by {command[0]}: {reason[:200]}")
        made.replace(to)  # whoever compiles at the same time makes the same file


def _suffix() -> str:
    return {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


if __name__ == "__main__":
    print(library())  # noqa: T201
