"""The compiled kernel's functions, as `kernel.h` declares them, and the micro-kernels that this processor can run."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.errors import CharloomError, UsageError
from charloom.kernel.build import compile_library, recompile_library
from charloom.kernel.weights import Precision, Tensors
from charloom.settings import SamplingSettings

VERSION = 1
CELLS = ("rnn", "gru", "lstm")
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")
ALIGNMENT = 64
MICRO_VARIABLE = "CHARLOOM_KERNEL"
NUMPY = "numpy"
"""The variable's value that asks for no compiled kernel."""

SAMPLING = np.dtype([("temperature", "f8"), ("top_p", "f8"), ("min_p", "f8"), ("top_k", "i8")])
"""`charloom_sampling`, one a row."""

_REFUSALS = {
    -1: "a size of the network is out of its bounds",
    -2: "a tensor or a block of memory is not as large as the network needs",
    -3: "an id is that of no symbol",
    -4: "rows, steps or settings are out of their bounds",
    -5: "this processor cannot run that micro-kernel",
    -6: "the block is no network",
}

_I32, _I64, _P = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[type[ctypes._SimpleCData[int]] | type[ctypes.c_char_p], list[type]]] = {
    "version": (_I32, []),
    "micro": (ctypes.c_char_p, [_I32]),
    "quantize": (_I32, [_P, _I64, _I64, _I32, _P, _P]),
    "model_bytes": (_I64, [_P]),
    "prepare": (_I32, [_P, _I32, _P, _P, _I32, _P, _I64]),
    "work_bytes": (_I64, [_P, _I64]),
    "run": (_I32, [_P, _I64, _P, _I64, _P, _I64, _I64, _I64, _I64, _P, _P, _I64, _P]),
    "read": (_I32, [_P, _I64, _P, _I64, _P, _I64, _I64, _P, _I32, _I32, _P, _I64]),
    "passed_bytes": (_I64, [_P, _I64]),
    "draw": (_I64, [_P, _I64, _P, _I64, _P, ctypes.c_double, _P, _P]),
    "write": (_I32, [_P, _I64, _P, _I64, _P, _I64, _I64, _I64, _I64, _P, _P, _P, _I64, _P, _P]),
    "nats": (_I32, [_P, _I64, _P, _I64, _P, _P, _I64, _I64, _I64, _I64, _P, _P, _P]),
    "layer_panel_bytes": (_I64, [_P, _I32, _I32]),
    "layer_pack": (_I32, [_P, _I32, _I32, _P, _I64, _P, _I64]),
    "layer_work_bytes": (_I64, [_P, _I32, _I32, _I64]),
    "layer_forward": (_I32, [_P, _I32, _P, _P, _I32, _I64, _I64, _P, _I64]),
    "layer_backward": (_I32, [_P, _I32, _P, _P, _I32, _I64, _I64, _P, _I64]),
}


class Library:
    """A compiled kernel. Its functions take addresses; whoever calls them keeps the arrays alive."""

    def __init__(self, path: Path) -> None:
        """Load a library.

        Raises:
            CharloomError: it is none, or another version's.
        """
        try:
            loaded = ctypes.CDLL(str(path))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(loaded, f"charloom_{name}")
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise CharloomError(f"the kernel {path} cannot be loaded: {error}") from None
        self.run, self.write, self.nats = loaded.charloom_run, loaded.charloom_write, loaded.charloom_nats
        self.read = loaded.charloom_read
        self.pack_layer, self.layer_panel_bytes = loaded.charloom_layer_pack, loaded.charloom_layer_panel_bytes
        self.layer_work_bytes = loaded.charloom_layer_work_bytes
        self.layer_forward, self.layer_backward = loaded.charloom_layer_forward, loaded.charloom_layer_backward
        self._loaded = loaded
        if loaded.charloom_version() != VERSION:
            raise CharloomError(f"the kernel {path} is another version's: install charloom again")

    def micro_kernels(self) -> dict[str, int]:
        """The micro-kernels that this processor can run, fastest first, and their numbers."""
        names: list[bytes] = []
        while (name := self._loaded.charloom_micro(len(names))) is not None:
            names.append(name)
        return {name.decode(): number for number, name in enumerate(names) if name}

    def choose(self, name: str | None = None) -> int:
        """The number of a micro-kernel: by name, else by the variable CHARLOOM_KERNEL, else the fastest.

        Raises:
            UsageError: there is none of that name, or this processor cannot run it.
        """
        name = name or os.environ.get(MICRO_VARIABLE) or None
        found = self.micro_kernels()
        if name is None:
            return next(iter(found.values()))
        if name not in found:
            raise UsageError(f"{MICRO_VARIABLE} = {name}: this processor runs {', '.join([*found, NUMPY])}")
        return found[name]

    def quantize(self, matrix: NDArray[np.float32], levels: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Each row of a matrix (O, I) as whole numbers from -levels to levels, and a scale (O,)."""
        matrix = np.ascontiguousarray(matrix)
        whole, scales = np.empty(matrix.shape, dtype=np.int8), np.empty(len(matrix), dtype=np.float32)
        check(self._loaded.charloom_quantize(address(matrix), *matrix.shape, levels, address(whole), address(scales)))
        return whole, scales

    def prepare(self, shape: ModelShape, tensors: Tensors, precision: Precision, micro: int) -> NDArray[np.uint8]:
        """Lay a network out: one block of bytes, which `run` and `write` read.

        Args:
            shape: the network.
            tensors: as `lay_tensors` gives them.
            precision: theirs.
            micro: the number of the micro-kernel that is to run it.

        Raises:
            CharloomError: sizes do not fit together.
        """
        kept = [None if tensor is None else np.ascontiguousarray(tensor) for tensor in tensors]
        described = np.array(
            [
                CELLS.index(shape.cell),
                shape.num_layers,
                shape.hidden_size,
                shape.embedding_size,
                shape.vocab_size,
                PRECISIONS.index(precision),
            ],
            dtype=np.int32,
        )
        sizes = np.array([0 if tensor is None else tensor.nbytes for tensor in kept], dtype=np.int64)
        places = np.array([0 if tensor is None else address(tensor) for tensor in kept], dtype=np.uintp)
        block = aligned(check(self._loaded.charloom_model_bytes(address(described))))
        check(
            self._loaded.charloom_prepare(
                address(described), micro, address(places), address(sizes), len(kept), address(block), block.nbytes
            )
        )
        return block

    def workspace(self, model: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The memory that one thread works in."""
        return aligned(check(self._loaded.charloom_work_bytes(address(model), model.nbytes)))

    def passed_bytes(self, model: NDArray[np.uint8]) -> int:
        """What passes between two layers, for each row and step."""
        return check(self._loaded.charloom_passed_bytes(address(model), model.nbytes))

    def draw(
        self,
        logits: NDArray[np.float32],
        sampling: NDArray[np.void],
        unknown: int,
        uniform: float,
        allowed: NDArray[np.bool_] | None = None,
    ) -> int:
        """Draw an id by logits (V,); V where one of them is no number."""
        memory = np.empty((2, len(logits)))
        mask = None if allowed is None else address(allowed)
        drawn: int = self._loaded.charloom_draw(
            address(logits), len(logits), address(sampling), unknown, mask, uniform, address(memory), address(memory[1])
        )
        return drawn


@cache
def kernel() -> Library:
    """The kernel of this machine.

    Raises:
        CharloomError: there is none, and no compiler to make it.
    """
    path = compile_library()
    try:
        return Library(path)
    except CharloomError:  # it is damaged, or in a folder where nothing may be run
        return Library(recompile_library(path))


def check(result: int) -> int:
    """What a function of the kernel returned, unless it refused.

    Raises:
        CharloomError: it refused.
    """
    if result < 0:
        raise CharloomError(f"the kernel refuses: {_REFUSALS.get(result, str(result))}")
    return result


def address(array: NDArray[np.generic]) -> int:
    """Where an array's bytes are."""
    return array.ctypes.data


def aligned(size: int) -> NDArray[np.uint8]:
    """So many bytes, at an address that vectors may be loaded from."""
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    offset = -address(memory) % ALIGNMENT
    return memory[offset : offset + size]


def sampling_rows(settings: Sequence[SamplingSettings]) -> NDArray[np.void]:
    """The settings of rows as the kernel reads them."""
    return np.array([(one.temperature, one.top_p, one.min_p, one.top_k) for one in settings], dtype=SAMPLING)
