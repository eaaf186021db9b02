"""Rows as a model's tokens, for the commands that show them."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xturing.cli import render
from xturing.cli.model_options import refuse_template

if TYPE_CHECKING:
    from xturing.data import Example

MaxLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        min=2,
        help="Most tokens of a row: the model's own setting if left out.",
    ),
]

INKS = (
    render.Ink("template", "dim", ("{", "}")),
    render.Ink("prompt", "cyan", ("", "")),
    render.Ink("learnt", "bold green", ("«", "»")),
    render.Ink("end of turn, learnt", "bold yellow", ("<", ">")),
)
"""In line with the values of `Part`."""
CUT = render.Ink("cut", "red strike", ("~", "~"))
CUT_SHOWN = 200


def opened(
    model: str,
    weights: str | None,
    chat_template: str | None,
    max_length: int | None,
) -> tuple[Any, int]:
    """Return a model's tokenizer, and the tokens that a row may have."""
    from xturing.models import FinetuningConfig, Variant
    from xturing.models.tokenizers import open_tokenizer

    refuse_template(model, chat_template)
    with render.notices():
        tokenizer = open_tokenizer(model, weights, chat_template)
    if max_length is not None:
        return tokenizer, max_length
    if Path(model).expanduser().is_dir():
        return tokenizer, FinetuningConfig.resolve().max_length
    return tokenizer, Variant.parse(model).finetuning_config().max_length


def counts(example: "Example", limit: int) -> str:
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


def pieces(
    example: "Example", tokenizer: Any, limit: int
) -> list[tuple[str, render.Ink]]:
    """Return the text of a row's tokens, those of one kind together.

    Of what is cut only the first tokens are shown.
    """
    shown = limit + CUT_SHOWN
    kinds = [
        CUT if place >= limit else INKS[part]
        for place, part in enumerate(example.parts[:shown].tolist())
    ]
    inked, first = [], 0
    for ink, run in groupby(kinds):
        last = first + len(list(run))
        text = tokenizer.decode(example.ids[first:last].tolist())
        inked.append((text.replace("\n", "↵\n"), ink))
        first = last
    if len(example) > shown:
        inked.append((f" … and {len(example) - shown:,} tokens more", CUT))
    return inked
