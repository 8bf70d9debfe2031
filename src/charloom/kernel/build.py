"""The kernel as a library: one that came with the package, or one compiled here from the source beside this file.

A compiled library is named by what it was compiled from, so that a changed source is never met by an old library. It
depends on no other library, but for macOS's own: a Linux library serves glibc and musl alike.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from charloom.errors import CharloomError, StorageError, UsageError

HERE = Path(__file__).parent
BUILT = HERE / "build"
SOURCES = tuple(HERE / name for name in ("kernel.c", "kernel.h", "layers.c", "layers.h", "layers_micro.h"))
"""What a library is compiled from; WebAssembly, where nothing is trained, from the first two."""

# Contraction would fuse a product and a sum where the processor can, and so change the last bit. The other two spare
# checks that nothing here reads.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden")
COMPILERS = ("cc", "gcc", "clang")
WASM_FLAGS = (
    *(*FLAGS, "-msimd128", "-mbulk-memory", "-nostdlib"),
    *("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all", "-Wl,-z,stack-size=65536"),
)
TARGETS = {
    "linux-x86_64": ("x86_64-linux-gnu.2.17",),
    "linux-aarch64": ("aarch64-linux-gnu.2.17",),
    "macos-x86_64": ("x86_64-macos.11.0",),
    "macos-aarch64": ("aarch64-macos.11.0",),
    "windows-x86_64": ("x86_64-windows-gnu", "-Wl,--no-entry", "-lcompiler_rt"),
}
"""The platforms that charloom brings a library for; what zig calls them, and options for each."""

WASM = "wasm32"
"""The target that a page in a browser runs."""

_ALONE = ("-fPIC", "-shared", "-s", "-ffreestanding", "-nostdlib")
_PATIENCE = 600  # seconds for a compiler
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SUFFIXES = {"windows": ".dll", "macos": ".dylib", WASM: ".wasm"}


def compile_library(extra: Sequence[str] = ()) -> Path:
    """The kernel's library for this machine, compiled now if there is none yet; `extra` are more compiler's options.

    Raises:
        CharloomError: there is none, and no compiler is found, or it fails.
    """
    flags = [*FLAGS, *extra]
    name = library_name(platform_name(), flags)
    return _find(name) or _compile(name, lambda: [*_native_compiler(), *flags])


def compile_wasm() -> Path:
    """The kernel for WebAssembly, compiled now if there is none yet.

    Raises:
        CharloomError: there is none, and nothing that can compile it; or the compiler fails.
    """
    name = library_name(WASM)
    return _find(name) or _compile(name, lambda: [*_wasm_compiler(), *WASM_FLAGS])


def cross_compile(target: str) -> Path:
    """The kernel's library for one of TARGETS, or WASM, compiled now if there is none yet.

    Raises:
        UsageError: it is not one of them.
        CharloomError: there is none, and ziglang is not installed, or no C compiler for this machine.
    """
    if target == WASM:
        return compile_wasm()
    if target not in TARGETS:
        raise UsageError(f"{target!r} is no platform of the kernel's: choose {', '.join((*TARGETS, WASM))}")
    name = library_name(target)
    own = target == platform_name() and not has_zig()
    return _find(name) or _compile(name, lambda: [*(_native_compiler() if own else _zig(target)), *FLAGS])


def found_libraries() -> dict[str, Path]:
    """The libraries that are here, compiled from today's source, by their targets."""
    places = list(_places())
    found = {target: _find(library_name(target), places) for target in (*TARGETS, WASM, platform_name())}
    return {target: path for target, path in found.items() if path is not None}


def library_name(target: str, flags: Sequence[str] | None = None) -> str:
    """What a library for a target, such as `linux-x86_64`, is called when it is compiled from today's source."""
    flags = flags or (WASM_FLAGS if target == WASM else FLAGS)
    made_from = [flag.encode() for flag in flags] + [source.read_bytes() for source in SOURCES]
    digest = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
    return f"kernel-{digest}-{target}{_SUFFIXES.get(target.partition('-')[0], '.so')}"


def platform_name() -> str:
    """This process's platform, such as `linux-x86_64`, `macos-aarch64` or `windows-x86_64`."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    machine = sysconfig.get_platform().removeprefix("win-") if system == "windows" else platform.machine().lower()
    return f"{system}-{_MACHINES.get(machine, machine)}"


def _places() -> Iterator[Path]:
    """Where libraries are looked for."""
    yield BUILT
    try:
        from charloom.text.named import cache_folder

        cache = cache_folder() / "kernel"
    except (ModuleNotFoundError, StorageError):  # while charloom itself is built; of a user without a home
        return
    if not str(cache).startswith("~"):  # what some versions of platformdirs say then
        yield cache


def _find(name: str, places: Iterable[Path] | None = None) -> Path | None:
    return next((path for folder in places or _places() if _is_ours(path := folder / name)), None)


def _is_ours(path: Path) -> bool:
    """Whether a library is there, and belongs to this user or to root: others may write into a shared cache."""
    try:
        found = path.stat()
    except OSError:
        return False
    is_file = stat.S_ISREG(found.st_mode) and found.st_size > 0
    return is_file and (os.name != "posix" or BUILT in path.parents or found.st_uid in (0, os.getuid()))


def _compile(name: str, command: Callable[[], Sequence[str]]) -> Path:
    """Compile into a checkout's folder, else the cache; where neither can be written, for this process alone."""
    made = _compile_alone(name, command)
    is_checkout = (HERE.parents[2] / "pyproject.toml").is_file()
    for folder in _places():
        if folder == BUILT and not is_checkout:
            continue
        if _keep(made, folder / name):
            shutil.rmtree(made.parent, ignore_errors=True)
            return folder / name
    return made


def _compile_alone(name: str, command: Callable[[], Sequence[str]]) -> Path:
    """Compile into a folder that is removed when this process ends."""
    chosen = command()
    own = Path(tempfile.mkdtemp(prefix="charloom-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    _run(chosen, own / name)
    return own / name


def _keep(made: Path, to: Path) -> bool:
    """Copy a library to its place, whole or not at all; whether it is there."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=to.parent, delete=False) as file:
            try:
                file.write(made.read_bytes())
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o755)
                file.close()  # Windows replaces no file that is open
                os.replace(file.name, to)  # noqa: PTH105  (whoever compiles at the same time makes the same file)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError:
        return to.is_file()  # it is in use, where that keeps a file from being replaced
    return True


def recompile_library(broken: Path) -> Path:
    """Compile the library anew where the one that was found cannot be loaded; a damaged one is replaced.

    Raises:
        CharloomError: no compiler is found, or it fails.
    """
    made = _compile_alone(broken.name, lambda: [*_native_compiler(), *FLAGS])
    if broken.read_bytes() != made.read_bytes():  # else it is where nothing may be run
        _keep(made, broken)
    return made


def _native_compiler() -> list[str]:
    """The start of a command that compiles for this machine."""
    for name in (os.environ.get("CC"), *COMPILERS):
        found = shutil.which(name) if name else None
        if found is not None:
            return [str(Path(found).absolute()), *(_ALONE if sys.platform == "linux" else ("-fPIC", "-shared"))]
    target = platform_name()
    if target in TARGETS and has_zig():
        return _zig(target)
    install = "install one, or ziglang by pip" if target in TARGETS else "install one"
    raise CharloomError(f"no compiled kernel for {target} came with charloom, and no C compiler is found: {install}")


def _wasm_compiler() -> list[str]:
    if has_zig():
        return [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding"]
    clang = shutil.which("clang")
    if clang is not None and shutil.which("wasm-ld") is not None:
        return [clang, "--target=wasm32"]
    raise CharloomError("nothing here compiles WebAssembly: pip install ziglang, or install clang and lld")


def _zig(target: str) -> list[str]:
    if not has_zig():
        raise CharloomError(f"nothing here compiles the kernel for {target}: pip install ziglang")
    name, *flags = TARGETS[target]
    return [sys.executable, "-m", "ziglang", "cc", "-target", name, *_ALONE, *flags]


def has_zig() -> bool:
    """Whether ziglang is installed, which compiles for every target."""
    return importlib.util.find_spec("ziglang") is not None


def _run(command: Sequence[str], to: Path) -> None:
    sources = [str(source) for source in SOURCES if source.suffix == ".c"]
    sources = sources[:1] if to.suffix == _SUFFIXES[WASM] else sources
    whole = [*command, *sources, "-o", to.name]  # a macOS library records this
    with tempfile.TemporaryDirectory(prefix="charloom-") as cache:  # else zig's stays in the home folder
        zig = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        try:
            done = subprocess.run(
                whole,
                cwd=to.parent,
                env={**os.environ, **zig},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CharloomError(f"{command[0]} did not compile the kernel within {_PATIENCE} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        reason = next((line for line in said if "error" in line), said[-1])
        raise CharloomError(f"the kernel cannot be compiled by {command[0]}: {reason[:200]}")
