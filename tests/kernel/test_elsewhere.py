"""The very libraries that a release has, where they run: the same bits as here.

`scripts/emulators` installs the processors and C libraries that are not this machine's. Those
for macOS are only looked at: what they export, and what they need.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from charloom.kernel import build
from charloom.kernel.build import SOURCES, TARGETS, WASM, cross_compile
from charloom.kernel.native import CELLS, PRECISIONS, kernel, sampling_rows
from charloom.kernel.network import Network
from charloom.kernel.weights import lay_tensors
from charloom.settings import Cell, SamplingSettings
from tests.kernel.networks import make_ids, make_shape, make_weights

HERE = Path(__file__).parent
SAMPLING = [SamplingSettings(temperature=0.9, top_p=0.95, top_k=40), SamplingSettings(temperature=1.2, min_p=0.02)]
STEPS, READ = 1000, 100
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed"),
]


@dataclass(frozen=True)
class Place:
    """Another processor, C library or system.

    Attributes:
        library: the kernel that a release has for it.
        program: how zig calls it, for a program; nothing where `run` needs none.
        run: the start of a command.
        needs: a file that must be there.
        micro: the micro-kernel that is expected; nothing where that is this processor's.
    """

    library: str
    program: str
    run: tuple[str, ...]
    needs: str
    micro: str = ""


ARM, MUSL, WINE = "/usr/aarch64-linux-gnu", "/lib/ld-musl-x86_64.so.1", "/usr/lib/wine/wine64"
PLACES = {
    "aarch64": Place("linux-aarch64", "aarch64-linux-gnu.2.17", ("qemu-aarch64", "-L", ARM), ARM, "neon"),
    "aarch64-without-dot-products": Place(
        "linux-aarch64", "aarch64-linux-gnu.2.17", ("qemu-aarch64", "-cpu", "cortex-a53", "-L", ARM), ARM, "portable"
    ),
    "x86-64-without-avx": Place(
        "linux-x86_64", "x86_64-linux-musl", ("qemu-x86_64", "-cpu", "Nehalem"), MUSL, "portable"
    ),
    "musl": Place("linux-x86_64", "x86_64-linux-musl", (), MUSL),
    "windows": Place("windows-x86_64", "x86_64-windows-gnu", (WINE,), WINE),
    "webassembly": Place(WASM, "", ("node", str(HERE / "elsewhere.mjs")), "", "wasm-simd"),
}
PROGRAM_FLAGS = {  # without a C library: zig takes minutes to compile the one of Windows
    "x86_64-windows-gnu": ["-ffreestanding", "-nostdlib", "-Dmain=start", "-Wl,-e,start", "-lcompiler_rt", "-lkernel32"]
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what several tests need."""
    return tmp_path_factory.mktemp("kept")


def compile_program(target: str, folder: Path) -> Path:
    program = folder / f"{target}.exe"
    if not program.exists():
        flags = PROGRAM_FLAGS.get(target, ["-dynamic", "-ldl"])
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-O1", str(HERE / "elsewhere.c")]
        subprocess.run([*command, *flags, "-o", str(program)], check=True, timeout=600)
    return program


def write_input(cell: Cell, layers: int, hidden: int, embedding: int, path: Path) -> bytes:
    """Write a network and what it is to write and read; return what it gives here."""
    shape = make_shape(cell, layers, hidden, 65, embedding)
    weights, rows = make_weights(shape), len(SAMPLING)
    uniforms = np.random.default_rng(5).random((STEPS, rows))
    ids = make_ids(shape, READ, rows)
    state = tuple(np.zeros((rows, hidden), np.float32) for _ in range(layers * shape.states_per_layer))
    network = Network(shape, weights)
    written, after = network.write(np.arange(1, 1 + rows), state, uniforms, SAMPLING)
    logits, after = network.run(ids, after)
    described = [CELLS.index(cell), layers, hidden, embedding, 65, PRECISIONS.index("int8")]
    tensors = lay_tensors(shape, weights, "int8", kernel().quantize)
    parts = [b"" if tensor is None else np.ascontiguousarray(tensor).tobytes() for tensor in tensors]
    parts += [np.array(described, np.int32).tobytes(), ids.tobytes(), uniforms.tobytes()]
    parts += [sampling_rows(SAMPLING).tobytes(), bytes(np.asarray(state).nbytes)]
    content, places = b"", []
    for part in parts:
        content += bytes(-len(content) % 64)
        places += [len(content) + 64 * len(parts), len(part)]
        content += part
    head = struct.pack(f"<{1 + len(places)}q", len(parts), *places)
    path.write_bytes(head.ljust(64 * len(parts), b"\0") + content)
    return written.tobytes() + logits.tobytes() + np.asarray(after).tobytes()


NETWORKS: list[tuple[Cell, int, int, int]] = [("lstm", 2, 100, 16), ("gru", 2, 65, 0), ("rnn", 1, 40, 8)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network[0])
@pytest.mark.parametrize("name", PLACES)
def test_the_same_bits_elsewhere(name: str, network: tuple[Cell, int, int, int], kept: Path, tmp_path: Path) -> None:
    place = PLACES[name]
    missing = [tool for tool in place.run[:1] if shutil.which(tool) is None]
    if missing or not Path(place.needs or HERE).exists():
        pytest.skip(f"scripts/emulators installs {' '.join(missing) or place.needs}")
    expected = write_input(*network, tmp_path / "input")
    shutil.copy(cross_compile(place.library), tmp_path / "kernel.bin")
    command = [*place.run, *([str(compile_program(place.program, kept))] if place.program else [])]
    environment = {**os.environ, "WINEPREFIX": str(kept / "wine"), "WINEDEBUG": "-all"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    output = (tmp_path / "output").read_bytes()
    micro = output[:16].partition(b"\0")[0].decode()
    assert micro == (place.micro or next(iter(kernel().micro_kernels())))
    assert output[16:] == expected


def declared(target: str) -> set[str]:
    headers = [source for source in SOURCES if source.name in ("kernel.h", "layers.h")]
    texts = [header.read_text("utf-8") for header in (headers[:1] if target == WASM else headers)]
    return {name for text in texts for name in re.findall(r"CHARLOOM_API [\w ]+?\*?(charloom_\w+)\(", text)}


@pytest.mark.parametrize("target", [*TARGETS, WASM])
def test_a_library_exports_what_its_header_declares(target: str) -> None:
    content = cross_compile(target).read_bytes()
    names = declared(target)
    assert len(names) == (12 if target == WASM else 17)
    assert [name for name in names if name.encode() not in content] == []
    assert len(content) < 200_000


@pytest.mark.parametrize("target", [*TARGETS, WASM])
def test_the_same_source_gives_the_same_library(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("one", "other"):
        monkeypatch.setattr(build, "_places", lambda name=name: [tmp_path / name])
        made.append(cross_compile(target).read_bytes())
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0]


@pytest.mark.parametrize("target", ["linux-x86_64", "linux-aarch64"])
def test_linux_needs_no_library(target: str) -> None:
    content = cross_compile(target).read_bytes()
    assert content.startswith(b"\x7fELF")
    assert re.findall(rb"[\w./-]+\.so[.\d]*|GLIBC\w*", content) == []


@pytest.mark.parametrize(("target", "processor"), [("macos-x86_64", 0x01000007), ("macos-aarch64", 0x0100000C)])
def test_macos_needs_its_own_library_alone(target: str, processor: int) -> None:
    content = cross_compile(target).read_bytes()
    magic, kind, _, file_type, commands = struct.unpack_from("<5I", content)
    assert (magic, kind, file_type) == (0xFEEDFACF, processor, 6)
    at, needed, signed = 32, [], False
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", content, at)
        if command in (0xC, 0x80000018):  # a library, or one that may be absent
            needed.append(content[at + 24 : at + size].rstrip(b"\0"))
        signed |= command == 0x1D
        at += size
    assert needed == [b"/usr/lib/libSystem.B.dylib"]
    assert signed or target == "macos-x86_64"  # Apple's processors run nothing without a signature


def test_windows_needs_no_library() -> None:
    content = cross_compile("windows-x86_64").read_bytes()
    (header,) = struct.unpack_from("<I", content, 0x3C)
    assert content[header : header + 6] == b"PE\0\0\x64\x86"
    options = header + 24
    (entry,) = struct.unpack_from("<I", content, options + 16)
    exports, _, imports, _ = struct.unpack_from("<4I", content, options + 112)
    assert (entry, imports, exports > 0) == (0, 0, True)
