"""Put a model on the Hugging Face Hub: its own files in one commit, and a card with the metadata that the hub reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from charloom.bundle.config import CARD, CONFIG, FileName, parse_config
from charloom.bundle.hub import HubAddress, hub_api, hub_errors, require_library
from charloom.bundle.reading import ModelDirectory, open_model_directory
from charloom.errors import HubError, ModelDirectoryError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

_OURS = frozenset({*get_args(FileName), CONFIG})
_METADATA = {"library_name": "charloom", "pipeline_tag": "text-generation", "tags": ["charloom", "character-level"]}
_FOLDER_IN_CARD = "PATH-OF-THIS-FOLDER"


@dataclass(frozen=True)
class Pushed:
    """A model that was put on the hub.

    Attributes:
        address: where it is, as every command takes it.
        commit: the commit that holds it: `ADDRESS@COMMIT` never changes.
        url: its page.
        private: whether only its owner can see it.
        files: the names of what was sent.
        bytes: how much that is.
    """

    address: str
    commit: str
    url: str
    private: bool
    files: list[str]
    bytes: int


def push(model: Path | str, to: str, *, public: bool = False) -> Pushed:
    """Put a model on the Hugging Face Hub, where `charloom.load("hf://user/name")` finds it.

    One that is there already is replaced, in one commit; the earlier one stays in the history.

    Args:
        model: the model directory.
        to: `hf://user/name`, or `hf://user/name@branch`; what is not there is made.
        public: agree that everybody may read it, with what the model has memorized of its text.

    Raises:
        UsageError: the address is not valid, or is public and `public` does not say so, or the other way round.
        HubError: the hub cannot be reached or refuses, or another program's model is there.
        ModelDirectoryError: the model is not whole.
        MissingExtraError: the library for the hub is not installed.
    """
    address = parse_target(to)
    directory = open_model_directory(model)
    files: dict[str, Path | bytes] = {**directory.sound_files()}
    require_library()
    api = hub_api()
    with hub_errors(address):
        private, present = _prepare(api, address, public=public)
        files[CARD] = _card(api, directory, address, is_there=CARD in present)
        commit = _commit(api, address, files, present)
    sent = sum(len(content) if isinstance(content, bytes) else content.stat().st_size for content in files.values())
    url = f"{api.endpoint}/{address.repository}"
    return Pushed(str(address), commit, url, private, sorted(files), sent)


def parse_target(text: str) -> HubAddress:
    """Read the address that a model is pushed to.

    Raises:
        UsageError: it is not an address on the hub.
    """
    address = HubAddress.parse(text)
    if address is None:
        raise UsageError(f"{text} is not an address on the hub: write hf://user/name")
    return address


def _prepare(api: HfApi, address: HubAddress, *, public: bool) -> tuple[bool, set[str]]:
    """Make the repository and the branch if they are not there; whether it is private, and what it holds of ours."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise HubError(
            f"{address}: to push, log in with hf auth login, or set HF_TOKEN to a token that may write there"
        )
    found = _look(api, address)
    if found is None:
        api.create_repo(address.repository, private=not public)
        found = api.model_info(address.repository)
    _check_visibility(address, private=bool(found.private), public=public)
    present = {file.rfilename for file in found.siblings or ()} & _OURS
    if address.revision is not None:
        api.create_branch(address.repository, branch=address.revision, exist_ok=True)
        present = {*api.list_repo_files(address.repository, revision=address.revision)} & _OURS
    _check_whose(address, present)
    return bool(found.private), present


def _look(api: HfApi, address: HubAddress) -> ModelInfo | None:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return api.model_info(address.repository)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None


def _check_visibility(address: HubAddress, *, private: bool, public: bool) -> None:
    if public and private:
        raise UsageError(f"{address} is there and private: make it public on its page, or leave --public out")
    if not public and not private:
        raise UsageError(f"{address} is there and public, so everybody would read the model: add --public to agree")


def _check_whose(address: HubAddress, present: set[str]) -> None:
    """See that no other program's model is replaced."""
    if not present - {CARD}:
        return
    refusal = f"{address} holds another program's files of the same names: choose another name"
    if CONFIG not in present:
        raise HubError(refusal)
    try:
        parse_config(_read(address, CONFIG))
    except ModelDirectoryError:
        raise HubError(refusal) from None


def _read(address: HubAddress, name: str) -> bytes:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(address.repository, name, revision=address.revision)).read_bytes()


def _commit(api: HfApi, address: HubAddress, files: dict[str, Path | bytes], present: set[str]) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [
        CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]
    operations += [CommitOperationDelete(name) for name in sorted(present - set(files))]
    message = "Put a charloom model here"
    made = api.create_commit(address.repository, operations, commit_message=message, revision=address.revision)
    return str(made.oid)


def _card(api: HfApi, directory: ModelDirectory, address: HubAddress, *, is_there: bool) -> bytes:
    """The model's card; before it the metadata that it has, that the card on the hub has, and what the hub needs."""
    from huggingface_hub import ModelCard

    text = (directory.read_card() or "").replace(_FOLDER_IN_CARD, str(address))
    card = ModelCard(text or f"# {address.name}\n")
    there = vars(ModelCard(_read(address, CARD).decode("utf-8", "replace")).data) if is_there else {}
    for name, value in (*there.items(), *_METADATA.items()):
        if card.data.get(name) is None:
            card.data[name] = value
    return str(card).encode()
