"""JSON out of what a model wrote: between words, in a fence, or cut off at its end."""

from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

_DECODER = JSONDecoder(strict=False)


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects in an answer, in order; those inside of others left out.

    They may stand alone, one a line, or in arrays, of which the last may be cut off.
    """
    return list(_objects(text))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    place = text.find("{")
    while place >= 0:
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (JSONDecodeError, RecursionError):
            # Not the start of an object, or one that is cut off.
            end = place + 1
        else:
            yield value
        place = text.find("{", end)
