"""What a job would read that is given an address in S3: everything whose address begins so."""

from __future__ import annotations

from itertools import islice

from charloom.errors import CloudError, UsageError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.storage import objects_under
from charloom.text.prepared import IDS, RECORD, VOCABULARY

_MOST = 10_000  # objects that are looked at


def objects_read(aws: Aws, address: S3Uri) -> list[S3Uri]:
    """The objects that a job reads at an address; of very many, the first. Nothing in a dry run.

    Raises:
        UsageError: the address names a file or folder, and is the beginning of another's address too.
        CloudError: there is nothing, or S3 refused.
    """
    found = [one for one in islice(objects_under(aws, address), _MOST) if not one.key.endswith("/")]  # S3's "folders"
    if not found and not aws.dry:
        raise CloudError(f"there is nothing at {address}: look whether it is spelled as in S3", "404")
    if address.key and not address.key.endswith("/"):
        _refuse_neighbours(address, found)
    return found


def _refuse_neighbours(address: S3Uri, found: list[S3Uri]) -> None:
    if address in found:
        others, way = [one for one in found if one != address], "copy it to a folder of its own"
    elif any(one.key.startswith(f"{address.key}/") for one in found):
        others = [one for one in found if not one.key.startswith(f"{address.key}/")]
        way = f"name the folder as {address}/"
    else:
        return
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(f"{address} is also how {others[0]}{more} begins, which SageMaker would read as well: {way}")


def refuse_mixed_corpora(address: S3Uri, found: list[S3Uri]) -> None:
    """See that a prepared corpus is alone: a job whose training channel holds more ends at once, and is paid for.

    Args:
        address: where the text is.
        found: the objects there.

    Raises:
        UsageError: there is a prepared corpus among other things, or too deep for the job to find.
    """
    keys = {one.key for one in found}
    folders = sorted({key.removesuffix(RECORD) for key in keys if f"/{key}".endswith(f"/{RECORD}")})
    corpora = [folder for folder in folders if {folder + IDS, folder + VOCABULARY} <= keys]
    if not corpora:
        return
    root = address.key if address.key.endswith("/") or not address.key else f"{address.key}/"
    beside = [key for key in keys if not key.startswith(corpora[0]) and key.removeprefix(root)[:1] != "."]
    if beside or corpora[0].removeprefix(root).count("/") > 1:
        named = " or ".join(str(S3Uri(address.bucket, folder)) for folder in corpora[:2])
        what = f"{len(corpora)} prepared corpora" if len(corpora) > 1 else "a prepared corpus, and not that alone"
        raise UsageError(f"{address} holds {what}; a job learns one: name {named}")
