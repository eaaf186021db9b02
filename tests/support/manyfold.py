"""Ways to encode that need no tokenizer, for processes that have to import them.

As a program it encodes rows without end, in two workers, and says when it has begun.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from xturing.core.errors import DataError
from xturing.data.examples import Example, Part
from xturing.data.records import Document, Placed
from xturing.data.workers import Encode, Workers

NO_TOKENIZER: Any = None


def letters(tokenizer: Any) -> Encode:
    """Return what yields each text's characters, and refuses a text that is "wrong"."""
    return _letters


def _letters(records: Iterable[Placed]) -> Iterator[Example]:
    for number, row in enumerate(records):
        assert isinstance(row.record, Document)
        text = row.record.text
        if text == "wrong":
            raise DataError(f"{row.place} is wrong.")
        ids = np.array([0, *map(ord, text)], dtype=np.int32)
        parts = np.full(len(ids), Part.ANSWER, dtype=np.uint8)
        parts[0] = Part.PROMPT
        yield Example(ids, parts, number, row.place)


def death(tokenizer: Any) -> Encode:
    """Return what ends the process, as the system does when memory is used up."""
    return lambda records: os._exit(9)


def rows(texts: Iterable[str]) -> Iterator[Placed]:
    """Yield texts as rows with places."""
    for number, text in enumerate(texts, start=1):
        yield Placed(Document(text), f"row {number}")


if __name__ == "__main__":
    import manyfold

    # A shell that starts the tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Workers(manyfold.letters, NO_TOKENIZER, 2, 5) as workers:
        for example in workers.encoded(rows(str(number) for number in count())):
            if example.row == 50:
                sys.stdout.write("begun\n")
                sys.stdout.flush()
