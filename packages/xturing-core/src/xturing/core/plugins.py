"""What installed distributions add, looked for again when one may have come or gone."""

import sys
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path

EntryPoints = tuple[metadata.EntryPoint, ...]


def entry_points(*, group: str, name: str | None = None) -> EntryPoints:
    """Return the entry points of a group, or those of them that have a name.

    A file of every distribution is read for them, which takes longer than many a file
    of rows; so what was found is kept until a folder changes in which distributions
    are installed.
    """
    found = _found(group, tuple((place, _changed(place)) for place in sys.path))
    return tuple(point for point in found if name in (None, point.name))


@lru_cache(maxsize=32)
def _found(group: str, _places: tuple[tuple[str, int | None], ...]) -> EntryPoints:
    return tuple(metadata.entry_points(group=group))


def _changed(place: str) -> int | None:
    """Return when something was last added to a folder, or removed, in nanoseconds."""
    with suppress(OSError):
        return Path(place).stat().st_mtime_ns
    return None
