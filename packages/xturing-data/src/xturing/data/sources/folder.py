"""A folder of texts, one document a file, in the order of their names."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import ending
from xturing.data.sources.paths import path_of
from xturing.data.sources.saved import Saved
from xturing.data.sources.splits import Splits
from xturing.data.sources.text import TextFile
from xturing.data.sources.text_file import ENDINGS, text_entries

NAMED = 5
"""Most files that an error names."""


class _Folder:
    def reads(self, given: object) -> bool:
        is_folder = isinstance(given, Path) and given.is_dir()
        return is_folder and not Saved.reads(given) and not Splits.reads(given)

    def table(self, given: object, options: Options) -> Table:
        path = path_of(given, "folder")
        options.refuse_split(str(path))
        texts, others = _files(path)
        if not texts or others:
            raise DataError(_unclear(path, others))
        files = [TextFile(text, options.max_expansion) for text in texts]
        return Table(str(path), partial(_entries, files), "a text a file")


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the texts and the other files in a folder and those below, but no links.

    Hidden files do not count: systems put them there. The search ends where there are
    more others than an error names, so that it is over soon wherever it is begun.
    """
    texts: list[Path] = []
    others: list[Path] = []
    for file in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not is_hidden and not file.is_dir():
            (texts if ending(file) in ENDINGS else others).append(file)
        if len(others) > NAMED:
            break
    return sorted(texts), sorted(others)


def _entries(files: Sequence[TextFile]) -> Iterator[Entry]:
    for file in files:
        place = str(file.path)
        try:
            rows = list(text_entries(file))
        except DataError as error:
            rows = [(error, place)]
        yield from rows or [(DataError(f"{place} is empty."), place)]


def _unclear(folder: Path, others: Sequence[Path]) -> str:
    message = (
        f"The folder {folder} holds no saved dataset, no files named train, valid or "
        "test, and not texts alone"
    )
    if others:
        names = ", ".join(str(file.relative_to(folder)) for file in others[:NAMED])
        more = " and more" if len(others) > NAMED else ""
        message += f": there is {names}{more}"
    return (
        f"{message}. Give a folder that `dataset.save` wrote, or the file with the "
        "rows itself."
    )


Folder = _Folder()
