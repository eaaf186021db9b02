"""The options that say where a result goes, and whether anything is written at all."""

from pathlib import Path
from typing import Annotated

import typer

NEW_FOLDER = typer.Option("-o", "--output", help="Where the result goes: a new folder.")
NewFolderOption = Annotated[Path, NEW_FOLDER]
OptionalFolderOption = Annotated[Path | None, NEW_FOLDER]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the result if it is there already.")
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything, say what would be done, and write nothing."
    ),
]
