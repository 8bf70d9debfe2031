"""The environment of what runs here as it would in a container."""

from __future__ import annotations

import os
from collections.abc import Mapping

_OTHERS = ("SM_", "SAGEMAKER_", "CHARLOOM_SERVE_", "TORCHELASTIC_")
_OTHER_NAMES = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TRAINING_JOB_NAME"})


def container_environment(more: Mapping[str, str], *paths: str) -> dict[str, str]:
    """This process's environment without what would not be there in a container, and with `more`.

    Args:
        more: variables that go over it.
        *paths: folders that Python looks into first.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_OTHERS) and name not in _OTHER_NAMES
    }
    # The process will start in another folder, where a relative path would lead elsewhere.
    given = [os.path.abspath(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    if paths or given:
        kept["PYTHONPATH"] = os.pathsep.join([*paths, *given])
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", **more}
