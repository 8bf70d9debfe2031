"""What shells complete after `charloom --install-completion`: commands, options, their values, and names of files."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal import PATIENCE, SOURCES

TYPED = {
    "charloom gen": "generate",
    "charloom generate --temper": "--temperature",
    "charloom evaluate m --protocol w": "windows-256",
    "charloom train x --cell gr": "gru",
    "charloom sagemaker dep": "deploy",
    "charloom corpus sh": "show",
    "charloom train boo": "book.txt",
    "charloom score yours boo": "book.txt",
    "charloom generate you": "yours",
    "charloom serve you": "yours",
    "charloom generate yours --prompt-file boo": "book.txt",
    "charloom generate yours --exclude boo": "book.txt",
    "charloom generate yours --adapt boo": "book.txt",
    "charloom train --init-from you": "yours",
    "charloom train x --keep-old boo": "book.txt",
    "charloom train --classes you": "yours",
    "charloom train x --recipe boo": "book.txt",
    "charloom train x --validation boo": "book.txt",
    "charloom train x -o you": "yours",
    "charloom score yours x --against you": "yours",
    "charloom score yours x --good boo": "book.txt",
    "charloom score yours x --threshold boo": "book.txt",
    "charloom export yours --html boo": "book.txt",
    "charloom serve yours --config boo": "book.txt",
    "charloom serve yours --api-key-file boo": "book.txt",
    "charloom sagemaker train x --init-from you": "yours",
    "charloom sagemaker train x --recipe boo": "book.txt",
}


@pytest.fixture(scope="module", params=["bash", "fish", "zsh"])
def complete(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Says how a shell completes what is typed, in a folder with a text and a model, in a home of its own."""
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here (apt-get install {shell})")
    home = tmp_path_factory.mktemp("home")
    work = tmp_path_factory.mktemp("work")
    (work / "book.txt").touch()
    (work / "yours").mkdir()
    program = home / "bin" / "charloom"  # fish completes for programs that are there
    program.parent.mkdir()
    program.touch(0o755)
    if shell == "zsh":
        (home / ".zshrc").write_text("autoload -Uz compinit && compinit -u\n", "utf-8")
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "SHELL": f"/bin/{shell}",
    }
    installing = [sys.executable, "-m", "charloom", "--install-completion", "--shell", shell]
    variables = {**environment, "PYTHONPATH": SOURCES}
    subprocess.run(installing, env=variables, check=True, capture_output=True, timeout=PATIENCE)
    if shell == "zsh":
        with_terminal = ZshLine(work, environment)
        yield with_terminal.complete
        with_terminal.close()
        return

    def completed(typed: str) -> str:
        place = len(shlex.split(typed)) - 1
        programs = {
            "bash": f"COMP_WORDS=({typed}); COMP_CWORD={place}; _charloom; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            "fish": f"complete -C {shlex.quote(typed)}",
        }
        begin = ". ~/.bashrc; " if shell == "bash" else ""
        command = [shell, "-c", begin + programs[shell]]
        ran = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        (offered,) = ran.stdout.splitlines()
        return offered.split("\t")[0].rstrip("/")

    yield completed


class ZshLine:
    """A zsh on a terminal of its own; a key that is bound here says what is on its line."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Start it in a folder."""
        pty = pytest.importorskip("pty")
        self._master, slave = pty.openpty()
        self._zsh = subprocess.Popen(
            ["zsh", "-i"], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._send("PS1=; RPS1=; say() { print -r -- \"<$BUFFER>\" }; zle -N say; bindkey '^X' say; print rea''dy\n")
        self._read_until(r"ready\r?\n")

    def complete(self, typed: str) -> str:
        """The last word after a tab."""
        self._send(f"{typed}\t\x18")
        line = self._read_until(r"<(charloom [^<>]*)>")
        self._send("\x15")
        return line[1].split()[-1].rstrip("/")

    def close(self) -> None:
        """End it."""
        os.close(self._master)
        self._zsh.kill()
        self._zsh.wait()

    def _send(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _read_until(self, wanted: str) -> re.Match[str]:
        printed = ""
        while not (found := re.search(wanted, printed)):
            assert select.select([self._master], [], [], PATIENCE)[0], f"nothing came after: {printed}"
            printed += os.read(self._master, 1 << 16).decode(errors="replace")
        return found


@pytest.mark.slow
def test_a_shell_completes_what_is_typed(complete: Callable[[str], str]) -> None:
    assert {typed: complete(typed) for typed in TYPED} == TYPED
