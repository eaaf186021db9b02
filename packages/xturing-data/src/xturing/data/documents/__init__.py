"""Text out of files that people write: one file here a format.

A reader yields a file's parts (pages, slides, sheets); which one is chosen by the
file's suffix. Other distributions add readers with the entry point group
`xturing.document_readers`. What the text is for is not known here.
"""

import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from xturing.core.errors import DataError, MissingDependencyError
from xturing.core.names import suggestion
from xturing.core.registry import Registry
from xturing.data.documents.chunking import Chunk, chunks

__all__ = [
    "LARGEST_FILE",
    "READERS",
    "Chunk",
    "Documents",
    "Failure",
    "Reader",
    "TextDocument",
    "TextPart",
    "UnreadableError",
    "chunks",
    "read_document",
    "read_documents",
]

LARGEST_FILE = 256 * 1024**2
"""Bytes of the largest file that is read."""


@dataclass(frozen=True)
class TextPart:
    """A page, slide, sheet or chapter."""

    name: str
    """What a reader of the document would call it, "page 3"; empty for a whole file."""
    text: str


@dataclass(frozen=True)
class TextDocument:
    """A file's text."""

    origin: str
    """The file it came from."""
    parts: tuple[TextPart, ...]
    """The parts that hold text, in order."""

    @cached_property
    def text(self) -> str:
        """All of it, the parts apart by an empty line."""
        return "\n\n".join(part.text for part in self.parts)


@dataclass(frozen=True)
class Failure:
    """A file that gave no text."""

    path: Path
    reason: str
    """What is wrong with it, as the rest of a sentence that begins with the path."""

    def __str__(self) -> str:
        return f"{self.path} {self.reason}."


@dataclass(frozen=True)
class Documents:
    """The texts of several files, and the files that gave none."""

    documents: tuple[TextDocument, ...]
    failures: tuple[Failure, ...]


class UnreadableError(Exception):
    """A reader's word that a file gives no text; it becomes a `DataError`."""


class Reader(Protocol):
    """A way to get at the text of a file of one format."""

    def __call__(self, path: Path) -> Iterator[TextPart]:
        """Yield the file's parts.

        Raises:
            UnreadableError: it gives no text; anything else that is raised is taken
                for a broken file.
        """
        ...


READERS: Registry[Reader] = Registry(
    "document format",
    "xturing.document_readers",
    {
        "csv": "xturing.data.documents.csv_file:read",
        "docx": "xturing.data.documents.docx_file:read",
        "eml": "xturing.data.documents.eml_file:read",
        "epub": "xturing.data.documents.epub_file:read",
        "htm": "xturing.data.documents.html_file:read",
        "html": "xturing.data.documents.html_file:read",
        "markdown": "xturing.data.documents.text_file:read",
        "md": "xturing.data.documents.text_file:read",
        "pdf": "xturing.data.documents.pdf_file:read",
        "pptx": "xturing.data.documents.pptx_file:read",
        "rtf": "xturing.data.documents.rtf_file:read",
        "tsv": "xturing.data.documents.csv_file:read",
        "txt": "xturing.data.documents.text_file:read",
        "xhtml": "xturing.data.documents.html_file:read",
        "xlsx": "xturing.data.documents.xlsx_file:read",
    },
)
"""Readers by suffix, without its dot."""


def read_document(
    path: str | Path, *, largest_file: int = LARGEST_FILE
) -> TextDocument:
    """Return the text of a file of at most `largest_file` bytes.

    Raises:
        DataError: the file is missing, broken, encrypted, too large, of an unknown
            format, or holds no text.
        MissingDependencyError: its format needs the extra `documents`.
    """
    read = _attempt(Path(path).expanduser(), largest_file)
    if isinstance(read, Failure):
        raise DataError(str(read))
    return read


def read_documents(
    source: str | Path | Iterable[str | Path], *, largest_file: int = LARGEST_FILE
) -> Documents:
    """Return the texts of a folder's files, or of those that are named.

    Folders are read with all that is in them, by name; files and folders whose names
    begin with a dot are passed over there. A file that gives no text is listed with
    the reason, and the others are read.

    Raises:
        DataError: the folder is not there.
        MissingDependencyError: a file's format needs the extra `documents`.
    """
    given = [source] if isinstance(source, str | Path) else source
    paths = [Path(path).expanduser() for path in given]
    if isinstance(source, str | Path) and not paths[0].exists():
        raise DataError(f"There is no file or folder {paths[0]}.")
    read = [_attempt(file, largest_file) for path in paths for file in _files(path)]
    return Documents(
        tuple(one for one in read if isinstance(one, TextDocument)),
        tuple(one for one in read if isinstance(one, Failure)),
    )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(path, followlinks=True):
        about = Path(folder).stat()
        if (about.st_dev, about.st_ino) in seen:
            # Links can lead back here.
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            Path(folder) / name for name in sorted(files) if not name.startswith(".")
        )


def _attempt(path: Path, largest_file: int) -> TextDocument | Failure:
    try:
        reader = _reader(path, largest_file)
        with warnings.catch_warnings():
            # Libraries warn of what they pass over, which is not the user's to mend.
            warnings.simplefilter("ignore")
            parts = [TextPart(part.name, _tidy(part.text)) for part in reader(path)]
    except UnreadableError as error:
        return Failure(path, str(error))
    except MissingDependencyError:
        raise
    except OSError as error:
        return Failure(path, f"cannot be opened ({error.strerror or error})")
    except Exception as error:  # noqa: BLE001  # libraries raise anything on broken files
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Failure(path, f"is no {path.suffix} file, or a broken one ({what})")
    filled = tuple(part for part in parts if part.text)
    return TextDocument(str(path), filled) if filled else Failure(path, "holds no text")


def _reader(path: Path, largest_file: int) -> Reader:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        # Reading from a pipe could wait for ever.
        raise UnreadableError("is no ordinary file")
    if about.st_size > largest_file:
        raise UnreadableError(
            f"has {about.st_size:,} bytes, more than largest_file={largest_file:,}"
        )
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in READERS:
        hint = suggestion(suffix, READERS).removesuffix(".")
        raise UnreadableError(f"is of no format that is read here ({hint})")
    return READERS[suffix]


def _tidy(text: str) -> str:
    """Return the text as valid Unicode, with one kind of line end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip()
