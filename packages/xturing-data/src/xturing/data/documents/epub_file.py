"""E-books: the chapters of an .epub, in the order of its spine."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZipFile

from xturing.data.documents import TextPart
from xturing.data.documents.archives import opened
from xturing.data.documents.html_file import decode_html, html_text
from xturing.data.documents.markup import parse_xml

CONTAINER = "META-INF/container.xml"
CHAPTERS = frozenset({"application/xhtml+xml", "text/html"})


def read(path: Path) -> Iterator[TextPart]:
    """Yield each chapter."""
    with opened(path) as archive:
        for number, chapter in enumerate(_chapters(archive), start=1):
            text = html_text(decode_html(archive.read(chapter)))
            yield TextPart(f"chapter {number}", text)


def _chapters(archive: ZipFile) -> list[str]:
    """Return the names of the chapters' files, as they are in the archive."""
    container = parse_xml(archive.read(CONTAINER))
    package = unquote(container.find(".//{*}rootfile").get("full-path"))
    book = parse_xml(archive.read(package))
    files = {
        item.get("id"): unquote(item.get("href"))
        for item in book.iterfind("{*}manifest/{*}item")
        if item.get("media-type") in CHAPTERS
    }
    folder = posixpath.dirname(package)
    order = [item.get("idref") for item in book.iterfind("{*}spine/{*}itemref")]
    return [
        posixpath.normpath(posixpath.join(folder, files[name]))
        for name in order
        if name in files
    ]
