"""Personal data and secrets in rows, found by their form.

A finding is a warning, not a proof: an address may be made up, and a name or an illness
has no form to be found by.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion
from xturing.data.curation.passages import passages
from xturing.data.curation.patterns import PATTERNS, Pattern
from xturing.data.curation.rows import Rows, placed

SHOWN = 4
"""Most characters of what was found that a finding shows; never over a quarter."""


@dataclass(frozen=True)
class Finding:
    """What looks like personal data or a secret."""

    row: int
    place: str
    where: str
    """Which text of the row: "message 2", say."""
    start: int
    """Characters of that text before it."""
    kind: str
    excerpt: str
    """Its first characters, too few to use, and its length."""


def find_sensitive(
    rows: Rows, kinds: Collection[str] | None = None
) -> tuple[Finding, ...]:
    """Find what looks like personal data or secrets, in order.

    `kinds` are some of the names in `PATTERNS`; all of them if it is not given.

    Raises:
        UnknownNameError: there is no such kind.
    """
    for kind in kinds or ():
        if kind not in PATTERNS:
            raise UnknownNameError(
                f"There is no kind '{kind}'. {suggestion(kind, PATTERNS)}"
            )
    wanted = {
        kind: pattern
        for kind, pattern in PATTERNS.items()
        if kinds is None or kind in kinds
    }
    return tuple(
        Finding(index, row.place, passage.where, start, kind, _excerpt(found))
        for index, row in enumerate(placed(rows))
        for passage in passages(row.record)
        for start, kind, found in _found(passage.text, wanted)
    )


def _found(text: str, wanted: Mapping[str, Pattern]) -> list[tuple[int, str, str]]:
    """Return start, kind and text of what is found; the first kinds win."""
    found: list[tuple[int, int, str]] = []
    for kind, pattern in wanted.items():
        taken = sorted((start, end) for start, end, _ in found)
        new = []
        for match in pattern.expression.finditer(text):
            end = pattern.end(match)
            if end is not None and not _overlaps(taken, match.start(), end):
                new.append((match.start(), end, kind))
        found += new
    return [(start, kind, text[start:end]) for start, end, kind in sorted(found)]


def _overlaps(taken: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    at = bisect_left(taken, (end,))
    return at > 0 and taken[at - 1][1] > start


def _excerpt(found: str) -> str:
    return f"{found[: min(SHOWN, len(found) // 4)]}… ({len(found)} characters)"
