"""A row's fields under our names, each checked as it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xturing.core.errors import DataError
from xturing.data.json_text import DECODER, RepeatedKeyError
from xturing.data.wording import brief, listed

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fields:
    """A row, the names that our columns have in it, and where it stands."""

    row: Row
    names: Mapping[str, str]
    place: str

    def value(self, ours: str) -> Any:
        """Return what the row has for one of our columns, None for nothing."""
        return self.row.get(self.names[ours]) if ours in self.names else None

    def name(self, ours: str) -> str:
        """Return what the row calls one of our columns."""
        return self.names.get(ours, ours)

    def string(self, ours: str) -> str:
        """Return a field that every row has."""
        return string(self.row, self.name(ours), self.place)

    def filled(self, ours: str) -> str:
        """Return a field that every row has and that is not empty."""
        return filled(self.string(ours), self.name(ours), self.place)

    def optional(self, ours: str) -> str:
        """Return a field that may be missing; the empty string if it is."""
        return "" if self.value(ours) is None else self.string(ours)

    def wrong(self, ours: str, wanted: str) -> DataError:
        """Return the error of a field that is not what is wanted."""
        return wrong(self.value(ours), self.name(ours), wanted, self.place)


def string(row: Row, column: str, place: str) -> str:
    """Return a row's field.

    Raises:
        DataError: it is missing or no string.
    """
    if column not in row:
        raise DataError(
            f"{place} has no field '{column}' (it has {listed(row)}). "
            "Every row needs the columns of the first one."
        )
    value = row[column]
    if not isinstance(value, str):
        raise wrong(value, column, "a string", place)
    return value


def filled(value: str, column: str, place: str) -> str:
    """Return a field's value.

    Raises:
        DataError: there is nothing in it but white space.
    """
    if not value.strip():
        raise DataError(f"{place}, field '{column}' is empty.")
    return value


def wrong(value: object, column: str, wanted: str, place: str) -> DataError:
    """Return the error of a field that is not what is wanted."""
    kind = type(value).__name__
    return DataError(
        f"{place}, field '{column}': this is {brief(value)} ({kind}), not {wanted}."
    )


def parsed(value: object, place: str) -> Any:
    """Return a list or object, also where it is written as JSON in a string.

    Tables of plain columns, such as CSV, have no other way to hold one.

    Raises:
        DataError: an object in it has a key twice.
    """
    if not isinstance(value, str):
        return value
    try:
        return DECODER.decode(value)
    except RepeatedKeyError as error:
        raise DataError(f"{place}: in the JSON text {brief(value)} {error}.") from error
    except (ValueError, RecursionError):
        return value
