"""Instance types: GPU, price, what each can be used for, and AWS's container images for them.

Prices are a dated table, an override, and "unknown" for everything else. Images as of November 2026; their accounts are
those of Amazon's page "Region availability" of its Deep Learning Containers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from charloom.errors import UsageError
from charloom.sagemaker.aws import UNKNOWN_REGION
from charloom.sagemaker.names import dns_suffix

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

HOURS_A_MONTH = 730
"""As Amazon's own calculator has it."""
_REFERENCE = "us-east-1"
UNKNOWN = "unknown"
_FOUR_FUNCTIONS = "pytorch-inference:2.6.0-cpu-py312"  # the last one: its server is no longer maintained
_MOST = "763104351884"


def refuse_unfit(instance: str, use: Use) -> None:
    """See that an instance type is one that charloom can run on today, and that SageMaker has for that use.

    A type that the installed botocore does not list at all may be new: see `unlisted_warning`.
    """
    family, _ = _parts(instance)
    instead = _OBSOLETE.get(family, "ml.g5.xlarge") if use == "training" else _TO_SERVE
    if family in _OBSOLETE:
        raise UsageError(f"{instance} is obsolete and not to be had any more: take {instead}, or another")
    if _OTHER_CHIPS.fullmatch(family):
        raise UsageError(f"{instance} has chips of Amazon's own, which charloom does not run on: take {instead}")
    others = [other for other, types in _listed_types().items() if instance in types]
    if others and use not in others:
        near = "".join(f": take {one}, or another" for one in get_close_matches(instance, _listed_types()[use], 1))
        raise UsageError(f"{instance} is for {' and '.join(others)}, not for {use}{near}")


def training_type(instance: str) -> str:
    """What a training job may run on: an instance type that is fit for it, or "local"."""
    if instance != LOCAL:
        refuse_unfit(instance, "training")
    return instance


def refuse_arm(instance: str, image: str | None) -> None:
    """See that an instance type has the processors that the container image is built for."""
    if image is None and has_arm(instance):
        raise UsageError(
            f"{instance} has an Arm processor (Graviton), and the images that charloom takes are built for x86: "
            f"take {_TO_SERVE} or another without it, or give an image for arm64 with --image"
        )


def unlisted_warning(instance: str, use: Use) -> str:
    """A warning about an instance type that the installed botocore does not list at all; empty where it does."""
    listed = _listed_types()
    if not listed or any(instance in types for types in listed.values()):
        return ""
    near = "".join(f"; did you mean {one}?" for one in get_close_matches(instance, listed[use], 1))
    return f"{instance} is not in boto3's list of instance types: it is newer than the list, or misspelt{near}"


@cache
def _listed_types() -> dict[Use, frozenset[str]]:
    """The instance types that the installed botocore lists for each use; nothing where it is not installed."""
    try:
        from botocore.loaders import Loader
    except ModuleNotFoundError:
        return {}
    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    return {use: frozenset(shapes[shape]["enum"]) for use, shape in _SHAPES.items()}


def has_arm(instance: str) -> bool:
    """Whether a machine has Arm processors, which run none of the x86 images."""
    return _ARM.fullmatch(_parts(instance)[0]) is not None


def has_own_disks(instance: str) -> bool:
    """Whether a machine has disks of its own, which it encrypts by itself: Amazon refuses a key for them."""
    return _OWN_DISKS.fullmatch(_parts(instance)[0]) is not None


def has_gpu(instance: str) -> bool:
    """Whether a machine has a GPU of NVIDIA's."""
    return gpus(instance) > 0


def gpus(instance: str) -> int:
    """How many GPUs a machine has."""
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


PriceKind = Literal["hosting", "training"]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("charloom.sagemaker").joinpath("prices.json").read_text("utf-8"))
    return table


def price_per_hour(
    instance: str, region: str, override: float | None = None, kind: PriceKind = "hosting"
) -> float | None:
    """USD an hour of one instance, or None: unknown, which is not zero.

    Args:
        instance: such as ml.m5.large.
        region: prices differ by region; one that the table lacks is unknown.
        override: what the user says it costs.
        kind: hosting (endpoints, batch transform) or training.
    """
    if override is not None:
        return override
    price = _table()["regions"].get(region, {}).get(instance, {}).get(kind)
    return None if price is None else float(price)


def price_note(instance: str, region: str, override: float | None = None, kind: PriceKind = "hosting") -> str:
    """Where a price comes from, or what is known instead of it."""
    if override is not None:
        return "the price is the one that was given"
    if price_per_hour(instance, region, None, kind) is not None:
        return f"prices as of {_table()['as_of']}, from {_table()['source']}"
    elsewhere = price_per_hour(instance, _REFERENCE, None, kind)
    known = "" if elsewhere is None else f"it is {elsewhere:g} USD an hour in {_REFERENCE}; "
    return f"the price of {instance} in {region} is not in charloom's table: {known}give it with --price"


def shown_price(dollars: float | None) -> str:
    """An amount for people: "unknown" where it is."""
    if dollars is None:
        return UNKNOWN
    if 0 < dollars < 0.01:
        return "< 0.01 USD"
    return f"{dollars:,.2f} USD" if dollars >= 1 else f"{dollars:.4g} USD"


@dataclass(frozen=True)
class Cost:
    """What something costs for as long as it exists.

    Attributes:
        per_hour: USD, at its smallest size; None: unknown.
        most_per_hour: USD, at the largest size it may grow to; None: unknown.
        note: where the figure comes from, or why there is none.
    """

    per_hour: float | None
    most_per_hour: float | None
    note: str

    def stated(self, what: str) -> str:
        """A line for people about `what`: an amount an hour and a month, or that it is unknown."""
        if self.per_hour is None or self.per_month is None:
            return f"{what}: price unknown; {self.note}"
        month = f"{shown_price(self.per_month)} a month ({HOURS_A_MONTH} h)"
        idle = self.per_hour == 0 and self.most_per_hour
        line = f"{what}: " + ("nothing while it is idle" if idle else f"{shown_price(self.per_hour)} an hour, {month}")
        if self.most_per_hour != self.per_hour:
            line += f"; grown, {shown_price(self.most_per_hour)} an hour, {shown_price(self.most_per_month)} a month"
        return f"{line}; {self.note}"

    @property
    def per_month(self) -> float | None:
        """USD in 730 hours."""
        return None if self.per_hour is None else self.per_hour * HOURS_A_MONTH

    @property
    def most_per_month(self) -> float | None:
        """USD in 730 hours at the largest size."""
        return None if self.most_per_hour is None else self.most_per_hour * HOURS_A_MONTH


_REPOSITORY, _RELEASE = "pytorch", "2.13"
_ACCOUNTS = {
    **dict.fromkeys(
        [
            "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
            "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
            "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
            UNKNOWN_REGION,
        ],
        _MOST,
    ),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}  # fmt: skip


def amazon_registry(region: str) -> str:
    """The address of the registry that Amazon keeps its own images in."""
    if region not in _ACCOUNTS:
        raise UsageError(f"it is not known where Amazon keeps its images in {region!r}: give the image with --image")
    return f"{_ACCOUNTS[region]}.dkr.ecr.{region}.{dns_suffix(region)}"


def training_image(region: str, instance: str) -> str:
    """Amazon's image for training with PyTorch on such a machine."""
    kind = "cu133" if has_gpu(instance) else "cpu"
    return f"{amazon_registry(region)}/{_REPOSITORY}:{_RELEASE}-{kind}-amzn2023-sagemaker"


def four_function_image(region: str) -> str:
    """The address of Amazon's last image that serves through model_fn, input_fn, predict_fn and output_fn."""
    return f"{amazon_registry(region)}/{_FOUR_FUNCTIONS}"
