"""Rich text: .rtf, by striprtf."""

import re
from collections.abc import Iterator
from pathlib import Path

from xturing.core.extras import require
from xturing.data.documents import TextPart, UnreadableError


def read(path: Path) -> Iterator[TextPart]:
    """Yield the file as one part."""
    striprtf = require("striprtf.striprtf", package="xturing-data", extra="documents")
    data = path.read_bytes().lstrip()
    if not data.startswith(b"{\\rtf"):
        raise UnreadableError("does not begin as an .rtf file does")
    # Bytes beyond ASCII belong to the file's code page, like those written as escapes.
    plain = re.sub(rb"[\x80-\xff]", lambda byte: rb"\'%02x" % byte[0][0], data)
    yield TextPart("", striprtf.rtf_to_text(plain.decode("ascii")))
