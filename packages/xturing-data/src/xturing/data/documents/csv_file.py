"""Tables as text: .csv and .tsv."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from xturing.data.documents import TextPart
from xturing.data.documents.tables import table_text
from xturing.data.documents.text_file import decode

DELIMITERS = ",;\t|"


def read(path: Path) -> Iterator[TextPart]:
    """Yield the table as one part.

    Its delimiter is the one that stands most often in the first line.
    """
    text = decode(path.read_bytes()).lstrip()
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    yield TextPart("", table_text(rows))
