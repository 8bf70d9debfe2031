"""The kernel under AddressSanitizer and UBSan, with random networks, layers, ids, states and sizes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from charloom.kernel.build import FLAGS, SOURCES

HERE = Path(__file__).parent
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sources", [[HERE / "fuzz.c"], [HERE / "fuzz_layers.c", SOURCES[0]]], ids=["network", "layers"]
)
@pytest.mark.parametrize("extra", [[], ["-DCHARLOOM_PORTABLE"]], ids=["micro-kernels", "portable"])
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path, extra: list[str], sources: list[Path]) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler")
    program = tmp_path / "fuzz"
    flags = [*(flag for flag in FLAGS if flag != "-O3"), "-O1", *SANITIZERS, *extra]
    subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program)], check=True)
    for seed in range(4):
        done = subprocess.run([program, str(seed), "150"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"seed {seed}: {done.stderr[:2000]}"
        assert done.stdout == "sound\n"
