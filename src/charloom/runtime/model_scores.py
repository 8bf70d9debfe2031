"""What a model says of texts: how surprising each is, or each of its lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from charloom.bundle import ModelConfig
from charloom.errors import UsageError
from charloom.events import Notify, ignore, unfailing
from charloom.runtime.session import Session
from charloom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.masks import Masks
    from charloom.runtime.scores import Score
    from charloom.runtime.scoring import Scorer


class ModelScores:
    """The part of a model that scores texts."""

    config: ModelConfig
    vocabulary: Vocabulary
    _session: Session

    def score(self, text: str, *, per_char: bool = False) -> Score:
        """Measure how surprising a text is, read as if a line had just ended; see `score_texts`."""
        return next(self.score_texts([text], per_char=per_char))

    def score_texts(self, texts: Iterable[str | None], *, per_char: bool = False) -> Iterator[Score]:
        """Measure many texts, each from the state after a line end, in their order, lazily and in bounded memory.

        Args:
            texts: lines, say; they are taken thousands at a time and read side by side. A missing value (None, NaN,
                pandas.NA) counts as empty.
            per_char: also say what every character costs, of texts of at most 262,144 characters.

        Raises:
            CorpusError: a text is too long for `per_char`.
            ModelDirectoryError: the network's answer is not a number.
            UsageError: one text instead of several, or something that is no text.
        """
        from charloom.runtime.scored_files import in_memory, several

        return self._scorer(per_char).in_turn(map(in_memory, several(texts)))

    def score_lines(
        self,
        lines: Iterable[str | None],
        *,
        per_char: bool = False,
        live: bool = False,
        mask: Masks = (),
        against: ModelScores | None = None,
    ) -> Iterator[Score]:
        """Measure lines as `score_texts` does, each with the line end that follows it.

        A line that was cut short costs little but its end. A vocabulary without a line end charges none.

        Args:
            lines: with their line ends or without, as a file or a column of a table gives them. A missing value (None,
                NaN, pandas.NA) has a score too, as an empty text without a line end has it.
            per_char: also say what every character costs, the line end's being the last.
            live: score each line before the next one is asked for, as `tail -f` gives them; slower for many lines.
            mask: what these regular expressions match, such as a date, is read and not charged.
            against: another model, beyond whose charge the scores tell this model's, too (`Score.beyond_nats`).

        Raises:
            CorpusError: a line is too long for `per_char`.
            ModelDirectoryError: the network's answer is not a number.
            UsageError: a mask cannot be read, a line is no text, or the models read texts differently.
        """
        from charloom.runtime.scored_files import lines_in_memory, several

        return self._scorer(per_char, mask, against).in_turn(lines_in_memory(several(lines), live=live))

    def score_files(
        self,
        files: str | Path | list[str],
        *,
        lines: bool = False,
        per_char: bool = False,
        encoding: str | None = None,
        mask: Masks = (),
        against: ModelScores | None = None,
        notify: Notify = ignore,
    ) -> Iterator[Score]:
        """Measure files of any size, or each of their lines, in their order, lazily and in bounded memory.

        Args:
            files: file, folder, glob, address or name, `-` for standard input, or several of these.
            lines: score each line by itself, with the line end that follows it.
            per_char: also say what every character costs, of texts of at most 262,144 characters.
            encoding: of the files; if not given, that of the text the model was trained on.
            mask: what these regular expressions match, such as a date, is read and not charged.
            against: another model, beyond whose charge the scores tell this model's, too (`Score.beyond_nats`).
            notify: receives notices of what is passed over and fetched.

        Raises:
            CorpusError: a file is not there or cannot be read, or a text is too long for `per_char`.
            ModelDirectoryError: the network's answer is not a number.
            UsageError: nothing is named, the encoding has no such name, a mask cannot be read, or the models read texts
                differently.
        """
        from charloom.runtime.scored_files import NamedFiles
        from charloom.text.sources import list_specs

        specs = list_specs(files)
        keep_bytes = self.vocabulary.kind == "bytes"
        named = NamedFiles(specs, encoding or self.config.corpus.encoding, unfailing(notify), keep_bytes=keep_bytes)
        scorer = self._scorer(per_char, mask, against)
        return scorer.in_turn(named.live_lines()) if lines else scorer.side_by_side(named.whole())

    @cached_property
    def line_end(self) -> str:
        """What ends a line as the model reads it: a newline, or nothing where its vocabulary has none."""
        from charloom.runtime.scoring import line_end

        return line_end(self.vocabulary, self.config.corpus.cleaning)

    def _scorer(self, per_char: bool, mask: Masks = (), against: ModelScores | None = None) -> Scorer:
        from charloom.runtime.scoring import Scorer

        cleaning = self.config.corpus.cleaning
        if against is None:
            return Scorer(self._session, self.vocabulary, cleaning, per_char=per_char, mask=mask)
        if not isinstance(against, ModelScores):
            raise UsageError(f"against = {against!r:.60}: give a model that charloom.load opened")
        from charloom.runtime.contrast import Contrast

        other = against._scorer(False, mask)
        return Contrast(self._session, self.vocabulary, cleaning, other=other, per_char=per_char, mask=mask)
