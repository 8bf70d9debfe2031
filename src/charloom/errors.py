"""One tree of exceptions: catch `CharloomError` and you have caught everything we raise on purpose.

    CharloomError              something failed                         exit status 1
    ├── UsageError             an option or argument cannot work        exit status 2
    ├── CorpusError            the text cannot be read, or is too little
    ├── ModelDirectoryError    missing, incomplete, altered, or from a newer version
    ├── TrainingError          training cannot start or go on
    ├── StorageError           a file cannot be written (full disk, no permission)
    ├── HubError               the model hub refused, or could not be reached
    ├── BusyError              an engine has as much to do as it may take on
    ├── CloudError             Amazon Web Services refused, or could not be reached
    └── MissingExtraError      an optional part of charloom is not installed

A message is one line that says what was wrong and what to do about it.
"""

from __future__ import annotations


class CharloomError(Exception):
    """Something failed; the message says what and what to do. The command line exits with `exit_code`."""

    exit_code = 1


class UsageError(CharloomError, ValueError):
    """An option, argument or setting has a value that cannot work. Exit status 2.

    Attributes:
        setting: its name, where it is one setting's value.
    """

    exit_code = 2

    def __init__(self, message: str, setting: str | None = None) -> None:
        """Say `message`, about `setting`."""
        super().__init__(message)
        self.setting = setting


class CorpusError(CharloomError):
    """The text cannot be found, read or decoded, or there is too little of it."""


class ModelDirectoryError(CharloomError):
    """A model directory is missing, incomplete, altered, hostile, or from a newer version."""


class TrainingError(CharloomError):
    """Training cannot start, or cannot go on."""


class StorageError(CharloomError):
    """A file cannot be written: the disk is full, or permission is missing."""


class HubError(CharloomError):
    """The model hub refused a request or could not be reached, or what is there is not a charloom model."""


class BusyError(CharloomError):
    """An engine has as much to do as it may take on, or is closing: try again later."""


class CloudError(CharloomError):
    """Amazon Web Services refused a request, could not be reached, or something there has failed."""

    def __init__(self, message: str, code: str = "", reason: str = "") -> None:
        """Say `message`; `code` is Amazon's name for the trouble, `reason` its own words, where there are some."""
        super().__init__(message)
        self.code = code
        self.reason = reason


class MissingExtraError(CharloomError):
    """An optional part of charloom (an "extra") is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """Say that `what` needs the packages of `charloom[extra]`."""
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'charloom[{extra}]'")
        self.extra = extra
