"""JSON as files and fields hold it, in which no object has a key twice.

JSON leaves open which value such a key has, and Python takes the last without a word.
"""

from json import JSONDecoder
from typing import Any

from xturing.data.wording import brief


class RepeatedKeyError(ValueError):
    """An object has a key twice."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the key {brief(key)} stands twice in one object, so one of its "
            "values would be lost; rename or remove one"
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        seen = set[str]()
        raise RepeatedKeyError(next(k for k, _ in pairs if k in seen or seen.add(k)))
    return row


DECODER = JSONDecoder(object_pairs_hook=_object)
"""Parses as `json.loads` does, and raises `RepeatedKeyError` where that would not."""
