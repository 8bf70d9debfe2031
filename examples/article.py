#!/usr/bin/env python3
"""The article's whole way on this machine: upload, train, attach, package, deploy, invoke, list, delete.

    python examples/article.py                       # a few minutes: a smaller network, two epochs
    python examples/article.py my-text.txt           # another text; no network is needed then
    python examples/article.py --full                # the article's own network, 50 epochs: hours on a CPU

It needs charloom's `dev` extra, for S3 is moto's, on 127.0.0.1. Jobs, models and buckets are in a folder that goes at
the end (--keep keeps it). docs/tutorials/the-article.md explains each command; the commands there are these.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from moto.server import ThreadedMotoServer

CORPUS = "tiny-shakespeare"
FEWER = "--hidden-size 128 --epochs 2"
"""What makes the article's training short; its own network has 512 units, and learns for 50 epochs."""

COMMANDS = (
    f"charloom corpus show {CORPUS} --clean article",
    f"charloom sagemaker upload {CORPUS} --clean article --prefix article",
    "charloom sagemaker train s3://sagemaker-us-east-1-123456789012/article/ --instance local --name article "
    f"--recipe article {FEWER} -o runs/article",
    "charloom sagemaker status article",
    "charloom sagemaker attach article -o runs/attached",
    "charloom sagemaker package runs/attached -o model.tar.gz",
    "charloom sagemaker deploy model.tar.gz --instance local --name article",
    'charloom sagemaker invoke article --payload "185-he did content to say"',
    'charloom sagemaker invoke article --prompt "he did content to say" --length 160 --seed 1',
    "charloom sagemaker list --here",
    "charloom sagemaker delete article",
    "charloom sagemaker delete article --job",
)


def pretended_account(folder: Path, s3: str) -> dict[str, str]:
    """The environment of an account that exists on this machine only, with a home for its jobs and endpoints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHARLOOM_SERVE_"))}
    return kept | {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CHARLOOM_HOME": str(folder / "home"),
    }


def tell(commands: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run the commands one after the other, showing each.

    Raises:
        SystemExit: one has failed; its status.
    """
    try:
        for command in commands:
            print(f"\n$ {command}", flush=True)
            run(command, folder, environment)
    except BaseException as error:  # also Ctrl-C: the endpoint is a process of its own, and would go on
        code = "from charloom.sagemaker import delete_here; delete_here('article')"
        subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        if isinstance(error, subprocess.CalledProcessError):
            sys.exit(error.returncode)
        raise


def run(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Run one command with the Python that runs this.

    Raises:
        CalledProcessError: it has failed.
    """
    subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=folder, env=environment, check=True)


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", default=CORPUS)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help="the article's own network and epochs")
    length.add_argument("--training", default=FEWER, metavar="OPTIONS", help=f"instead of: {FEWER}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder, and leave it")
    given = parser.parse_args()
    corpus = str(Path(given.corpus).absolute()) if Path(given.corpus).exists() else given.corpus
    training = "" if given.full else given.training
    commands = [command.replace(CORPUS, shlex.quote(corpus)).replace(FEWER, training) for command in COMMANDS]
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request would drown the story
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with tempfile.TemporaryDirectory(prefix="charloom-article-") as temporary:
            folder = given.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            tell(commands, folder, pretended_account(folder.absolute(), f"http://{host}:{port}"))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
