"""What every row must be, wherever it comes from: fields with text that can be written.

Knows nothing of what the fields mean.
"""

from collections.abc import Mapping
from typing import Any

from xturing.core.errors import DataError
from xturing.data.wording import brief, shortened

MAX_DEPTH = 64
"""Lists and objects inside one another; far more than any row of ours needs."""


def as_row(value: object, place: str) -> Mapping[str, Any]:
    """Return what stands at `place` if it is a row.

    Raises:
        DataError: it is the error itself, it is no mapping, it is nested too deep, or
            a field holds what is no text; the message names the field.
    """
    if isinstance(value, DataError):
        raise value
    if not isinstance(value, Mapping):
        raise DataError(f"{place} is {brief(value)}, not an object with named fields.")
    for name, field in value.items():
        if isinstance(field, str) and field.isascii() and str(name).isascii():
            continue
        _check_field(name, field, place)
    return value


def _check_field(name: object, field: object, place: str) -> None:
    level = [name, field]
    shown = ascii(shortened(name))
    for _ in range(MAX_DEPTH):
        for text in level:
            if isinstance(text, str) and not _is_text(text):
                raise DataError(
                    f"{place}, field {shown}: this holds half of a surrogate "
                    f"pair ({_first_half(text)}), which is no character. Write the "
                    "pair in full or leave it out."
                )
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise DataError(
        f"{place}, field {shown}: this is nested more than {MAX_DEPTH} deep."
    )


def _inside(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return [*value] if isinstance(value, list | tuple) else []


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_half(text: str) -> str:
    return ascii(next(letter for letter in text if "\ud800" <= letter <= "\udfff"))
