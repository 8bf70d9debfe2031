"""What README and docs say is true: their commands run, their links lead somewhere, their samples are real."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.fixture
def workplace(tmp_path: Path, small_text: Path) -> Path:
    """A folder with the files that the pages speak of, short enough to learn in seconds."""
    (tmp_path / "your-text.txt").write_text(small_text.read_text("utf-8")[:6000], "utf-8")
    syllables = ["an", "na", "le", "li", "mar", "el", "so", "jo"]
    names = [first + second + last for first in syllables for second in syllables for last in ("a", "ie", "n")]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)


def run(command: list[str], folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
def test_the_commands_of_the_readme_run_as_written(workplace: Path, trained: Path) -> None:
    commands = [
        line
        for block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith("charloom ")
    ]
    jobs = re.findall(r"^\| \*\*\w+.*", (ROOT / "README.md").read_text("utf-8"), re.M)
    uses = [use for job in jobs for use in re.findall(r"`(charloom .+?)`", job)]
    assert len(commands) >= 8
    assert len(uses) == 7
    for made in ("quickstart", "quickstart-names"):
        shutil.copytree(trained, workplace / "runs" / made)
    (workplace / "old.log").write_text("one\ntwo\nthree\n" * 300, "utf-8")
    (workplace / "today.log").write_text("one\ntwo\n", "utf-8")
    for command in dict.fromkeys([*uses, *commands]):
        if " serve " in command:
            continue
        ran = run([sys.executable, "-m", *shlex.split(command)], workplace)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        assert ran.stdout


@pytest.mark.slow
def test_the_python_of_the_readme_runs_as_written(workplace: Path) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    ran = run([sys.executable, "-c", code], workplace)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.splitlines()[0]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks(ROOT / "docs" / "how-to" / "embed-the-engine.md", "python"))
def test_the_python_of_the_engines_page_runs_as_written(workplace: Path, trained: Path, code: str) -> None:
    shutil.copytree(trained, workplace / "runs" / "yours")
    ran = run([sys.executable, "-c", code], workplace)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_the_server_of_the_readme_starts_as_written(workplace: Path, trained: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "sh serve")
    shutil.copytree(trained, workplace / "runs" / "yours")
    command = [sys.executable, "-m", *shlex.split(block), "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, cwd=workplace, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["address"]
            for _ in range(200):
                if httpx.get(f"{url}/health").status_code == 200:
                    break
                time.sleep(0.1)
            assert "<title>" in httpx.get(url).text
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_skipped_commands_parse(workplace: Path) -> None:
    """What takes hours is not run, but its options exist: without a network it fails over that alone."""
    (block,) = blocks(ROOT / "README.md", "sh skip")
    train = block.splitlines()[0]
    ran = run([sys.executable, "-m", *shlex.split(train), "--device", "toaster"], workplace)
    assert ran.returncode == 2
    assert "toaster" in ran.stderr


@pytest.mark.slow
def test_several_processes_as_the_page_starts_them(workplace: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "explanation" / "scaling-out.md", "sh skip")
    command = shlex.split(block.splitlines()[0])
    assert command[0] == "torchrun"
    short = ["--steps", "4", "--hidden-size", "8", "--device", "cpu"]
    ran = run([sys.executable, "-m", "torch.distributed.run", *command[1:], *short], workplace)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) <= 2, "one process speaks"


@pytest.mark.slow
def test_the_page_on_patterns_writes_what_matches(workplace: Path, trained: Path) -> None:
    for name in ("names", "prose", "log"):
        shutil.copytree(trained, workplace / "runs" / name)
    for block in blocks(ROOT / "docs" / "how-to" / "constrain-output.md", "sh"):
        command = shlex.split(block)
        ran = run([sys.executable, "-m", *command, "--json"], workplace)
        assert ran.returncode == 0, f"{block}\n{ran.stderr}"
        pattern = command[command.index("--regex") + 1]
        for line in ran.stdout.splitlines():
            assert re.fullmatch(pattern, json.loads(line)["text"])


@pytest.mark.slow
def test_the_page_on_odd_lines_finds_them(tmp_path: Path) -> None:
    """As written, but for a twentieth of the log and a network that learns it in seconds."""
    page = ROOT / "docs" / "how-to" / "find-odd-lines.md"
    make_log, detect, cross_score = blocks(page, "python")
    (tmp_path / "make_log.py").write_text(make_log.replace("20_000", "1_000"), "utf-8")
    small = "--steps 150 --hidden-size 48 --bptt 50 --learning-rate 0.01 --threads 1 --device cpu"
    commands = [line for block in blocks(page, "sh") for line in block.splitlines()]
    shown: dict[str, str] = {}
    for command in commands:
        words = shlex.split(command.removeprefix("cat today.log | ").replace("--budget 1m", small))
        program = [sys.executable] if words[0] == "python" else [sys.executable, "-m"]
        given = (tmp_path / "today.log").read_bytes().decode("utf-8") if command.startswith("cat ") else None
        ran = run([*program, *words[words[0] == "python" :]], tmp_path, given)
        alerts = "--alert" in command and "--save-threshold" not in command
        assert ran.returncode == (3 if alerts else 0), f"{command}\n{ran.stderr}"
        shown[command] = ran.stdout
    ranked = shown["charloom score runs/log today.log --lines --top 10"].splitlines()[1:]
    odd = ("Traceback", "kernel: Out of memory", "disk sda7", "etc/passwd", "\ufffd\ufffd2")
    assert len(ranked) == 10
    for line in ranked[:4]:  # so little training leaves the two damaged characters among ordinary lines
        assert any(mark in line for mark in odd), line
    detected = run([sys.executable, "-c", detect], tmp_path)
    cross_scored = run([sys.executable, "-c", cross_score.replace('budget="1m"', "steps=20, hidden_size=24")], tmp_path)
    assert len(cross_scored.stdout.splitlines()) == 10, cross_scored.stderr
    fitted = shown["charloom score runs/log today.log --lines --alert --good yesterday.log"]
    assert shown["charloom score runs/log today.log --lines --alert --threshold ordinary.json"] == fitted
    for found in (detected.stdout, fitted):
        assert sum(any(mark in line for mark in odd) for line in found.splitlines()) >= 4, detected.stderr


@pytest.mark.slow
def test_the_page_on_classes_tells_them_apart(tmp_path: Path) -> None:
    """As written, but for a tenth of the lines and a network that learns them in seconds."""
    page = ROOT / "docs" / "how-to" / "classify-texts.md"
    make_kinds, in_python = blocks(page, "python")
    (tmp_path / "make_kinds.py").write_text(make_kinds.replace("3000", "600").replace("1500", "400"), "utf-8")
    small = "--steps 40 --hidden-size 24 --threads 1 --device cpu"
    shown: dict[str, str] = {}
    for command in (line for block in blocks(page, "sh") for line in block.splitlines()):
        piped, bar, asked = command.rpartition(" | ")
        given = shlex.split(piped)[1].replace("\\n", "\n") if bar else None
        words = shlex.split(asked.replace("--epochs 6 --hidden-size 64", small))
        program = [sys.executable] if words[0] == "python" else [sys.executable, "-m"]
        ran = run([*program, *words[words[0] == "python" :]], tmp_path, given)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        shown[command] = ran.stdout
    report = json.loads(
        shown["charloom classify runs/kinds test --labels file --lines --prior sizes --json"].splitlines()[-1]
    )
    assert report["texts"] == 100
    assert report["accuracy"] > 0.8
    ran = run([sys.executable, "-c", in_python], tmp_path)
    assert [line.split()[1] for line in ran.stdout.splitlines()] == ["name", "mash"], ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose(page)):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:src|scripts|tests|benchmarks|docs|tools)/[\w./-]+)`", prose(page)):
        assert (ROOT / name).exists(), name


def test_the_figures_of_jobs_are_those_of_the_pages_that_measure_them() -> None:
    page = ROOT / "docs" / "explanation" / "jobs.md"
    rows = [line for line in prose(page).splitlines() if line.startswith("|") and "](" in line]
    assert len(rows) > 5
    for row in rows:
        (target,) = re.findall(r"\]\(([^)#]+)", row)
        measured = prose((page.parent / target).resolve())
        figures = re.findall(r"\b\d\.\d{3,4}\b", row)
        assert len(figures) == 2, row
        assert all(figure in measured for figure in figures), row


def test_the_architecture_has_a_line_for_every_module() -> None:
    """But for those of `cli`, which are the commands. `a/b.py` (`c.py`) means `a/b.py` and `a/c.py`."""
    package, folder = ROOT / "src" / "charloom", Path()
    named: set[Path] = set()
    for name in re.findall(r"`([\w/]+\.py)`", prose(ROOT / "docs" / "explanation" / "architecture.md")):
        folder = (package / name).parent if "/" in name else folder
        named.add(package / name if "/" in name or (package / name).is_file() else folder / name)
    modules = {path for path in package.glob("*/**/*.py") if path.name != "__init__.py"}
    assert sorted(named - modules - set(package.glob("*.py"))) == [], "named, and not there"
    assert sorted(path for path in modules - named if package / "cli" not in path.parents) == [], "not named"


def test_what_contributors_are_pointed_to_is_there() -> None:
    pointed = re.findall(r"`(\w+)`(?: and `(\w+)`)? in `([\w./-]+)`", prose(ROOT / "CONTRIBUTING.md"))
    assert len(pointed) >= 10
    for *names, file in pointed:
        source = (ROOT / file).read_text("utf-8")
        for name in filter(None, names):
            assert re.search(rf"(^|\W){name}( *[:=(\[]|\()", source), f"{name} in {file}"


def test_the_first_page_of_the_site_says_what_the_readme_says() -> None:
    (commands,) = blocks(ROOT / "docs" / "index.md", "sh")
    known = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    assert set(commands.splitlines()) <= set(known)
