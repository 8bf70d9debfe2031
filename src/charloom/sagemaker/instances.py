"""Kinds of machines: which have a GPU, and which are not to be had any more."""

from __future__ import annotations

import re

from charloom.errors import UsageError

LOCAL = "local"
"""The name of this machine, where an instance is asked for."""

_INSTANCE = re.compile(r"ml\.([a-z][a-z0-9-]*)\.([a-z0-9]+)")
_OBSOLETE = {"p2": "ml.g4dn.xlarge", "p3": "ml.g5.xlarge", "p3dn": "ml.g5.12xlarge"}
_TO_SERVE = "ml.c5.large"
_OTHER_CHIPS = re.compile(r"(?:inf|trn)\d.*")
_GPU_FAMILY = re.compile(r"(?:g|gr|p)\d.*")
_GPUS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8, "metal": 8}
_EIGHT = re.compile(r"p[4-9].*")


def refuse_obsolete(instance: str, *, serving: bool = False) -> None:
    """See that a machine is one that charloom can run on today.

    Args:
        instance: the kind of machine.
        serving: it is to serve, which a GPU does not help: another replacement is named.

    Raises:
        UsageError: it is none, is obsolete (a replacement is named), or has chips that PyTorch and ONNX Runtime do
            not run on as they are.
    """
    family, _ = _parts(instance)
    instead = _TO_SERVE if serving else _OBSOLETE.get(family, "ml.g5.xlarge")
    if family in _OBSOLETE:
        raise UsageError(f"{instance} is obsolete and not to be had any more: take {instead}, or another")
    if _OTHER_CHIPS.fullmatch(family):
        raise UsageError(f"{instance} has chips of Amazon's own, which charloom does not run on: take {instead}")


def has_gpu(instance: str) -> bool:
    """Whether a machine has a GPU of NVIDIA's.

    Raises:
        UsageError: that is no machine's name.
    """
    return gpus(instance) > 0


def gpus(instance: str) -> int:
    """How many GPUs a machine has.

    Raises:
        UsageError: that is no machine's name.
    """
    family, size = _parts(instance)
    if not _GPU_FAMILY.fullmatch(family):
        return 0
    if size == "24xlarge" and _EIGHT.fullmatch(family):
        return 8
    return _GPUS.get(size, 1)


def _parts(instance: str) -> tuple[str, str]:
    found = _INSTANCE.fullmatch(instance)
    if found is None:
        raise UsageError(f"{instance[:80]!r} is no machine's name: give one such as ml.m5.large")
    return found[1], found[2]
