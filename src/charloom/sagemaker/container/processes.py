"""How many processes a job needs, and torchrun to start them where nobody has."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from charloom.errors import UsageError

_PORT = 7777  # what SageMaker's toolkit takes


def launch(environ: Mapping[str, str], device: str, module: str, arguments: Sequence[str]) -> list[str] | None:
    """The command that starts `module` once for each GPU of each host; None where one process does it all.

    Args:
        environ: the environment, with SM_HOSTS, SM_CURRENT_HOST and SM_NUM_GPUS.
        device: the setting of that name; only `auto` and `cuda` mean all GPUs.
        module: what to start.
        arguments: what to start it with.

    Raises:
        UsageError: the variables make no sense.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        return None
    hosts, current, gpus = _machines(environ)
    each = max(1, gpus) if device in ("auto", "cuda") else 1
    if len(hosts) * each == 1:
        return None
    command = [
        sys.executable,
        "-P",
        "-m",
        "torch.distributed.run",
        "--nnodes",
        str(len(hosts)),
        "--nproc-per-node",
        str(each),
    ]
    if len(hosts) == 1:
        command += ["--standalone", "--local-addr", "127.0.0.1"]
    else:  # rank 0 is on the first host
        command += ["--node-rank", str(hosts.index(current)), "--master-addr", hosts[0], "--master-port", str(_PORT)]
    return [*command, "-m", module, *arguments]


def _machines(environ: Mapping[str, str]) -> tuple[list[str], str, int]:
    told = environ.get("SM_HOSTS") or '["localhost"]'
    try:
        hosts: Any = json.loads(told)
        gpus = int(environ.get("SM_NUM_GPUS") or 0)
    except ValueError:
        hosts, gpus = None, 0
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, str) for host in hosts):
        raise UsageError(
            f"SM_HOSTS = {told[:200]!r}, SM_NUM_GPUS = {environ.get('SM_NUM_GPUS')!r}: not as SageMaker has it"
        )
    current = environ.get("SM_CURRENT_HOST") or hosts[0]
    if current not in hosts:
        raise UsageError(f"SM_CURRENT_HOST = {current!r} is none of SM_HOSTS = {told[:200]}")
    return hosts, current, gpus
