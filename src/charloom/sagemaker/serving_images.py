"""Which container serves: the one that was named, the account's own charloom-serve, or AWS's last of four functions."""

from __future__ import annotations

from charloom.events import Notice, Notify
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.images import amazon_registry

_FOUR_FUNCTIONS = "pytorch-inference:2.6.0-cpu-py312"  # the last one: its server is no longer maintained


def four_function_image(aws: Aws) -> str:
    """The address of AWS's last image that calls model_fn, input_fn, predict_fn and output_fn.

    Raises:
        UsageError: none is known for the region.
    """
    return f"{amazon_registry(aws.region)}/{_FOUR_FUNCTIONS}"


def chosen_image(aws: Aws, image: str | None, notify: Notify) -> str:
    """The image to serve with; what is lost with AWS's is told.

    Raises:
        UsageError: the account has none, and none of AWS's is known for the region.
        CloudError: the account's registry may not be asked.
    """
    from charloom.sagemaker.image import serving_image

    if image:
        return image
    if found := serving_image(aws):
        return found
    if aws.dry:
        notify(Notice("the account is not asked for its charloom-serve image: the requests are as if it had none"))
        return four_function_image(aws)
    notify(
        Notice(
            "the account has no charloom-serve image, so AWS's pytorch-inference 2.6.0 serves: no response streaming "
            "(invoke --stream), a slower start, and a server that is no longer maintained; "
            "charloom sagemaker image puts ours there"
        )
    )
    return four_function_image(aws)
