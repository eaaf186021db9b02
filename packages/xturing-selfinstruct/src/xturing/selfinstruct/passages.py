"""Documents in passages, each with its place in its file."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xturing.core.errors import DataError, SettingsError
from xturing.data.documents import TextDocument, chunks, read_documents
from xturing.selfinstruct.settings import DocumentsConfig

GAP = len("\n\n")
"""Between the parts of a document in its whole text."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a document."""

    source: str
    """The file, as seen from the folder that was given."""
    part: str
    """Pages or the like, empty for a file without."""
    start: int
    """Character of the document's text."""
    end: int
    text: str


def read_passages(
    folder: str | Path, config: DocumentsConfig
) -> tuple[list[Passage], list[tuple[str, str]]]:
    """Return the pieces of a folder's files, and the files that cannot be read and why.

    Raises:
        DataError: the folder is missing, or no file in it can be read.
        MissingDependencyError: a file's format needs the extra `documents`.
        SettingsError: pieces and their overlaps do not go together.
    """
    place = Path(folder).expanduser()
    read = read_documents(place)
    failures = [(_shown(each.path, place), each.reason) for each in read.failures]
    passages = [
        passage
        for document in read.documents
        for passage in _passages(document, place, config)
    ]
    if not passages:
        reasons = "; ".join(f"{name} {why}" for name, why in failures[:3])
        raise DataError(f"No file in {place} gives a text. {reasons}".strip())
    return passages, failures


def _passages(
    document: TextDocument, folder: Path, config: DocumentsConfig
) -> Iterator[Passage]:
    if config.chunk_overlap >= config.chunk_size:
        raise SettingsError(
            f"chunk_overlap is {config.chunk_overlap}, but has to be less than "
            f"chunk_size={config.chunk_size}."
        )
    starts, names = [], []
    place = 0
    for part in document.parts:
        starts.append(place)
        names.append(part.name)
        place += len(part.text) + GAP
    source = _shown(Path(document.origin), folder)
    for chunk in chunks(document.text, config.chunk_size, config.chunk_overlap):
        first = names[bisect_right(starts, chunk.start) - 1]
        last = names[bisect_right(starts, chunk.end - 1) - 1]
        yield Passage(
            source=source,
            part=first if first == last else f"{first} to {last}",
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
        )


def _shown(path: Path, folder: Path) -> str:
    """Return a file's name as seen from the folder."""
    return path.name if path == folder else path.relative_to(folder).as_posix()
