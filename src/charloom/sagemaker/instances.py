"""Instance types: which have a GPU, which cannot be had, and what each can be used for."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import Literal

from charloom.errors import UsageError

LOCAL = "local"
"""The name of this machine, where an instance is asked for."""

Use = Literal["training", "endpoints", "batch transform"]
"""What an instance is rented for."""

_SHAPES: dict[Use, str] = {
    "training": "TrainingInstanceType",
    "endpoints": "ProductionVariantInstanceType",
    "batch transform": "TransformInstanceType",
}
"""The shapes of the installed botocore that list the instance types for each use."""

_INSTANCE = re.compile(r"ml\.([a-z][a-z0-9-]*)\.([a-z0-9]+)")
_OBSOLETE = {"p2": "ml.g4dn.xlarge", "p3": "ml.g5.xlarge", "p3dn": "ml.g5.12xlarge"}
_TO_SERVE = "ml.c5.large"
_OTHER_CHIPS = re.compile(r"(?:inf|trn)\d.*")
_GPU_FAMILY = re.compile(r"(?:g|gr|p)\d.*")
_GPUS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8, "metal": 8}
_EIGHT = re.compile(r"p[4-9].*")
_OWN_DISKS = re.compile(r"[a-z]+\d+[a-z]*d[a-z]*|g[5-9].*|gr\d.*|p[5-9].*|trn.*|i\d.*")  # m5d, g4dn, p4de, c6id
_ARM = re.compile(r"[a-z]+\d+g[a-z]*|.*-gb\d+|a1")  # c7g, m6gd, r8gn, g5g, p6e-gb200


def refuse_unfit(instance: str, use: Use) -> None:
    """See that an instance type is one that charloom can run on today, and that SageMaker has for that use.

    A type that the installed botocore does not list at all may be new: see `unlisted`.

    Raises:
        UsageError: it is not a type's name, is obsolete (a replacement is named), has chips that PyTorch and ONNX
            Runtime do not run on as they are, or is for another use.
    """
    family, _ = _parts(instance)
    instead = _OBSOLETE.get(family, "ml.g5.xlarge") if use == "training" else _TO_SERVE
    if family in _OBSOLETE:
        raise UsageError(f"{instance} is obsolete and not to be had any more: take {instead}, or another")
    if _OTHER_CHIPS.fullmatch(family):
        raise UsageError(f"{instance} has chips of Amazon's own, which charloom does not run on: take {instead}")
    others = [other for other, types in _listed().items() if instance in types]
    if others and use not in others:
        near = "".join(f": take {one}, or another" for one in get_close_matches(instance, _listed()[use], 1))
        raise UsageError(f"{instance} is for {' and '.join(others)}, not for {use}{near}")


def refuse_arm(instance: str, image: str | None) -> None:
    """See that an instance type has the processors that the container image is built for.

    Args:
        instance: the type.
        image: one of the user's own, which may be for Arm; None: one that charloom chooses.

    Raises:
        UsageError: it has Arm processors, and the image is one that charloom chooses.
    """
    if image is None and has_arm(instance):
        raise UsageError(
            f"{instance} has an Arm processor (Graviton), and the images that charloom takes are built for x86: "
            f"take {_TO_SERVE} or another without it, or give an image for arm64 with --image"
        )


def unlisted(instance: str, use: Use) -> str:
    """A warning about an instance type that the installed botocore does not list at all; empty where it does."""
    listed = _listed()
    if not listed or any(instance in types for types in listed.values()):
        return ""
    near = "".join(f"; did you mean {one}?" for one in get_close_matches(instance, listed[use], 1))
    return f"{instance} is not in boto3's list of instance types: it is newer than the list, or misspelt{near}"


@cache
def _listed() -> dict[Use, frozenset[str]]:
    """The instance types that the installed botocore lists for each use; nothing where it is not installed."""
    try:
        from botocore.loaders import Loader
    except ModuleNotFoundError:
        return {}
    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    return {use: frozenset(shapes[shape]["enum"]) for use, shape in _SHAPES.items()}


def has_arm(instance: str) -> bool:
    """Whether a machine has Arm processors, which run none of the x86 images.

    Raises:
        UsageError: that is not an instance type's name.
    """
    return _ARM.fullmatch(_parts(instance)[0]) is not None


def has_own_disks(instance: str) -> bool:
    """Whether a machine has disks of its own, which it encrypts by itself: Amazon refuses a key for them.

    Raises:
        UsageError: that is not an instance type's name.
    """
    return _OWN_DISKS.fullmatch(_parts(instance)[0]) is not None


def has_gpu(instance: str) -> bool:
    """Whether a machine has a GPU of NVIDIA's.

    Raises:
        UsageError: that is not an instance type's name.
    """
    return gpus(instance) > 0


def gpus(instance: str) -> int:
    """How many GPUs a machine has.

    Raises:
        UsageError: that is not an instance type's name.
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
        raise UsageError(f"{instance[:80]!r} is not an instance type: give one such as ml.m5.large")
    return found[1], found[2]
