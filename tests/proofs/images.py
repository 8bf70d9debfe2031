"""Images built from the Dockerfiles and run, without Docker: by buildah, on a base that debootstrap makes."""

from __future__ import annotations

import ast
import configparser
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = "bookworm"
PACKAGES = "python3,python3-pip,ca-certificates"
_HOURS = 3600

# The program is process 1 of a world of its own, as in Docker: its network, its processes, its files.
_ENTER = """
read -r number _ < /proc/self/stat
ip link set lo up
mount --bind "$ROOT" "$ROOT"
for pair in $BINDS; do
    mkdir -p "$ROOT${pair#*:}"
    mount --bind "${pair%%:*}" "$ROOT${pair#*:}"
done
[ -z "$READ_ONLY" ] || mount -o remount,bind,ro "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
echo "$number"
exec chroot --userspec="$AS" "$ROOT" /usr/bin/env -i "$@"
"""
_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's and Docker's, and the kernel's


def say_what_is_missing(machine: str) -> str:
    """Why no image for a machine can be built here; empty where it can."""
    missing = [name for name in ("buildah", "debootstrap", "unshare", "ip") if shutil.which(name) is None]
    if missing:
        return f"images are built with {', '.join(missing)}: scripts/images installs what is missing"
    if os.getuid():
        return "only root may make the image's files"
    if subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False).returncode:
        return "no process may have a network of its own here"
    if machine != own_machine() and not Path(f"/proc/sys/fs/binfmt_misc/qemu-{_NAMES[machine]}").exists():
        return f"this machine runs no programs of {machine}: scripts/images installs qemu-user-static"
    return ""


def own_machine() -> str:
    """What Debian and Docker call this processor."""
    return {name: debian for debian, name in _NAMES.items()}.get(os.uname().machine, os.uname().machine)


def run(*command: object) -> str:
    words = [str(word) for word in command]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=_HOURS, check=False)
    assert ran.returncode == 0, f"{words[:6]}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout.strip()


@dataclass(frozen=True)
class Image:
    """An image, its files in a folder where programs run on them.

    Attributes:
        files: the folder.
        above_base: bytes of the files that it has more than its base.
        config: what the Dockerfile says of the command and the environment.
    """

    files: Path
    above_base: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Builder:
    """buildah with a store of its own, in a folder, and the base of the Dockerfiles.

    Attributes:
        folder: holds all of it.
        machine: amd64 or arm64.
    """

    folder: Path
    machine: str

    def buildah(self, *words: object) -> str:
        places = ("--root", self.folder / "store", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        return run("buildah", *places, *words)

    def make_base(self, name: str) -> None:
        """An image that replaces Python's own: Debian with its Python at /usr/local/bin/python, and pip."""
        container = self.buildah("from", "scratch")
        files = Path(self.buildah("mount", container))
        alone = ("unshare", "--mount")  # what debootstrap mounts is gone with it
        run(
            *alone, "debootstrap", f"--arch={self.machine}", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, files
        )
        for mark in files.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            mark.unlink()  # pip may install for everybody, as in Python's image
        for compiled in files.glob("usr/lib/python3*/**/*.pyc"):
            compiled.unlink()  # Python's image has none either
        (files / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        self.buildah("config", "--arch", self.machine, "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "--quiet", "--rm", container, f"docker.io/library/{name}")

    def build(self, file: Path) -> Image:
        """Build a Dockerfile on its base."""
        (base,) = set(re.findall(r"^FROM (\S+)", file.read_text("utf-8"), re.M))
        if not self.buildah("images", "--quiet", "--filter", f"reference={base}"):
            self.make_base(base)
        name = file.stem
        options = ("--isolation", "chroot", "--format", "docker", "--pull-never", "--platform", f"linux/{self.machine}")
        self.buildah("build", *options, *pip_options(self.folder), "--file", file, "--tag", name, ROOT)
        files, below = self._mounted(name), self._mounted(base)
        inspected = json.loads(self.buildah("inspect", "--type", "image", name))
        return Image(files, size(files) - size(below), inspected["Docker"]["config"])

    def _mounted(self, name: str) -> Path:
        return Path(self.buildah("mount", self.buildah("from", "--pull-never", name)))


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def pip_options(folder: Path) -> list[str]:
    """buildah's options that give a build this machine's settings of pip, such as a mirror, and what they name."""
    said = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    settings: dict[str, str] = {}
    for line in sorted(said, key=lambda line: line.startswith(":env:")):  # the environment has the last word
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    written = configparser.RawConfigParser()
    written["global"] = settings
    with (folder / "pip.conf").open("w", encoding="utf-8") as file:
        written.write(file)
    words = {word for value in settings.values() for word in value.split()}
    named = {Path(word) for word in words if word.startswith("/")}
    named |= {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file://")}
    places = {path: path for path in named if path.exists()} | {folder / "pip.conf": Path("/etc/pip.conf")}
    return [f"--volume={here}:{there}:ro" for here, there in places.items()]


@dataclass(frozen=True)
class Container:
    """A program that runs in an image.

    Attributes:
        number: its process 1, as this machine counts.
        process: what started it and ends with it.
        network: a thread in its network.
    """

    number: int
    process: subprocess.Popen[str]
    network: ThreadPoolExecutor

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the server at port 8080 of the container's own network."""
        address = f"http://127.0.0.1:8080{path}"
        return self.network.submit(httpx.request, method, address, timeout=60, **options).result()

    def end(self) -> None:
        """What `docker stop` sends."""
        os.kill(self.number, signal.SIGTERM)


@contextmanager
def running(
    image: Image,
    *arguments: str,
    command: Sequence[str] | None = None,
    binds: dict[Path, str] | None = None,
    user: int = 0,
    read_only: bool = False,
    log: Path,
) -> Iterator[Container]:
    """`docker run IMAGE arguments`, or another command; `binds` are folders and where they are in it."""
    environment = {
        "PATH": os.environ["PATH"],
        "ROOT": str(image.files),
        "BINDS": " ".join(f"{here}:{there}" for here, there in (binds or {}).items()),
        "READ_ONLY": "yes" if read_only else "",
        "AS": f"{user}:{user}",
    }
    world = ("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-ec", _ENTER)
    words = [*world, "sh", *image.config["Env"], *(command or image.config["Entrypoint"]), *arguments]
    with (
        log.open("w", encoding="utf-8") as said,
        subprocess.Popen(words, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            number = process.stdout.readline()
            assert number, log.read_text("utf-8")
            with ThreadPoolExecutor(1, initializer=_enter_network, initargs=(int(number),)) as network:
                yield Container(int(number), process, network)
        finally:
            process.kill()


def _enter_network(process: int) -> None:
    """Put this thread into a process's network; os.setns came with Python 3.12."""
    with Path(f"/proc/{process}/ns/net").open("rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def builder(machine: str) -> Iterator[Builder]:
    """A builder for a machine, gone with all that it built; a skipped test where none can be had."""
    if why := say_what_is_missing(machine):
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="charloom-images-", dir="/var/tmp"))
    try:
        yield Builder(folder, machine)
    finally:
        shutil.rmtree(folder)
