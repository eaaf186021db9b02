"""Word's .docx: body, footnotes and endnotes, opened by python-docx."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xturing.core.extras import require
from xturing.data.documents import TextPart
from xturing.data.documents.archives import check
from xturing.data.documents.markup import parse_xml
from xturing.data.documents.office import Level, blocks, joined

HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)
NOTES = ("footnotes", "endnotes")


def read(path: Path) -> Iterator[TextPart]:
    """Yield the body, and the notes if there are some."""
    docx = require("docx", package="xturing-data", extra="documents")
    check(path)
    document = docx.Document(str(path))
    yield TextPart("", joined(blocks(document.element.body, _levels(document))))
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in NOTES and not relation.is_external:
            notes = parse_xml(relation.target_part.blob)
            yield TextPart(kind, joined(blocks(notes)))


def _levels(document: Any) -> Level:
    levels = {}
    for style in document.styles:
        found = HEADING.fullmatch(style.name or "")
        levels[style.style_id] = int(found[1]) if found else int(style.name == "Title")

    def level(paragraph: Any) -> int:
        return levels.get(getattr(paragraph, "style", None), 0)

    return level
