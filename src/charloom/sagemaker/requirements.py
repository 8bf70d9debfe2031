"""What charloom needs in a container, in the versions that are installed here."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from charloom.errors import CharloomError, UsageError

_OLDEST_GLIBC = 17  # manylinux_2_17, which is also called manylinux2014
_PATIENCE = 900  # seconds for a download of wheels
_MOST_SAID = 300  # characters of what pip says


@dataclass(frozen=True)
class Container:
    """Where the packages will run.

    Attributes:
        python: its version, as in 3.12.
        platform: as wheels call it: manylinux_2_GLIBC_MACHINE.
    """

    python: str = "3.12"
    platform: str = "manylinux_2_28_x86_64"

    def __post_init__(self) -> None:
        """Refuse what is no such place."""
        try:
            Version(self.python)
        except InvalidVersion:
            raise UsageError(f"python {self.python[:40]!r}: give a version such as 3.12") from None
        parts = self.platform.split("_", 3)
        if len(parts) != 4 or parts[:2] != ["manylinux", "2"] or not parts[2].isdecimal() or len(parts[2]) > 3:
            raise UsageError(f"platform {self.platform[:40]!r}: give one such as manylinux_2_28_x86_64")

    @property
    def platforms(self) -> list[str]:
        """The names of all wheels that run there, the newest first."""
        glibc = int(self.platform.split("_", 3)[2])
        newer = [f"manylinux_2_{minor}_{self.machine}" for minor in range(glibc, _OLDEST_GLIBC - 1, -1)]
        return [*newer, f"manylinux2014_{self.machine}"]

    @property
    def machine(self) -> str:
        """The kind of processor, such as x86_64 or aarch64."""
        return self.platform.split("_", 3)[3]

    @property
    def environment(self) -> dict[str, str]:
        """What a requirement's marker is asked about."""
        here = {name: str(value) for name, value in default_environment().items()}
        return here | {
            "python_version": ".".join(self.python.split(".")[:2]),
            "python_full_version": self.python if self.python.count(".") > 1 else f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
        }


def pins(extra: str, container: Container = Container()) -> list[str]:
    """What the base and an extra need there, all the way down, in the versions installed here.

    What is not installed here is given by the range that is asked for.

    Returns:
        Lines of a requirements file, in order, without charloom itself.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = deque([Requirement(f"charloom[{extra}]")])
    while waiting:
        wanted = waiting.popleft()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            found.setdefault(name, f"{name}{wanted.specifier}")
            continue
        found[name] = f"{name}=={Version(installed.version).public}"
        waiting.extend(_needed_packages(installed.requires or [], wanted.extras, container.environment))
    found.pop("charloom", None)
    return [found[name] for name in sorted(found)]


def ranges(*extras: str) -> list[str]:
    """What charloom asks for itself, in the ranges that it asks for: what an image has already fits, and stays.

    Returns:
        Lines of a requirements file, in order, without charloom itself.
    """
    wanted = _needed_packages(distribution("charloom").requires or [], set(extras), Container().environment)
    return sorted({f"{one.name}{_in_brackets(one.extras)}{one.specifier}" for one in wanted})


def _in_brackets(extras: set[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""


def _needed_packages(requires: list[str], extras: set[str], environment: dict[str, str]) -> Iterator[Requirement]:
    for text in requires:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)):
            yield requirement


def fetch_wheels(lines: list[str], folder: Path, container: Container) -> None:
    """Fetch the wheels of pinned requirements, for another machine, through pip."""
    loose = [line for line in lines if "==" not in line]
    if loose:
        raise CharloomError(f"cannot pack {', '.join(loose)}: not installed here; pip install 'charloom[serve]'")
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", container.python]
    command += [part for platform in container.platforms for part in ("--platform", platform)]
    try:
        ran = subprocess.run(
            [*command, "--dest", str(folder), *lines], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise CharloomError(f"pip could not download the packages within {_PATIENCE} seconds") from None
    if ran.returncode:
        said = " ".join((ran.stderr.strip().splitlines() or ["it did not say why"])[-1].split())
        raise CharloomError(f"pip cannot download the packages for {container.platform}: {said[:_MOST_SAID]}")
