"""Names and values as errors show them: cut, since a file may hold any."""

import reprlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

LONGEST = 80
"""Characters of a name or a string that are shown."""
LONGEST_VALUE = 300
"""The same of a list or an object."""
MOST = 12
"""Names that are listed."""

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = LONGEST


def brief(value: object) -> str:
    """Return a value as an error shows it."""
    try:
        return shortened(_shortener.repr(value), LONGEST_VALUE)
    except ValueError:
        # Python writes no number of thousands of digits.
        return "a value too long to show"


def shortened(name: object, most: int = LONGEST) -> str:
    """Return a name, without its middle where it is long."""
    text = str(name)
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def listed(names: Iterable[object]) -> str:
    """Return the first of some names, and how many more there are."""
    names = list(names)
    first = ", ".join(f"'{shortened(name)}'" for name in names[:MOST])
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{first}{more}" or "no columns"


def joined(names: Sequence[str], conjunction: str = "and") -> str:
    """Return some names as a sentence has them."""
    if len(names) > MOST:
        names = [*names[: MOST - 1], f"{len(names) - MOST + 1} more"]
    *others, last = [shortened(name, LONGEST_VALUE) for name in names]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def likest(name: str, names: Iterable[object]) -> list[str]:
    """Return the names that are most like one, the likest first."""
    cut = [shortened(other) for other in islice(names, 10_000)]
    return get_close_matches(name, cut, n=MOST, cutoff=0)
