"""Held-out rows whose words stand in the training data.

The measure is that of the GPT-3 paper (Brown et al. 2020, appendix C, arXiv
2005.14165): runs of 13 words, without case and signs. System prompts and tools do not
count, since rows share them by design.
"""

from dataclasses import dataclass

from xturing.core.errors import SettingsError
from xturing.data.curation.passages import passages
from xturing.data.curation.rows import Rows, placed
from xturing.data.curation.text import FOLDED, tokens, words
from xturing.data.records import Record


@dataclass(frozen=True)
class Contaminated:
    """A held-out row of which some stands in the training data."""

    row: int
    place: str
    fraction: float
    """Share of its runs of words that the training data has; 1 for a short text."""
    source: str
    """Where the training data has the first of them."""


@dataclass(frozen=True)
class Contamination:
    """What of a held-out set stands in the training data."""

    fractions: tuple[float, ...]
    """For each held-out row; 0 where nothing was found."""
    found: tuple[Contaminated, ...]
    """Rows of which something was found, the worst first."""

    def clean(self, most: float = 0.0) -> tuple[int, ...]:
        """Return the held-out rows with at most that fraction, for `select`."""
        return tuple(row for row, part in enumerate(self.fractions) if part <= most)


def find_contamination(
    held_out: Rows, training: Rows, *, run: int = 13
) -> Contamination:
    """Find held-out rows of which runs of `run` words stand in the training rows.

    A held-out row with fewer words counts as found if a training row has just its
    words. Only the held-out rows are held in memory.

    Raises:
        SettingsError: a run has no words.
    """
    if run < 1:
        raise SettingsError(f"run={run}: a run has 1 word or more; 13 is usual.")
    rows = [(_runs(row.record, run), row.place) for row in placed(held_out)]
    holders: dict[str, list[int]] = {}
    for index, (runs, _) in enumerate(rows):
        for text in set(runs):
            holders.setdefault(text, []).append(index)
    met: set[str] = set()
    sources: dict[int, str] = {}
    for row in placed(training):
        for text in _runs(row.record, run):
            if text in holders and text not in met:
                met.add(text)
                for index in holders[text]:
                    sources.setdefault(index, row.place)
    fractions = tuple(
        sum(text in met for text in runs) / max(len(runs), 1) for runs, _ in rows
    )
    found = [
        Contaminated(index, rows[index][1], fractions[index], source)
        for index, source in sources.items()
    ]
    found.sort(key=lambda row: (-row.fraction, row.row))
    return Contamination(fractions, tuple(found))


def _runs(record: Record, run: int) -> list[str]:
    """Return every run of words; of a short text, all of it."""
    said = [FOLDED(p.text) for p in passages(record) if not p.is_frame]
    found = [word for text in said for word in words(text)]
    if not found:
        # Nothing but signs, as in a row about emoji.
        found = [sign for text in said for sign in tokens(text)]
    if len(found) < run:
        # No longer run can be equal to this one.
        return [f"{' '.join(found)}\n"] if found else []
    starts = range(len(found) - run + 1)
    return [" ".join(found[start : start + run]) for start in starts]
