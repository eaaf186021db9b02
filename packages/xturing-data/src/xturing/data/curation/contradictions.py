"""Rows that ask the same and answer otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass

from xturing.data.curation.passages import answer, passages, question
from xturing.data.curation.rows import Rows, placed, places, rereadable
from xturing.data.curation.text import FOLDED, Normalisation, digest
from xturing.data.records import Conversation, Judgement, Preference, Record


@dataclass(frozen=True)
class Version:
    """Rows that agree on one answer."""

    rows: tuple[int, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Contradiction:
    """Rows with one question and several answers to it."""

    versions: tuple[Version, ...]
    """At least two, in the order of their first rows."""

    @property
    def rows(self) -> tuple[int, ...]:
        """All rows of the group, in order."""
        return tuple(sorted(row for version in self.versions for row in version.rows))


def find_contradictions(
    rows: Rows, same: Normalisation = FOLDED
) -> tuple[Contradiction, ...]:
    """Find rows that contradict one another, in groups.

    Conversations do if all turns before the last answer are the same and that answer is
    not; texts, if their prompts are the same; preferences, if each prefers what the
    other rejects; judgements, if one wants what the other does not.
    """
    rows = rereadable(rows)
    groups: dict[bytes, dict[bytes, list[int]]] = {}
    for index, row in enumerate(placed(rows)):
        claim = _claim(row.record, same)
        if claim:
            asked, answered = claim
            groups.setdefault(asked, {}).setdefault(answered, []).append(index)
    torn = [group for group in groups.values() if len(group) > 1]
    listed = {row for group in torn for found in group.values() for row in found}
    place = places(rows, listed)
    return tuple(_contradiction(group, place) for group in torn)


def _claim(record: Record, same: Normalisation) -> tuple[bytes, bytes] | None:
    match record:
        case Preference(prompt, chosen, rejected, tools):
            ways = [
                digest(passages(Conversation((*prompt, *way), tools)), same)
                for way in (chosen, rejected)
            ]
            return b"".join(sorted(ways)), ways[0]
        case Judgement(conversation, is_wanted):
            return digest(passages(conversation), same), bytes([is_wanted])
        case _:
            asked = question(record)
            if not asked:
                return None
            return digest(asked, same), digest(answer(record), same)


def _contradiction(
    group: Mapping[bytes, list[int]], place: Mapping[int, str]
) -> Contradiction:
    return Contradiction(
        tuple(
            Version(tuple(found), tuple(place[row] for row in found))
            for found in group.values()
        )
    )
