"""The splits of a dataset, by the names that are in use for them."""

from collections.abc import Sequence

from xturing.core.errors import DataError
from xturing.data.wording import listed, shortened

ALIASES = (
    ("train", "training"),
    ("valid", "validation", "val", "dev", "eval"),
    ("test", "testing"),
)
"""Names that mean the same."""
SPLITS = tuple(name for names in ALIASES for name in names)


def choose_split(names: Sequence[object], wanted: str | None, origin: str) -> str:
    """Return the name of the split that is wanted, or of the one to train on.

    Raises:
        DataError: there is none.
    """
    there = [str(name) for name in names]
    sought = wanted or "train"
    if sought in there:
        return sought
    for aliases in ALIASES:
        if sought in aliases:
            found = [name for name in aliases if name in there]
            if found:
                return found[0]
    found = listed(there) if there else "(none)"
    raise DataError(
        f"{origin} has the splits {found} and none named "
        f"'{shortened(sought)}'. Say which one you want with split=…"
    )
