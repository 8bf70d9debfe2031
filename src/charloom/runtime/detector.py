"""Finding odd lines: a model and a threshold, which can be kept in a file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ValidationError

from charloom.errors import StorageError, UsageError
from charloom.files import atomic_write, expand_home, storage_errors, temporary_beside
from charloom.runtime.masks import Masks, compile_masks
from charloom.runtime.model import Model, load
from charloom.runtime.scores import Ranking, Score, rank
from charloom.runtime.threshold import Threshold, check_false_alarms, fit_threshold

_MOST_BYTES = 1 << 20  # of a threshold's file: what is larger is another one


class Detector:
    """A model and a threshold: finds lines that are odd.

    >>> detector = charloom.Detector("runs/log").fit(open("today.log"))
    >>> odd = [score for score in detector.score(open("today.log")) if score.odd]

    Attributes:
        model: what scores the lines.
        by: which of a line's figures counts: `worst`, `mean` or `total`.
        masks: what is read and not charged.
        against: the other model, beyond whose charge a line is odd; None without one.
        threshold: what a line must cost to be odd; None before `fit`.
    """

    def __init__(
        self,
        model: Model | str | Path,
        *,
        by: Ranking = "worst",
        mask: Masks = (),
        against: Model | str | Path | None = None,
    ) -> None:
        """Look for odd lines with a model.

        Args:
            model: a model, or its folder.
            by: `worst` counts a line's costliest character, `mean` its bits per character, `total` all its bits.
            mask: regular expressions; what they match in a line, such as a date, is read and not charged.
            against: another model, or its folder; what counts is what a line costs beyond what it costs that one.

        Raises:
            UsageError: a mask cannot be read, there is no such figure, or the models read texts differently.
        """
        if by not in get_args(Ranking):
            raise UsageError(f"by = {by!r}: choose worst, mean or total")
        self.model = model if isinstance(model, Model) else load(model)
        self.by: Ranking = by
        self.masks: tuple[str, ...] = tuple(each.pattern for each in compile_masks(mask))
        self.against = against if isinstance(against, Model) or against is None else load(against)
        self.threshold: Threshold | None = None
        self._measure([])  # refuses models that read texts differently

    def __repr__(self) -> str:
        found = self.threshold
        fitted = "not fitted" if found is None else f"odd above {found.bits:.2f} bits, fitted on {found.lines:,} lines"
        return f"Detector({str(self.model.path)!r}, by={self.by!r}, {fitted})"

    def fit(self, lines: Iterable[str | None], *, false_alarms: float = 1, good: bool = False) -> Detector:
        """Find the threshold.

        Args:
            lines: such lines as will be scored, a day of them for instance; a file, or a column of a table.
                Missing values are left out.
            false_alarms: how many false alarms are accepted in as many ordinary lines, 1 or more.
            good: all these lines are known to be ordinary. Otherwise those far from the others are taken for odd ones.

        Raises:
            CorpusError: fewer than 20 lines.
            UsageError: fewer than one false alarm.
        """
        check_false_alarms(false_alarms)
        figures = array("d")
        for score in self._measure(lines):
            if (figure := rank(score, self.by)) is not None:
                figures.append(figure)
        self.threshold = fit_threshold(figures, false_alarms, good=good)
        return self

    def score(self, lines: Iterable[str | None], *, live: bool = False) -> Iterator[Score]:
        """Score lines in their order, lazily; `odd` of each says whether it is.

        Args:
            lines: with their line ends or without. A missing value (None, NaN, pandas.NA) is not odd.
            live: score each line before the next one is asked for.

        Raises:
            UsageError: there is no threshold yet.
        """
        threshold = self._fitted()
        found = self._measure(lines, live=live)
        return (replace(score, odd=threshold.is_odd(rank(score, self.by))) for score in found)

    def _measure(self, lines: Iterable[str | None], *, live: bool = False) -> Iterator[Score]:
        return self.model.score_lines(lines, live=live, mask=self.masks, against=self.against)

    def is_odd(self, line: str) -> bool:
        """Whether a line is odd.

        Raises:
            UsageError: there is no threshold yet.
        """
        return bool(next(self.score([line])).odd)

    def save(self, path: str | Path) -> None:
        """Write the threshold as JSON, with what it holds for; the models stay where they are.

        A threshold that is there already is replaced, another file is not.

        Raises:
            StorageError: the file cannot be written, or is another one.
            UsageError: there is no threshold yet, or it is not a path.
        """
        path = expand_home(path)
        saved = _Saved(
            model=self.model.checksum,
            against=None if self.against is None else self.against.checksum,
            precision=self.model.precision,
            by=self.by,
            mask=list(self.masks),
            threshold=self._fitted(),
        )
        check_threshold_file(path)
        with atomic_write(path) as file:
            file.write(saved.model_dump_json(indent=2).encode() + b"\n")

    @classmethod
    def load(
        cls, path: str | Path, model: Model | str | Path, *, against: Model | str | Path | None = None
    ) -> Detector:
        """Read what `save`, or `charloom score --save-threshold`, wrote.

        Args:
            path: the file.
            model: the model that it was fitted with.
            against: the other model that it was fitted with; None if it was without one.

        Raises:
            UsageError: it cannot be read, is not such a file, or was fitted with other models.
        """
        path = expand_home(path)
        saved = _read(path)
        detector = cls(model, by=saved.by, mask=saved.mask, against=against)
        if saved.model != detector.model.checksum:
            raise UsageError(f"{path} was fitted with another model than {detector.model.path}: fit it again")
        if saved.precision != detector.model.precision:
            raise UsageError(f"{path} was fitted with precision {saved.precision}, not {detector.model.precision}")
        if saved.against is None and detector.against is not None:
            raise UsageError(f"{path} was fitted with one model alone: leave out the other, or fit it again")
        if saved.against is not None and detector.against is None:
            raise UsageError(f"{path} was fitted against another model: name that one too")
        if detector.against is not None and saved.against != detector.against.checksum:
            raise UsageError(f"{path} was fitted against another model than {detector.against.path}: fit it again")
        detector.threshold = saved.threshold
        return detector

    def _fitted(self) -> Threshold:
        if self.threshold is None:
            raise UsageError("the detector has no threshold yet: call fit with lines, or Detector.load")
        return self.threshold


class _Saved(BaseModel):
    """A threshold, and what it was fitted with: of models the checksums of their weights."""

    model: str
    against: str | None
    precision: Literal["float32", "int8"]
    by: Ranking
    mask: list[str]
    threshold: Threshold


def _read(path: Path) -> _Saved:
    try:
        with path.open("rb") as file:
            return _Saved.model_validate_json(file.read(_MOST_BYTES))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError:
        raise UsageError(f"{path} is not a threshold that charloom saved") from None


def check_threshold_file(path: Path) -> None:
    """Refuse a place where a threshold cannot be written, before lines are read for it.

    Raises:
        StorageError: something else is there, or nothing can be written there.
    """
    with storage_errors(path):
        is_there, is_file = path.exists(), path.is_file()  # a pipe would be waited for
    if is_there and not (is_file and _is_threshold(path)):
        raise StorageError(f"{path} is there and is not a threshold: choose another name")
    with temporary_beside(path):
        pass


def _is_threshold(path: Path) -> bool:
    try:
        _read(path)
    except UsageError:
        return False
    return True
