"""The commands of `xturing data` that write rows: each of them to new files."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xturing.cli import render
from xturing.cli.data_options import (
    MapOption,
    OutputArgument,
    RowsArgument,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.core.errors import DataError, OutputError, SettingsError
from xturing.core.files import new_file, new_folder, refuse_used

SeedOption = Annotated[int, typer.Option(help="What chance follows from.")]
CLUSTERS_SHOWN = 5


def convert(
    rows: RowsArgument,
    output: OutputArgument,
    to: Annotated[
        str, typer.Option("--to", help="messages, alpaca, xturing, sharegpt, …")
    ],
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Write rows in another shape; what it cannot hold is an error, never lost.

    Example: xturing data convert chats.json rows.jsonl --to messages
    """
    from xturing.data import open_stream
    from xturing.data.conversion import convert as converted

    stream = open_stream(rows, **reading(source, split, shape, columns))
    render.say(f"Read as {stream.shape.decision}")
    count = _write(output, converted(stream.records(), to))
    render.say(f"{count:,} rows written to {output}, as {to}")


def dedup(
    rows: RowsArgument,
    output: OutputArgument,
    near: Annotated[
        float | None,
        typer.Option(help="Drop rows that are this alike, too: 0.8 is usual."),
    ] = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Write rows without those that say what an earlier one says.

    Example: xturing data dedup rows.jsonl unique.jsonl --near 0.8
    """
    from xturing.data import open_stream
    from xturing.data.curation import Nearness, find_duplicates, find_near_duplicates

    stream = open_stream(rows, **reading(source, split, shape, columns))
    found = (
        find_duplicates(stream)
        if near is None
        else find_near_duplicates(stream, Nearness(threshold=near))
    )
    for cluster in found.clusters[:CLUSTERS_SHOWN]:
        copies = ", ".join(f"{c.place} ({c.similarity:.0%})" for c in cluster.copies)
        render.say(f"{cluster.place} is kept, without {copies}")
    more = len(found.clusters) - CLUSTERS_SHOWN
    if more > 0:
        render.say(f"and {more:,} more rows with copies")
    kept = frozenset(found.kept)
    count = _write(output, _chosen(stream.table.rows(), kept))
    render.say(f"{count:,} rows written to {output}, {len(found.dropped):,} left out")


def split(
    rows: RowsArgument,
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new folder for the parts.")
    ],
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE", help="A part; train=0.9 valid=0.1 by default."
        ),
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(help="Keep rows that are this alike together, too."),
    ] = None,
    seed: SeedOption = 0,
    source: SourceOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Write rows in parts; the same question is never in two of them.

    Example: xturing data split rows.jsonl parts --part train=0.9 --part valid=0.1
    """
    from xturing.data import open_stream
    from xturing.data.curation import Nearness
    from xturing.data.curation import split as divided

    shares = _shares(part or ["train=0.9", "valid=0.1"])
    refuse_used(output)
    stream = open_stream(rows, **reading(source, None, shape, columns))
    nearness = None if near is None else Nearness(threshold=near)
    parts = divided(stream, shares, seed=seed, near=nearness).parts
    with new_folder(output) as draft:
        for name, indices in parts.items():
            chosen = _chosen(stream.table.rows(), frozenset(indices))
            count = _write(draft / f"{name}.jsonl", chosen)
            render.say(f"{count:,} rows are {name}")
    render.say(f"Written to {output}")


def mix(
    output: OutputArgument,
    rows: Annotated[
        list[str],
        typer.Argument(metavar="ROWS=WEIGHT...", help="Rows, and their weights."),
    ],
    count: Annotated[
        int | None, typer.Option("--rows", min=1, help="Rows to write.")
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Begin anew with rows that are used up.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Write several sets of rows as one, in the proportions that are asked for.

    Example: xturing data mix mixed.jsonl chats.jsonl=3 code.jsonl=1
    """
    from xturing.data import open_dataset
    from xturing.data.curation import mix as mixed

    weights = _shares(rows)
    datasets = [open_dataset(path) for path in weights]
    dataset, mixture = mixed(
        datasets, list(weights.values()), seed=seed, rows=count, repeat=repeat
    )
    for share in mixture.shares:
        render.say(
            f"{share.taken:,} rows of {share.origin}: {share.epochs:.2f} times its "
            f"{share.rows:,}"
        )
    render.say(f"{_write(output, dataset):,} rows written to {output}")


def _chosen(
    rows: Iterable[tuple[Mapping[str, Any], str]], wanted: frozenset[int]
) -> Iterable[Mapping[str, Any]]:
    return (row for index, (row, _) in enumerate(rows) if index in wanted)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a new file, one a line, and return how many there are.

    Raises:
        OutputError: the file is there already, or is not to be one of lines.
        DataError: a row has what JSON cannot hold.
    """
    if path.suffix != ".jsonl":
        raise OutputError(f"{path} is to be a file of JSON lines: name it *.jsonl.")
    if path.exists():
        raise OutputError(f"{path} is there already. Name a new file.")
    count = 0
    with new_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        for count, row in enumerate(rows, start=1):  # noqa: B007  # told below
            file.write(json.dumps(row, ensure_ascii=False, default=_unwritable) + "\n")
    return count


def _unwritable(value: object) -> object:
    raise DataError(
        f"A row holds {value!r} ({type(value).__name__}), which a JSON file cannot "
        "hold. Write that column as text first."
    )


def _shares(pairs: list[str]) -> dict[str, float]:
    """Return what was given as name=number.

    Raises:
        SettingsError: something is not of that form, or given twice.
    """
    shares: dict[str, float] = {}
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = None
        if share is None or not name or name in shares:
            raise SettingsError(
                f"'{pair}' is no new name with its number. Write it as train=0.9."
            )
        shares[name] = share
    return shares
