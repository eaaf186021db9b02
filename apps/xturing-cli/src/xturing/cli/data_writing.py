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
from xturing.cli.dry_running import show_intent
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.output_options import DryRunOption
from xturing.core.errors import DataError, OutputError, SettingsError
from xturing.core.files import new_file, new_folder, refuse_used

NearOption = Annotated[
    float | None,
    typer.Option(help="Rows that are this alike count as one, too: 0.8 is usual."),
]
SeedOption = Annotated[int, typer.Option(help="What chance follows from.")]
CLUSTERS_SHOWN = 5


def convert(
    rows: RowsArgument,
    output: OutputArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="What to write: messages, alpaca, xturing, sharegpt, …"
        ),
    ],
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write rows in another shape; what it cannot hold is an error, never lost.

    Example: xturing data convert chats.json rows.jsonl --to messages
    """
    from xturing.data import open_stream
    from xturing.data.conversion import convert as converted

    stream = open_stream(rows, **reading(source, split, shape, columns))
    render.say(f"Read as {stream.shape.decision}")
    count = _write(output, converted(stream.records(), to), dry_run=dry_run)
    facts = {"rows": count, "format": to, "output": output}
    text = f"{count:,} rows written to {output}, as {to}"
    _conclude(facts, text, dry_run=dry_run, as_json=as_json)


def dedup(
    rows: RowsArgument,
    output: OutputArgument,
    near: NearOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
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
    count = _write(output, _chosen(stream.table.rows(), kept), dry_run=dry_run)
    facts = {"rows": count, "left_out": len(found.dropped), "output": output}
    text = f"{count:,} rows written to {output}, {len(found.dropped):,} left out"
    _conclude(facts, text, dry_run=dry_run, as_json=as_json)


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
    near: NearOption = None,
    seed: SeedOption = 0,
    source: SourceOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
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
    counts = {name: len(indices) for name, indices in parts.items()}
    if not dry_run:
        with new_folder(output) as draft:
            for name, indices in parts.items():
                chosen = _chosen(stream.table.rows(), frozenset(indices))
                _write(draft / f"{name}.jsonl", chosen)
    for name, count in counts.items():
        render.say(f"{count:,} rows are {name}")
    facts = {"parts": counts, "output": output}
    _conclude(facts, f"Written to {output}", dry_run=dry_run, as_json=as_json)


def mix(
    output: OutputArgument,
    rows: Annotated[
        list[str],
        typer.Argument(metavar="ROWS=WEIGHT...", help="Rows, and their weights."),
    ],
    count: Annotated[
        int | None, typer.Option("--rows", min=1, help="How many rows: to write.")
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Begin anew with rows that are used up.")
    ] = False,
    seed: SeedOption = 0,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
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
    written = _write(output, dataset, dry_run=dry_run)
    facts = {"rows": written, "mixture": mixture.shares, "output": output}
    text = f"{written:,} rows written to {output}"
    _conclude(facts, text, dry_run=dry_run, as_json=as_json)


def _conclude(
    facts: Mapping[str, object], text: str, *, dry_run: bool, as_json: bool
) -> None:
    """Say what was written, or would be."""
    if dry_run:
        show_intent(facts, as_json=as_json)
    elif as_json:
        answer(facts)
    else:
        render.say(text)


def _chosen(
    rows: Iterable[tuple[Mapping[str, Any], str]], wanted: frozenset[int]
) -> Iterable[Mapping[str, Any]]:
    return (row for index, (row, _) in enumerate(rows) if index in wanted)


def _write(
    path: Path, rows: Iterable[Mapping[str, Any]], *, dry_run: bool = False
) -> int:
    """Write rows to a new file, one a line, and return how many there are.

    In a dry run they are gone through, but not written.

    Raises:
        OutputError: the file is there already, or is not to be one of lines.
        DataError: a row has what JSON cannot hold.
    """
    if path.suffix != ".jsonl":
        raise OutputError(f"{path} is to be a file of JSON lines: name it *.jsonl.")
    if path.exists():
        raise OutputError(f"{path} is there already. Name a new file.")
    lines = (
        json.dumps(row, ensure_ascii=False, default=_unwritable) + "\n" for row in rows
    )
    if dry_run:
        return sum(1 for _ in lines)
    with new_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        return sum(1 for line in lines if file.write(line))


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
