"""`xturing data`: what is in rows, what is wrong with them, and what is learnt."""

from bisect import bisect_right
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from xturing.cli import data_writing, render
from xturing.cli.data_options import (
    MapOption,
    RowsArgument,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.finetune import LEDGER_PARTS
from xturing.cli.model_options import ModelOption, WeightsOption
from xturing.core.errors import DataError

if TYPE_CHECKING:
    from xturing.data import BaseDataset, Encoded, Example
    from xturing.data.lengths import LengthPolicy

app = typer.Typer(help="See what is in your rows, before anything is learnt from them.")

MaxLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length", min=2, help="Tokens of a row; by default the model's setting."
    ),
]
WITHOUT_LIMIT = 2**31
"""Tokens that no row has."""
BINS = 12

INKS = (
    render.Ink("template", "dim", ("{", "}")),
    render.Ink("prompt", "cyan", ("", "")),
    render.Ink("learnt", "bold green", ("«", "»")),
    render.Ink("end of turn, learnt", "bold yellow", ("<", ">")),
)
"""In line with the values of `Part`."""
GAP = ("  ", render.Ink("", "", ("", "")))
CUT = render.Ink("cut", "red strike", ("~", "~"))


app.command()(data_writing.convert)
app.command()(data_writing.dedup)
app.command()(data_writing.split)
app.command()(data_writing.mix)


@app.command()
def check(
    path: RowsArgument,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Tell how rows are read, and every one that is wrong.

    Example: xturing data check rows.jsonl
    """
    from xturing.data import problems

    found = problems(path, **reading(source, split, shape, columns))
    if found.shape is not None:
        render.say(f"Read as {found.read_as}; {found.shape.decision}")
    for problem in found.shown:
        render.complain(problem)
    if found.total > len(found.shown):
        render.complain(f"and {found.total - len(found.shown):,} more like these")
    if found.total:
        render.say(f"{found.total:,} of {found.rows:,} rows are wrong")
        raise typer.Exit(1)
    render.say(f"All {found.rows:,} rows are right")


@app.command()
def preview(
    path: RowsArgument,
    model: ModelOption,
    rows: Annotated[int, typer.Option("-n", min=1, help="Rows to show.")] = 3,
    max_length: MaxLengthOption = None,
    weights: WeightsOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Show what is learnt of each row, and what would be cut off.

    Example: xturing data preview rows.jsonl -m smollm2 -n 1
    """
    from xturing.data import open_dataset

    options = reading(source, split, shape, columns)
    dataset = open_dataset(path, limit=rows, **options)
    render.say(f"Read as {dataset.read_as}; {dataset.decision}")
    tokenizer, limit = _opened(model, weights, max_length)
    encoded = _encoded(dataset, tokenizer, WITHOUT_LIMIT, "error")
    render.say("Shown as: ")
    render.inked(piece for ink in (*INKS, CUT) for piece in ((ink.name, ink), GAP))
    for example in encoded.examples:
        render.heading(f"{dataset.place(example.row)}: {_counts(example, limit)}")
        render.inked(_pieces(example, tokenizer, limit))


@app.command()
def stats(
    path: RowsArgument,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Count this model's tokens.")
    ] = None,
    max_length: MaxLengthOption = None,
    weights: WeightsOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
) -> None:
    """Draw how long rows are, and show what each length policy would make of them.

    Example: xturing data stats rows.jsonl -m smollm2 --max-length 256
    """
    from xturing.data import open_dataset

    dataset = open_dataset(path, **reading(source, split, shape, columns))
    render.say(
        f"{len(dataset):,} rows of {path}, read as {dataset.read_as}; "
        f"{dataset.decision}"
    )
    if model is None:
        lengths = [_characters(dataset.record(row)) for row in range(len(dataset))]
        _show_lengths("Characters a row", lengths)
        return
    tokenizer, limit = _opened(model, weights, max_length)
    whole = _encoded(dataset, tokenizer, WITHOUT_LIMIT, "error")
    _show_lengths("Tokens a row", [len(example) for example in whole.examples])
    _show_policies(dataset, tokenizer, limit)


def _opened(model: str, weights: str | None, max_length: int | None) -> tuple[Any, int]:
    """Return a model's tokenizer, and the tokens that a row may have."""
    from xturing.models import FinetuningConfig, Variant
    from xturing.models.tokenizers import open_tokenizer

    with render.notices():
        tokenizer = open_tokenizer(model, weights)
    if max_length is not None:
        return tokenizer, max_length
    if Path(model).expanduser().is_dir():
        return tokenizer, FinetuningConfig.resolve().max_length
    return tokenizer, Variant.parse(model).finetuning_config().max_length


def _encoded(
    dataset: "BaseDataset", tokenizer: Any, max_length: int, policy: "LengthPolicy"
) -> "Encoded":
    from xturing.data import encode

    return encode(dataset, tokenizer, max_length=max_length, length_policy=policy)


def _counts(example: "Example", limit: int) -> str:
    """Return how many tokens a row has, and how many would be cut off."""
    from xturing.data import Part

    told = f"{len(example):,} tokens, {example.supervised:,} learnt"
    if len(example) <= limit:
        return told
    lost = int((example.parts[limit:] >= Part.ANSWER).sum())
    return (
        f"{told}; beyond max_length={limit:,} are {len(example) - limit:,}, "
        f"{lost:,} of them learnt"
    )


def _pieces(
    example: "Example", tokenizer: Any, limit: int
) -> list[tuple[str, render.Ink]]:
    """Return the text of a row's tokens, those of one kind together."""
    kinds = [
        CUT if place >= limit else INKS[part]
        for place, part in enumerate(example.parts.tolist())
    ]
    pieces, first = [], 0
    for ink, run in groupby(kinds):
        last = first + len(list(run))
        text = tokenizer.decode(example.ids[first:last].tolist())
        pieces.append((text.replace("\n", "↵\n"), ink))
        first = last
    return pieces


def _characters(record: Any) -> int:
    """Return how many characters of words a record has."""
    if isinstance(record, str):
        return len(record)
    if isinstance(record, tuple):
        return sum(map(_characters, record))
    fields = ("messages", "content", "text", "prompt", "chosen", "rejected")
    own = [name for name in fields if name in vars(record)]
    return sum(_characters(getattr(record, name)) for name in own)


def _show_lengths(title: str, lengths: list[int]) -> None:
    render.heading(title)
    edges = _edges(min(lengths), max(lengths))
    counts = Counter(bisect_right(edges, length) - 1 for length in lengths)
    render.histogram([(f"{edge:,}", counts[i]) for i, edge in enumerate(edges[:-1])])
    ordered = sorted(lengths)
    half, most, nearly_all = (
        ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 90, 99)
    )
    render.say()
    render.say(
        f"Half have at most {half:,}, 9 of 10 at most {most:,}, 99 of 100 at most "
        f"{nearly_all:,}, the longest {ordered[-1]:,}; together {sum(lengths):,}"
    )


def _edges(least: int, most: int) -> list[int]:
    """Return round numbers that divide a range into some bins."""
    width = max(-(-(most - least) // BINS), 1)
    unit = 10 ** (len(str(width)) - 1)
    width = -(-width // unit) * unit
    first = least // width * width
    return list(range(first, most + width + 1, width))


def _show_policies(dataset: "BaseDataset", tokenizer: Any, limit: int) -> None:
    from xturing.data.lengths import LengthPolicy

    columns, ledgers = [], []
    for policy in get_args(LengthPolicy):
        try:
            encoded = _encoded(dataset, tokenizer, limit, policy)
        except DataError as error:
            render.heading(f"length_policy={policy} refuses them")
            render.say(str(error))
        else:
            columns.append(policy)
            ledgers.append(encoded.ledger)
    if not ledgers:
        return
    render.heading(f"Tokens by length policy, for max_length={limit:,}")
    table = [
        [title, *(f"{getattr(ledger, part):,}" for ledger in ledgers)]
        for title, part in LEDGER_PARTS
        if part != "padding"
    ]
    render.table(["", *columns], table, numbers=True)
