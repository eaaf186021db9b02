"""Guessing what comes next from what was said before (prompt lookup, Saxena 2023)."""

from collections.abc import Sequence

SHORTEST = 2
"""Tokens that must be the same; one alone says too little of what follows."""


class Lookup:
    """The tokens of a sequence, by what they follow."""

    def __init__(self, prompt: Sequence[int], longest: int = 3) -> None:
        self._lengths = range(longest, SHORTEST - 1, -1)
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        """Where the latest token stands that followed such a run of tokens."""
        for token_id in prompt:
            self.append(token_id)

    def append(self, token_id: int) -> None:
        """Take on the next token."""
        for run in self._runs():
            self._next[run] = len(self._ids)
        self._ids.append(token_id)

    def draft(self, most: int) -> list[int]:
        """Return at most so many tokens that may come next.

        They followed the last tokens where these stood before: the longest run of them
        that did, and the latest place.
        """
        for run in self._runs():
            if run in self._next:
                start = self._next[run]
                return self._ids[start : start + most]
        return []

    def _runs(self) -> list[tuple[int, ...]]:
        """Return the runs of tokens that the sequence ends with, the longest first."""
        known = len(self._ids)
        return [
            tuple(self._ids[-length:]) for length in self._lengths if length <= known
        ]
