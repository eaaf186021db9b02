"""`xturing data stats`: how long rows are, and what length policies make of them."""

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from xturing.cli import render
from xturing.cli.data_encoding import MaxLengthOption, opened, sides
from xturing.cli.data_options import (
    MapOption,
    RowsArgument,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.model_options import TemplateOption, WeightsOption
from xturing.core.errors import DataError

if TYPE_CHECKING:
    from xturing.data import Example

BINS = 12
COMPARED = ("preference", "judgement")
"""Kinds of rows that are compared: one side is worth nothing without the other."""


def stats(
    path: RowsArgument,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Count this model's tokens.")
    ] = None,
    max_length: MaxLengthOption = None,
    weights: WeightsOption = None,
    chat_template: TemplateOption = None,
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
    tokenizer, limit = opened(model, weights, chat_template, max_length)
    examples = [example for _, example in sides(dataset, tokenizer)]
    lengths = [len(example) for example in examples]
    if dataset.kind in COMPARED:
        _show_lengths("Tokens an answer, its prompt included", lengths)
        longer = sum(length > limit for length in lengths)
        render.say(f"{longer:,} of {len(lengths):,} have more than {limit:,}")
    else:
        _show_lengths("Tokens a row", lengths)
        _show_policies(examples, limit)


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


def _show_policies(examples: "list[Example]", limit: int) -> None:
    from xturing.data import Book, fit
    from xturing.data.ledger import PARTS_SHOWN
    from xturing.data.lengths import LengthPolicy

    columns, ledgers = [], []
    for policy in get_args(LengthPolicy):
        book = Book()
        try:
            for _ in fit(examples, limit, policy, book):
                pass
        except DataError as error:
            render.heading(f"length_policy={policy} refuses them")
            render.say(str(error))
        else:
            columns.append(policy)
            ledgers.append(book.ledger())
    if not ledgers:
        return
    render.heading(f"Tokens by length policy, for max_length={limit:,}")
    table = [
        [title, *(f"{getattr(ledger, part):,}" for ledger in ledgers)]
        for title, part in PARTS_SHOWN
        if part != "padding"
    ]
    render.table(["", *columns], table, numbers=True)
