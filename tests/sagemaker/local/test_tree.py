from __future__ import annotations

import json
from pathlib import Path

import pytest

from charloom.errors import CloudError
from charloom.events import ignore
from charloom.sagemaker.aws import Account
from charloom.sagemaker.local.job_runs import build_tree
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import default_bucket, ensure_bucket, upload_file


def test_a_tree_is_what_a_container_finds(small_text: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    channels = {"training": str(small_text), "validation": str(tmp_path / "texts")}
    hyperparameters = {"recipe": json.dumps('it\'s "mine"\n🙂'), "epochs": "2"}
    base = tmp_path / "ml"
    build_tree(base, channels, hyperparameters, 1, ignore)
    (base / "checkpoints" / "kept").touch()
    (base / "model" / "old").touch()
    build_tree(base, channels, hyperparameters, 1, ignore)
    assert json.loads((base / "input/config/hyperparameters.json").read_text("utf-8")) == hyperparameters
    assert json.loads((base / "input/config/inputdataconfig.json").read_text()).keys() == channels.keys()
    assert json.loads((base / "input/config/resourceconfig.json").read_text())["hosts"] == ["localhost"]
    assert (base / "input/data/training" / small_text.name).read_text() == small_text.read_text()
    assert (base / "input/data/validation/a.txt").read_text() == "a"
    assert (base / "checkpoints" / "kept").exists()
    assert list((base / "model").iterdir()) == []
    assert (base / "code/charloom/version.py").is_file()


@pytest.mark.slow
def test_a_text_comes_from_s3(account: Account, small_text: Path, tmp_path: Path) -> None:
    bucket = default_bucket(account)
    ensure_bucket(account, bucket)
    for key in ("texts/mine/a.txt", "texts/mine/more/b.txt", "texts/mine-not/c.txt"):
        upload_file(account, small_text, S3Uri(bucket, key))
    account.call("s3", "put_object", Bucket=bucket, Key="texts/mine/", Body=b"")  # as consoles mark a folder
    base = tmp_path / "ml"

    def fetched(address: str) -> list[str]:
        build_tree(base, {"training": address}, {}, 1, ignore)
        folder = base / "input/data/training"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    assert fetched(f"s3://{bucket}/texts/mine") == ["a.txt", "more/b.txt"], "what only begins alike is left"
    assert fetched(f"s3://{bucket}/texts/mine/") == ["a.txt", "more/b.txt"]
    assert fetched(f"s3://{bucket}/texts/mine-not/c.txt") == ["c.txt"]
    with pytest.raises(CloudError, match="there is nothing there"):
        fetched(f"s3://{bucket}/other/")
    account.call("s3", "put_object", Bucket=bucket, Key="hostile/../../up.txt", Body=b"up")
    with pytest.raises(CloudError, match="no file can have here"):
        fetched(f"s3://{bucket}/hostile/")
