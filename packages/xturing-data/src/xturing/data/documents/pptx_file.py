"""PowerPoint's .pptx: slides and their notes, opened by python-pptx."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xturing.core.extras import require
from xturing.data.documents import TextPart
from xturing.data.documents.archives import check
from xturing.data.documents.office import blocks, joined


def read(path: Path) -> Iterator[TextPart]:
    """Yield each slide."""
    pptx = require("pptx", package="xturing-data", extra="documents")
    check(path)
    for number, slide in enumerate(pptx.Presentation(str(path)).slides, start=1):
        yield TextPart(f"slide {number}", joined(_texts(slide)))


def _texts(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield f"# {' '.join(title.text_frame.text.split())}"
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            yield from blocks(shape.element)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        yield f"Notes: {notes}" if notes else ""
