"""PDF: the text of each page, by pypdf."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xturing.core.extras import require
from xturing.data.documents import TextPart, UnreadableError


def read(path: Path) -> Iterator[TextPart]:
    """Yield each page."""
    pypdf = require("pypdf", package="xturing-data", extra="documents")
    with _quiet(), pypdf.PdfReader(path) as document:
        # Files that are only locked against changes open with no password.
        if document.is_encrypted and not document.decrypt(""):
            raise UnreadableError("is encrypted; save it without a password")
        texts = [page.extract_text() for page in document.pages]
    if not any(text.strip() for text in texts):
        raise UnreadableError(
            f"has {len(texts)} pages and no text in them; if they are scanned, give "
            "them a text layer (OCR) first"
        )
    for number, text in enumerate(texts, start=1):
        yield TextPart(f"page {number}", text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what pypdf notes of odd but readable files off the terminal."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
