"""Examples laid end to end in a few arrays, so that many are sent or mapped at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from xturing.data.examples import Example

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "ids": "<i4",
        "parts": "u1",
        "ends": "<i8",
        "rows": "<i8",
        "flags": "u1",
        "places": "u1",
        "place_ends": "<i8",
    }
)
"""The columns, and what their numbers are on disk."""

DIVISIBLE, MARKED = 1, 2


@dataclass(frozen=True, eq=False)
class Columns(Sequence[Example]):
    """Examples as arrays; each is made anew when it is asked for."""

    ids: NDArray[np.int32]
    """The tokens of all examples, of shape (tokens,)."""
    parts: NDArray[np.uint8]
    """In line with `ids`."""
    ends: NDArray[np.int64]
    """Where each example ends in `ids`, of shape (examples,)."""
    rows: NDArray[np.int64]
    """The row of each example."""
    flags: NDArray[np.uint8]
    """`DIVISIBLE` and `MARKED`, added up."""
    places: NDArray[np.uint8]
    """The places of all examples as UTF-8."""
    place_ends: NDArray[np.int64]
    """Where each example's place ends in `places`."""

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "Columns":
        """Return the examples in columns."""
        # Names of files may hold what is no text; it has to come back as it is.
        places = [
            example.place.encode("utf-8", "surrogatepass") for example in examples
        ]
        return cls(
            _joined([example.ids for example in examples], np.int32),
            _joined([example.parts for example in examples], np.uint8),
            np.cumsum([len(example) for example in examples], dtype=np.int64),
            np.array([example.row for example in examples], dtype=np.int64),
            np.array([_flags(example) for example in examples], dtype=np.uint8),
            np.frombuffer(b"".join(places), dtype=np.uint8),
            np.cumsum([len(place) for place in places], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, index: int | slice) -> Example | tuple[Example, ...]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return tuple(self._example(number) for number in numbers)
        return self._example(numbers)

    def _example(self, number: int) -> Example:
        tokens = _span(self.ends, number)
        flags = int(self.flags[number])
        place = self.places[_span(self.place_ends, number)]
        return Example(
            self.ids[tokens],
            self.parts[tokens],
            int(self.rows[number]),
            place.tobytes().decode("utf-8", "surrogatepass"),
            is_divisible=bool(flags & DIVISIBLE),
            is_marked=bool(flags & MARKED),
        )


def _joined(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    # There is nothing to join where there are no examples.
    return np.concatenate([np.empty(0, dtype), *arrays])


def _flags(example: Example) -> int:
    return DIVISIBLE * example.is_divisible + MARKED * example.is_marked


def _span(ends: NDArray[np.int64], number: int) -> slice:
    return slice(int(ends[number - 1]) if number else 0, int(ends[number]))
