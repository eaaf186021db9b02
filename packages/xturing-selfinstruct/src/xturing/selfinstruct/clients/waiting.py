"""How long a service asks to wait, in the headers of a refusal."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite

RESET = "x-ratelimit-reset"
REMAINING = "x-ratelimit-remaining"
LIMITS = ("requests", "tokens")
"""What OpenAI limits, each with headers of its own."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
YEAR_2001 = 1e9
"""Smaller numbers are seconds to wait, larger ones seconds since 1970."""


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return what the headers ask for; None if they do not, or not understandably.

    The names of the headers are in lower case, or the mapping does without case.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after", "")
    seconds = _number(told)
    if seconds is None:
        seconds = _until(told)
    return _until_reset(headers) if seconds is None else seconds


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(moment.timestamp() - time.time(), 0.0)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Return when a limit starts anew: Cohere's, or those of OpenAI that are used up.

    One that is not used up did not cause the refusal, and starts anew much later than
    the request would go through.
    """
    used_up = [
        _duration(headers.get(f"{RESET}-{limit}", ""))
        for limit in LIMITS
        if headers.get(f"{REMAINING}-{limit}") == "0"
    ]
    waits = [seconds for seconds in used_up if seconds is not None]
    if waits:
        return max(waits)
    reset = _number(headers.get(RESET, ""))
    if reset is None or reset < YEAR_2001:
        return reset
    return max(reset - time.time(), 0.0)


def _duration(text: str) -> float | None:
    """Return the seconds of a text such as 6m0s."""
    parts = DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        return _number(text)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(number, 0.0) if isfinite(number) else None
