"""Durations and amounts of memory, as people write them."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Of the units of time."""
BYTES = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
"""Of the units of memory."""

_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(rf"(?:{_NUMBER}[dhms])+")
_DURATION_PART = re.compile(rf"({_NUMBER})([dhms])")
_SIZE = re.compile(rf"({_NUMBER}) ?([KMGT]?i?B)", re.IGNORECASE)
_UNITS = {unit.lower(): size for unit, size in BYTES.items()}


def read_duration(text: str) -> float:
    """Return the seconds of a duration such as 30m, 1h30m or 90 (seconds).

    Raises:
        ValueError: it is not written so.
    """
    shown = text.strip().lower()
    if re.fullmatch(_NUMBER, shown):
        return float(shown)
    if not _DURATION.fullmatch(shown):
        raise ValueError("a duration is written like 30m, 1h30m or 90s")
    parts = _DURATION_PART.findall(shown)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def read_size(text: str) -> int:
    """Return the bytes of an amount such as 12GB (10^9) or 12GiB (2^30).

    Raises:
        ValueError: it is not written so.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("an amount of memory is written like 12GB or 800MB")
    return round(float(found[1]) * _UNITS[found[2].lower()])


def shown_duration(seconds: float) -> str:
    """Return a duration as people read it: 45 s, 3:20 min or 1:05 h."""
    rounded = round(seconds)
    if rounded < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60}:{rounded % 60:02} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h"
