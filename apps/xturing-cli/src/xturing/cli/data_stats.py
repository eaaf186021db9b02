"""`xturing data stats`: how long rows are, and what length policies make of them."""

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from xturing.cli import render
from xturing.cli.data_encoding import MaxLengthOption, opened
from xturing.cli.data_options import (
    MapOption,
    RowsArgument,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import (
    MODEL_HELP,
    TemplateOption,
    WeightsOption,
    known_models,
)
from xturing.core.errors import DataError

if TYPE_CHECKING:
    from xturing.data import Example, Ledger

BINS = 12
COMPARED = ("preference", "judgement")
"""Kinds of rows that are compared: one side is worth nothing without the other."""


def stats(
    path: RowsArgument,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            autocompletion=known_models,
            help=f"{MODEL_HELP} Its tokens are counted.",
        ),
    ] = None,
    max_length: MaxLengthOption = None,
    weights: WeightsOption = None,
    chat_template: TemplateOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw how long rows are, and show what each length policy would make of them.

    Example: xturing data stats rows.jsonl -m smollm2 --max-length 256
    """
    from xturing.data import open_dataset
    from xturing.data.sides import sides

    dataset = open_dataset(path, **reading(source, split, shape, columns))
    render.say(
        f"{len(dataset):,} rows of {path}, read as {dataset.read_as}; "
        f"{dataset.decision}"
    )
    if model is None:
        lengths = [_characters(dataset.record(row)) for row in range(len(dataset))]
        if as_json:
            answer({"rows": len(dataset), "characters_a_row": quantiles(lengths)})
        else:
            _show_lengths("Characters a row", lengths)
        return
    tokenizer, limit = opened(model, weights, chat_template, max_length)
    examples = [example for _, example in sides(dataset, tokenizer)]
    lengths = [len(example) for example in examples]
    longer = sum(length > limit for length in lengths)
    is_compared = dataset.kind in COMPARED
    ledgers, refusals = ({}, {}) if is_compared else policies(examples, limit)
    if as_json:
        told = {"max_length": limit, "longer": longer, "policies": ledgers}
        told |= {"tokens_a_row": quantiles(lengths), "refused_by": refusals}
        answer({"rows": len(dataset), **told})
    elif is_compared:
        _show_lengths("Tokens an answer, its prompt included", lengths)
        render.say(f"{longer:,} of {len(lengths):,} have more than {limit:,}")
    else:
        _show_lengths("Tokens a row", lengths)
        _show_policies(ledgers, refusals, limit)


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
    found = quantiles(lengths)
    render.say()
    render.say(
        f"Half have at most {found['50 %']:,}, 9 of 10 at most {found['90 %']:,}, 99 "
        f"of 100 at most {found['99 %']:,}, the longest {found['100 %']:,}; together "
        f"{sum(lengths):,}"
    )


def quantiles(lengths: list[int]) -> dict[str, int]:
    """Return what half of the lengths, 9 of 10, 99 of 100 and all are at most."""
    ordered = sorted(lengths)
    return {
        f"{percent} %": ordered[-(-len(ordered) * percent // 100) - 1]
        for percent in (50, 90, 99, 100)
    }


def _edges(least: int, most: int) -> list[int]:
    """Return round numbers that divide a range into some bins."""
    width = max(-(-(most - least) // BINS), 1)
    unit = 10 ** (len(str(width)) - 1)
    width = -(-width // unit) * unit
    first = least // width * width
    return list(range(first, most + width + 1, width))


def policies(
    examples: "list[Example]", limit: int
) -> "tuple[dict[str, Ledger], dict[str, str]]":
    """Return the ledger of each length policy, or what it says where it refuses."""
    from xturing.data import Book, fit
    from xturing.data.lengths import LengthPolicy

    ledgers: dict[str, Ledger] = {}
    refusals: dict[str, str] = {}
    for policy in get_args(LengthPolicy):
        book = Book()
        try:
            for _ in fit(examples, limit, policy, book):
                pass
        except DataError as error:
            refusals[policy] = str(error)
        else:
            ledgers[policy] = book.ledger()
    return ledgers, refusals


def _show_policies(
    ledgers: "dict[str, Ledger]", refusals: dict[str, str], limit: int
) -> None:
    from xturing.data.ledger import PARTS_SHOWN

    for policy, reason in refusals.items():
        render.heading(f"length_policy={policy} refuses them")
        render.say(reason)
    if not ledgers:
        return
    render.heading(f"Tokens by length policy, for max_length={limit:,}")
    table = [
        [title, *(f"{getattr(ledger, part):,}" for ledger in ledgers.values())]
        for title, part in PARTS_SHOWN
        if part != "padding"
    ]
    render.table(["", *ledgers], table, numbers=True)
