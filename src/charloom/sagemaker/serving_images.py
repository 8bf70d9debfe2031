"""Which container serves: the one that was named, the account's own charloom-serve, or AWS's last of four functions."""

from __future__ import annotations

from charloom.events import Notice, Notify
from charloom.sagemaker.amazon_images import four_function_image
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command

_INSTALLING = "/pytorch-inference"
"""A part of the address of AWS's images, whose toolkit installs a model's requirements when it starts."""


def installs_at_start(image: str) -> bool:
    """Whether an image is one of AWS's that fetch what a model's code needs when they start."""
    return _INSTALLING in image


def chosen_image(aws: Aws, image: str | None, notify: Notify) -> str:
    """The image to serve with; `notify` receives what AWS's lacks.

    Raises:
        UsageError: the account has none, and none of AWS's is known for the region.
        CloudError: the account's registry may not be asked.
    """
    from charloom.sagemaker.own_image import serving_image

    if image:
        return image
    if found := serving_image(aws):
        return found
    if aws.dry:
        notify(Notice("the account is not asked for its charloom-serve image: the requests are as if it had none"))
        return four_function_image(aws.region)
    notify(
        Notice(
            "the account has no charloom-serve image, so AWS's pytorch-inference 2.6.0 serves: no response streaming "
            "(invoke --stream), a slower start, and a server that is no longer maintained; "
            f"{command(aws, 'image')} puts ours there"
        )
    )
    return four_function_image(aws.region)
