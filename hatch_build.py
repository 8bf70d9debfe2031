"""Puts compiled kernels into the wheel, beside the source that they are compiled from.

CHARLOOM_KERNELS says for which platforms: `all`, or names such as `linux-x86_64,wasm32`, which ziglang compiles.
Without it, that is the machine's own where there is a C compiler, and what `scripts/kernels` has compiled before.
A wheel without any is whole as well: where it runs, a C compiler makes the kernel, or numpy takes its place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "CHARLOOM_KERNELS"
PACKAGE = "charloom/kernel"


class Kernels(BuildHookInterface[Any]):
    """The hook that hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """ziglang, in the version that the tests ran with."""
        if not os.environ.get(VARIABLE):
            return []
        lines = Path(self.root, "constraints.txt").read_text("utf-8").splitlines()
        return [line for line in lines if line.startswith("ziglang==")]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what is there."""
        if version == "editable":  # compiled where it is, when it is used first
            return
        build = self._load()
        wanted = os.environ.get(VARIABLE, "")
        targets = [*build.TARGETS, build.WASM] if wanted == "all" else [name for name in wanted.split(",") if name]
        paths = set(map(build.cross_compile, targets))
        if not targets:
            try:
                paths.add(build.compile_library())
            except build.CharloomError as error:
                self.app.display_warning(f"the wheel has no kernel for this machine: {error}")
        for path in sorted({*paths, *build.found_libraries().values()}):
            build_data["force_include"][str(path)] = f"{PACKAGE}/build/{path.name}"

    def _load(self) -> ModuleType:
        """`kernel/build.py` without its package, which needs numpy."""
        source = Path(self.root, "src")
        sys.path.insert(0, str(source))
        spec = importlib.util.spec_from_file_location("kernel_build", source / PACKAGE / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
