"""Which shape rows have, and why; where it could be several, the user has the word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xturing.core.errors import DataError
from xturing.core.names import suggestion
from xturing.data.fields import Row
from xturing.data.shapes import DATASETS, SHAPES, Kind, Shape
from xturing.data.wording import joined, likest, listed


def recognise(
    row: Row,
    kinds: tuple[Kind, ...],
    place: str,
    *,
    shape: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Shape:
    """Return the shape of the given kinds that reads the most of the row's columns.

    `shape` forces one by its name. `columns` tells what the row calls a shape's column:
    {"instruction": "question"} reads the instruction from the column `question`.

    Raises:
        DataError: it fits none, or several that read different columns; the message
            lists what would be right.
    """
    candidates = [one for one in SHAPES if one.kind in kinds]
    if shape is not None:
        candidates = [_named(shape, candidates)]
    if columns:
        candidates = _renamed(candidates, columns, row, place)
    candidates = [candidate.called_as_in(row) for candidate in candidates]
    fitting = [candidate for candidate in candidates if candidate.fits(row)]
    if not fitting:
        raise _no_fit(row, candidates, place)
    fitting = [one for one in fitting if one.suits(row)] or fitting
    best = _widest(fitting, row)
    if len(best) > 1:
        raise DataError(
            f"{place} has the columns {listed(row)}, which could be "
            f"{joined([f'{one.name} ({one})' for one in best], 'or')}. Say which with "
            f'shape="{best[0].name}", or leave the other columns out.'
        )
    chosen = best[0]
    if shape is None and not columns:
        _refuse_wider_kind(chosen, row, place)
    return replace(chosen, reason=_reason(chosen, row, is_forced=shape is not None))


def _every_shape(row: Row) -> list[Shape]:
    return [shape.called_as_in(row) for shape in SHAPES]


def _widest(fitting: Sequence[Shape], row: Row) -> list[Shape]:
    return [
        one
        for one in fitting
        if not any(one.used(row) < other.used(row) for other in fitting)
    ]


def _named(name: str, candidates: Sequence[Shape]) -> Shape:
    for candidate in candidates:
        if candidate.name == name:
            return candidate
    for other in SHAPES:
        if other.name == name:
            raise DataError(
                f"Rows of the shape '{name}' are read by {DATASETS[other.kind]}."
            )
    known = [candidate.name for candidate in candidates]
    raise DataError(f"There is no shape '{name}'. {suggestion(name, known)}")


def _renamed(
    candidates: Sequence[Shape], columns: Mapping[str, str], row: Row, place: str
) -> list[Shape]:
    known = {column for one in candidates for column in one.names.values()}
    for name, column in columns.items():
        if name not in known:
            raise DataError(
                f"The column map names '{name}', which no shape here has. "
                f"{suggestion(name, known)}"
            )
        if column not in row:
            raise DataError(
                f"The column map reads '{name}' from '{column}', but {place} has no "
                f"such column. {suggestion(column, likest(column, row))}"
            )
    return [
        replace(
            one,
            columns={ours: columns.get(its, its) for ours, its in one.columns.items()},
            optional={
                ours: columns.get(its, its) for ours, its in one.optional.items()
            },
        )
        for one in candidates
        if columns.keys() <= set(one.names.values())
    ]


def _no_fit(row: Row, candidates: Sequence[Shape], place: str) -> DataError:
    wanted = " or ".join(str(candidate) for candidate in candidates)
    elsewhere = _widest([one for one in _every_shape(row) if one.fits(row)], row)
    hint = "".join(
        f" They are rows of the shape {one.name}, which {DATASETS[one.kind]} reads."
        for one in elsewhere[:1]
        if one.name not in {candidate.name for candidate in candidates}
    )
    return DataError(
        f"{place} has the columns {listed(row)}. A row here has {wanted} "
        "(those in brackets may be left out); rename the columns to one of these, or "
        f'say what they are with columns={{"its name here": "its name in the rows"}}.'
        f"{hint}"
    )


def _refuse_wider_kind(chosen: Shape, row: Row, place: str) -> None:
    """Refuse rows of which a dataset of another kind would read all this one reads."""
    for other in _every_shape(row):
        could = other.fits(row) and other.suits(row)
        if could and chosen.used(row) < other.used(row):
            lost = sorted(other.used(row) - chosen.used(row))
            raise DataError(
                f"{place} has {joined(sorted(other.used(row)))}: rows of the shape "
                f"{other.name}, which {DATASETS[other.kind]} reads. Use that, or pass "
                f'shape="{chosen.name}" to go without {joined(lost)}.'
            )


def _reason(chosen: Shape, row: Row, *, is_forced: bool) -> str:
    usual = {shape.name: shape for shape in SHAPES}[chosen.name].names
    called = {column: usual[ours] for ours, column in chosen.names.items()}
    read = [
        column if called[column] == column else f"{column} (as {called[column]})"
        for column in row
        if column in called
    ]
    unused = [column for column in row if column not in called]
    verb = "is" if len(unused) == 1 else "are"
    rest = f"; {joined(unused)} {verb} not used" if unused else ""
    asked = "it was asked for and " if is_forced else ""
    return f"{asked}the rows have {joined(read)}{rest}"
