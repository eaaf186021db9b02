"""Examples for a cache, and a program that keeps them in one.

It takes a folder and how many examples to write; with "forever" it says when it has
written some, and goes on.
"""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from xturing.data.caching import Cache, Entry
from xturing.data.examples import Example, Part
from xturing.data.ledger import Book

NAME = "0" * 64


def example(number: int) -> Example:
    """Return an example with as many tokens as its number, and one more."""
    ids = np.arange(number + 1, dtype=np.int32)
    parts = np.full(number + 1, Part.ANSWER, dtype=np.uint8)
    parts[0] = Part.PROMPT
    return Example(ids, parts, number, f"row {number}", is_marked=number % 2 > 0)


def keep(cache: Cache, examples: int, name: str = NAME) -> Entry:
    """Write an entry of that many examples."""
    book = Book()
    with cache.draft() as draft:
        for number in range(examples):
            book.keep(example(number))
            draft.add([example(number)])
        return cache.keep(draft, name, book.ledger())


def endless() -> Iterator[Example]:
    """Yield examples, and say when there were some thousand."""
    for number in count():
        if number == 3000:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        yield example(number % 50)


if __name__ == "__main__":
    cache = Cache(Path(sys.argv[1]))
    if sys.argv[2] == "forever":
        with cache.draft() as draft:
            draft.add(endless())
    else:
        keep(cache, int(sys.argv[2]))
