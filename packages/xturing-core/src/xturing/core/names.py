"""Answers to a name that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 50
"""Most names that are listed where none comes close."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the closest known names, or with all, if they are few."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {_listed(close, 'or')}?"
    if not names:
        return "There are none."
    if len(names) > LISTED:
        return f"None of the {len(names)} names there are is like it."
    return f"There are {_listed(names, 'and')}."


def _listed(names: list[str], conjunction: str) -> str:
    quoted = [f"'{name}'" for name in names]
    if len(quoted) == 1:
        return quoted[0]
    return f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"
