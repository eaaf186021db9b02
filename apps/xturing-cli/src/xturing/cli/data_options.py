"""The options of commands that read rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.core.errors import SettingsError

if TYPE_CHECKING:
    from xturing.data.reading import ReadingOptions

RowsArgument = Annotated[str, typer.Argument(help="The rows: a file or a folder.")]
DataOption = Annotated[
    str, typer.Option("-d", "--data", help="The rows: a file or a folder.")
]
OptionalDataOption = Annotated[
    str | None, typer.Option("-d", "--data", help="The rows: a file or a folder.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", help="Use only the first rows.")
]
SourceOption = Annotated[
    str | None, typer.Option(help="What the rows are in: json, csv, lines, …")
]
SplitOption = Annotated[
    str | None, typer.Option(help="The part to read where there are several.")
]
ShapeOption = Annotated[
    str | None, typer.Option(help="What the columns are: alpaca, messages, …")
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="OURS=THEIRS", help="A column of another name."),
]
OutputArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="A new .jsonl file for the rows.")
]


def reading(
    source: str | None,
    split: str | None,
    shape: str | None,
    columns: list[str] | None,
) -> "ReadingOptions":
    """Return the options as `open_dataset` takes them.

    Raises:
        SettingsError: a column map is not of the form ours=theirs.
    """
    renamed: dict[str, str] = {}
    for pair in columns or []:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise SettingsError(
                f"--map {pair} names no two columns. Write it as "
                "--map instruction=question: our name, then the one in the rows."
            )
        renamed[ours] = theirs
    return {
        "source": source,
        "split": split,
        "shape": shape,
        "columns": renamed or None,
    }
