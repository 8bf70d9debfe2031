"""Who makes an endpoint: the tag that says whom the others in an account may ask."""

from __future__ import annotations

import re

from charloom.sagemaker.aws import Aws

_NOT_IN_TAGS = re.compile(r"[^\w\s.:/=+@-]")
_LIMIT = 256


def owner(aws: Aws) -> str:
    """The caller's full name, as a tag may hold it.

    Raises:
        CloudError: there are no credentials, or they are not valid.
    """
    arn = str(aws.call("sts", "get_caller_identity").get("Arn", "OWNER"))
    return _NOT_IN_TAGS.sub("-", arn)[:_LIMIT]
