"""Formats that are zip archives inside, opened within bounds."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xturing.data.documents import UnreadableError

LARGEST_UNPACKED = 1024**3
"""Bytes of all files in an archive, unpacked."""
LARGEST_MARKUP = 128 * 1024**2
"""Bytes of an archive's files that are parsed, unpacked; in memory they take more."""
MARKUP = (".xml", ".rels", ".html", ".htm", ".xhtml", ".opf", ".vml")
OLD_OFFICE = b"\xd0\xcf\x11\xe0"


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose files together are not too large to unpack.

    The sizes are those that the archive declares; no more is ever unpacked of a file.

    Raises:
        UnreadableError: it is too large, encrypted or no archive.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_old = file.read(4) == OLD_OFFICE
        raise UnreadableError(
            "is encrypted, or of the binary format that Office wrote before 2007; save "
            "it anew without a password"
            if is_old
            else f"is no {path.suffix} file, or a broken one"
        )
    with zipfile.ZipFile(path) as archive:
        _check(archive.infolist())
        yield archive


def check(path: Path) -> None:
    """Refuse an archive that is too large to unpack, encrypted or none."""
    with opened(path):
        pass


def _check(files: list[zipfile.ZipInfo]) -> None:
    if any(file.flag_bits & 1 for file in files):
        raise UnreadableError("is encrypted; save it without a password")
    for what, limit, sizes in (
        ("", LARGEST_UNPACKED, [file.file_size for file in files]),
        (
            " of markup",
            LARGEST_MARKUP,
            [f.file_size for f in files if f.filename.lower().endswith(MARKUP)],
        ),
    ):
        if sum(sizes) > limit:
            raise UnreadableError(
                f"would unpack to {sum(sizes):,} bytes{what}, more than {limit:,}"
            )
