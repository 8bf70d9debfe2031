"""The images of docker/, built and started as SageMaker does; `-s` prints how large they are and how soon they answer.

`scripts/images` installs what that takes. Without it these tests are skipped; tests/proofs/test_container.py tests
the same server without an image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import charloom
from tests.proofs.images import ROOT, Builder, Container, Image, builder, own_machine, running

LARGEST = 110_000_000  # bytes of the serving image above its base
STARTS_WITHIN, ENDS_WITHIN = 240, 30  # seconds: SageMaker's
WHICH_KERNEL = "from charloom.kernel.build import compile_library; print(compile_library())"
PROMPT = "he did content to say"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def native() -> Iterator[Builder]:
    with builder(own_machine()) as made:
        yield made


@pytest.fixture(scope="module")
def serving(native: Builder) -> Image:
    return native.build(ROOT / "docker/serve.Dockerfile")


def until_ready(container: Container) -> None:
    """Wait for /ping to say 200."""
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end:
        try:
            if container.request("GET", "/ping").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        assert container.process.poll() is None
        time.sleep(0.02)
    raise AssertionError("it did not become ready")


def check_serving(image: Image, model: Path, log: Path, user: int) -> float:
    """Start the image as SageMaker does, ask what the article asks, end it; the seconds until it was ready."""
    began = time.monotonic()
    with running(image, "serve", binds={model: "/opt/ml/model"}, user=user, read_only=True, log=log) as container:
        until_ready(container)
        seconds = time.monotonic() - began
        text = {"content-type": "text/plain"}
        answer = container.request("POST", "/invocations", content=f"185-{PROMPT}", headers=text)
        assert (answer.status_code, len(answer.text), answer.text[: len(PROMPT)]) == (200, 185, PROMPT)
        asked = {"prompt": "The ", "max_tokens": 200, "seed": 7}
        answer = container.request("POST", "/invocations", json=asked)
        own = charloom.load(model, precision="int8").generate("The ", length=200, seed=7)
        assert answer.json()["choices"][0]["text"] == own.text
        container.end()
        assert container.process.wait(ENDS_WITHIN) == 0
    assert "numpy runs the network" not in log.read_text("utf-8")
    return seconds


def check_kernel(image: Image, log: Path) -> None:
    """The library came in the wheel: nothing in the image could compile it."""
    with running(image, "-c", WHICH_KERNEL, command=["python"], read_only=True, log=log) as container:
        said = container.process.communicate(timeout=120)[0].strip()
    assert "/charloom/kernel/build/kernel-" in said, log.read_text("utf-8")


@pytest.mark.parametrize("user", [0, 1000])
def test_serving(serving: Image, trained: Path, tmp_path: Path, user: int) -> None:
    seconds = check_serving(serving, trained, tmp_path / "log", user)
    print(f"\nready in {seconds:.1f} s as user {user}")  # noqa: T201


def test_the_serving_image_is_small_and_has_the_compiled_kernel(serving: Image, tmp_path: Path) -> None:
    print(f"\ndocker/serve.Dockerfile: {serving.above_base / 1e6:.0f} MB above its base")  # noqa: T201
    assert serving.above_base <= LARGEST
    check_kernel(serving, tmp_path / "log")


def test_training(native: Builder, small_text: Path, tmp_path: Path) -> None:
    image = native.build(ROOT / "docker/train.Dockerfile")
    print(f"\ndocker/train.Dockerfile: {image.above_base / 1e6:.0f} MB above its base")  # noqa: T201
    base = tmp_path / "ml"
    for folder in ("input/config", "input/data/training", "model", "output/data"):
        (base / folder).mkdir(parents=True)
    (base / "input/data/training/a.txt").write_bytes(small_text.read_bytes())
    settings = {"hidden-size": 16, "embedding-size": 8, "batch-size": 8, "bptt": 32, "steps": 20, "device": "cpu"}
    hyperparameters = {name: json.dumps(value) for name, value in settings.items()}
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters), "utf-8")
    (base / "input/config/inputdataconfig.json").write_text('{"training": {}}', "utf-8")
    (base / "input/config/resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}', "utf-8")
    with running(image, "train", binds={base: "/opt/ml"}, log=tmp_path / "log") as container:
        assert container.process.wait(600) == 0, (tmp_path / "log").read_text("utf-8")
    assert not (base / "output/failure").exists()
    assert len(charloom.load(base / "model").generate("The ", length=20, seed=1).text) == 20


@pytest.mark.timeout(7200)
def test_the_serving_image_for_arm(trained: Path, tmp_path: Path) -> None:
    """By the same file, on an emulated processor: the same text for the same seed."""
    with builder("arm64") as made:
        image = made.build(ROOT / "docker/serve.Dockerfile")
        check_kernel(image, tmp_path / "kernel")
        check_serving(image, trained, tmp_path / "log", 1000)
