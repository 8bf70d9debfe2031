"""The modules of both pages by themselves: they are sound JavaScript, and their pure functions do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import charloom
from charloom.runtime.html import assemble_page, join_modules

FRONT = Path(charloom.__file__).parent / "runtime" / "browser"  # of both pages, and the network of one
PLAYGROUND = Path(charloom.__file__).parent / "serving" / "playground"
FILES = [path for folder in (FRONT, PLAYGROUND) for path in sorted(folder.iterdir())]
MODULES = [path for path in FILES if path.suffix == ".js"]
UNTYPED = {
    "gates.js",
    "generation.js",
    "kernel.js",
    "network.js",
    "random.js",
    "sampling.js",
    "tensors.js",
    "worker.js",
}
TESTS = Path(__file__).parent / "playground"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """The modules and their tests where node takes them for modules, whatever its version."""
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for folder in (FRONT, PLAYGROUND):  # as the server shows them: side by side
        shutil.copytree(folder, tmp_path / "modules", dirs_exist_ok=True)
    for test in TESTS.glob("*.test.mjs"):
        shutil.copy(test, tmp_path)
    return tmp_path


@needs_node
def test_every_module_parses(workshop: Path) -> None:
    for module in MODULES:
        ran = subprocess.run(
            ["node", "--check", str(workshop / "modules" / module.name)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{module.name}\n{ran.stderr}"


@needs_node
def test_the_pure_functions(workshop: Path) -> None:
    tests = sorted(path.name for path in workshop.glob("*.test.mjs"))
    assert tests
    ran = subprocess.run(
        ["node", "--test", *tests], cwd=workshop, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^# pass [1-9]", ran.stdout, re.M) or re.search(r"pass [1-9]", ran.stdout)


def test_files_are_small_and_of_one_subject() -> None:
    assert len({path.name for path in FILES}) == len(FILES)
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= 300, path.name
    for module in MODULES:
        assert module.read_text("utf-8").startswith(("/** ", "// ")), f"{module.name} does not say what it is"


def test_nothing_comes_from_elsewhere_or_is_inline() -> None:
    names = {path.name for path in FILES}
    page = (FRONT / "index.html").read_text("utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\bsrc=)", page)
    assert names >= set(re.findall(r'(?:href|src)="([\w.-]+\.\w+)"', page))
    for path in FILES:
        for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text("utf-8")):
            assert address == "http://www.w3.org", f"{path.name}: {address}"  # the name of SVG, never fetched
    for module in MODULES:
        text = module.read_text("utf-8")
        assert names >= set(re.findall(r'from "\./([\w.-]+)"', text)), module.name
        assert not re.search(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|eval|localStorage|cookie)\b", text), (
            module.name
        )


def test_the_exported_page_has_nothing_that_only_a_server_has() -> None:
    page = assemble_page("a model", "An intro", {}, b"", b"")
    assert "<!-- " not in page
    assert not re.search(r'\b(?:src|href)="(?!#)', page)
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    for module in MODULES:
        if module.parent == FRONT:
            assert ids >= set(re.findall(r'byId\("([\w-]+)"\)', module.read_text("utf-8"))), module.name
    assert not ids & {"key-form", "regex", "curl", "model"}


def test_the_exported_pages_policy_allows_nothing_else() -> None:
    page = assemble_page("a model", "An intro", {}, b"", b"")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    own = r"'sha256-[\w+/=]{44}'"
    assert re.fullmatch(
        f"default-src 'none'; script-src {own} 'wasm-unsafe-eval'; style-src {own}; worker-src blob:; "
        "base-uri 'none'; form-action 'none'",
        policy[1],
    )


@needs_node
@pytest.mark.parametrize("entry", ["standalone.js", "worker.js"])
def test_joined_modules_are_one_script_without_comments(entry: str, tmp_path: Path) -> None:
    (tmp_path / "joined.mjs").write_text(joined := join_modules(entry))
    assert "/*" not in joined
    assert not re.search(r"^(?:import|export) ", joined, re.M)
    ran = subprocess.run(["node", "--check", str(tmp_path / "joined.mjs")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_types_in_the_comments_agree(workshop: Path, tmp_path: Path) -> None:
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "typescript@5"]
    if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm cannot install typescript")
    options = "--noEmit --allowJs --checkJs --strict --target es2022 --module es2022 --moduleResolution bundler"
    library = ["--lib", "es2022,dom,dom.iterable,dom.asynciterable"]
    compiler = tmp_path / "node_modules" / ".bin" / "tsc"
    files = [str(workshop / "modules" / module.name) for module in MODULES if module.name not in UNTYPED]
    ran = subprocess.run(
        [str(compiler), *options.split(), *library, *files], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
