"""`xturing data`: what is in rows, what is wrong with them, and what is learnt."""

from typing import Annotated

import typer

from xturing.cli import data_stats, data_writing, render
from xturing.cli.data_encoding import (
    CUT,
    INKS,
    MaxLengthOption,
    counts,
    opened,
    pieces,
)
from xturing.cli.data_options import (
    MapOption,
    RowsArgument,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import ModelOption, TemplateOption, WeightsOption

app = typer.Typer(
    help="""See what is in your rows, before anything is learnt from them.

    Example: xturing data check rows.jsonl
    """
)

GAP = ("  ", render.Ink("", "", ("", "")))

app.command()(data_stats.stats)
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
    as_json: JsonOption = False,
) -> None:
    """Tell how rows are read, and every one that is wrong.

    Example: xturing data check rows.jsonl
    """
    from xturing.data import problems

    found = problems(path, **reading(source, split, shape, columns))
    if as_json:
        shape = found.shape and found.shape.decision
        told = {**vars(found), "shape": shape, "problems": found.shown}
        answer({name: told[name] for name in told if name != "shown"})
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
    rows: Annotated[
        int, typer.Option("-n", "--count", min=1, help="How many: rows to show.")
    ] = 3,
    max_length: MaxLengthOption = None,
    weights: WeightsOption = None,
    chat_template: TemplateOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is learnt of each row, and what would be cut off.

    Example: xturing data preview rows.jsonl -m smollm2 -n 1
    """
    from xturing.data import open_dataset
    from xturing.data.sides import sides

    options = reading(source, split, shape, columns)
    dataset = open_dataset(path, limit=rows, **options)
    render.say(f"Read as {dataset.read_as}; {dataset.decision}")
    tokenizer, limit = opened(model, weights, chat_template, max_length)
    if as_json:
        shown = [
            {
                "place": title,
                "tokens": len(example),
                "learnt": example.supervised,
                "parts": [
                    {"text": text, "part": ink.name}
                    for text, ink in pieces(example, tokenizer, limit)
                ],
            }
            for title, example in sides(dataset, tokenizer)
        ]
        answer({"max_length": limit, "rows": shown})
        return
    render.say("Shown as: ")
    render.inked(piece for ink in (*INKS, CUT) for piece in ((ink.name, ink), GAP))
    for title, example in sides(dataset, tokenizer):
        render.heading(f"{title}: {counts(example, limit)}")
        render.inked(pieces(example, tokenizer, limit))
