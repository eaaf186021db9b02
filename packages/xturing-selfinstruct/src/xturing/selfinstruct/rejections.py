"""What was left out, and why: nothing is dropped in silence."""

from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A text that was not taken."""

    stage: str
    reason: str
    """A few words, the same for all that are alike."""
    text: str
    detail: str = ""
    """What of it is to blame."""

    def as_dict(self) -> dict[str, Any]:
        """Return the rejection for a JSON file."""
        return dict(vars(self))


class Rejections:
    """All that was left out in a run, in order."""

    def __init__(self) -> None:
        self._all: list[Rejection] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, stage: str, reason: str, text: str, detail: str = "") -> None:
        """Take down that a text was not taken."""
        self._all.append(
            Rejection(stage=stage, reason=reason, text=text, detail=detail)
        )

    def count(self, stage: str) -> int:
        """Return how many a stage left out."""
        return sum(rejection.stage == stage for rejection in self._all)

    def by_reason(self) -> dict[str, int]:
        """Return how many were left out for each reason, the most frequent first."""
        counts = Counter(rejection.reason for rejection in self._all)
        return dict(counts.most_common())

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return all of them for a file of JSON lines."""
        return [rejection.as_dict() for rejection in self._all]
