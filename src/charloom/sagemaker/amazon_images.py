"""Amazon's own container images: which account holds them in a region, and what those that train and serve are called.

As of November 2026; the accounts are those of Amazon's page "Region availability" of its Deep Learning Containers.
"""

from __future__ import annotations

from charloom.errors import UsageError
from charloom.sagemaker.aws import UNKNOWN_REGION
from charloom.sagemaker.instances import has_gpu
from charloom.sagemaker.names import dns_suffix

_REPOSITORY, _RELEASE = "pytorch", "2.13"
_FOUR_FUNCTIONS = "pytorch-inference:2.6.0-cpu-py312"  # the last one: its server is no longer maintained
_MOST = "763104351884"
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
    """The address of the registry that Amazon keeps its own images in.

    Raises:
        UsageError: none is known for that region.
    """
    if region not in _ACCOUNTS:
        raise UsageError(f"it is not known where Amazon keeps its images in {region!r}: give the image with --image")
    return f"{_ACCOUNTS[region]}.dkr.ecr.{region}.{dns_suffix(region)}"


def training_image(region: str, instance: str) -> str:
    """Amazon's image for training with PyTorch on such a machine.

    Raises:
        UsageError: none is known for that region, or that is no machine's name.
    """
    kind = "cu133" if has_gpu(instance) else "cpu"
    return f"{amazon_registry(region)}/{_REPOSITORY}:{_RELEASE}-{kind}-amzn2023-sagemaker"


def four_function_image(region: str) -> str:
    """The address of Amazon's last image that serves through model_fn, input_fn, predict_fn and output_fn.

    Raises:
        UsageError: none is known for that region.
    """
    return f"{amazon_registry(region)}/{_FOUR_FUNCTIONS}"
