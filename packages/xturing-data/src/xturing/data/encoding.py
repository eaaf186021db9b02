"""Records to token ids: the one place where it is decided what is learnt.

An answer's words and the token that ends its turn are learnt, and nothing else; of a
plain text, every token and the end token. The ids before each answer are those that the
tokenizer gives for the prompt alone, as they will be when the model is served.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from xturing.core.errors import DataError
from xturing.data.chat import Rendered, Tokenizer, Turn, render
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.ledger import Book, Ledger
from xturing.data.lengths import LengthPolicy, fit, headed
from xturing.data.lines import Line, Reader
from xturing.data.records import Conversation, Document, Message, Placed

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Encoded:
    """The examples of a dataset, and the ledger of its tokens."""

    examples: tuple[Example, ...]
    ledger: Ledger


def encode(
    dataset: BaseDataset,
    tokenizer: Tokenizer,
    *,
    max_length: int,
    length_policy: LengthPolicy = "error",
) -> Encoded:
    """Return the rows as examples of at most `max_length` tokens.

    Rows that are longer are refused (`error`), left out (`drop`), cut at their end
    (`truncate`), cut in the middle of their prompt (`keep-answer`) or, if they are
    plain texts, divided (`split`); the ledger has what became of each.

    Raises:
        DataError: a row is too long, or the chat template does not fit it.
    """
    book = Book()
    encoded = encode_records(dataset.records(), tokenizer)
    kept = tuple(fit(encoded, max_length, length_policy, book))
    ledger = book.ledger()
    if not kept:
        raise DataError(
            f"All {len(dataset)} rows of {dataset.origin} have more than {max_length} "
            f"tokens ({ledger.dropped / max(len(dataset), 1):.0f} on average), so none "
            "is left to learn from. Set max_length higher."
        )
    return Encoded(kept, ledger)


def encode_records(
    records: Iterable[Placed], tokenizer: Tokenizer
) -> Iterator[Example]:
    """Yield each conversation or text as an example, of whatever length.

    Only some hundred rows are in memory at once; `lengths.fit` takes what is yielded.

    Raises:
        DataError: a record is of another kind, or the chat template does not fit it.
    """
    reader = Reader(tokenizer)
    marks = _marks(tokenizer)
    rows = iter(records)
    first = 0
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield from _encoded(chunk, first, reader, marks)
        first += len(chunk)


def _encoded(
    chunk: Sequence[Placed], first: int, reader: Reader, marks: re.Pattern[str]
) -> Iterator[Example]:
    written = [_written(row, reader.tokenizer) for row in chunk]
    wholes = reader.tokenize([rendered.text for rendered in written])
    lines = [
        Line(rendered, whole, reader, row.place)
        for rendered, whole, row in zip(written, wholes, chunk, strict=True)
    ]
    tails = reader.tails([tail for line in lines for tail in line.tails()])
    for number, (row, line) in enumerate(zip(chunk, lines, strict=True), start=first):
        ids, parts = line.written(tails)
        yield Example(
            ids,
            headed(parts),
            number,
            row.place,
            is_divisible=isinstance(row.record, Document) and not row.record.prompt,
            is_marked=any(marks.search(words) for words in _words(row)),
        )


def _written(row: Placed, tokenizer: Tokenizer) -> Rendered:
    record = row.record
    if isinstance(record, Conversation):
        return render(record, tokenizer, row.place)
    if not isinstance(record, Document):
        raise DataError(
            f"{row.place} is a {type(record).__name__.lower()}, which is no single "
            "text. Use encode_pairs for preferences, encode_judgements for judgements."
        )
    text = record.prompt + record.text
    start = len(record.prompt)
    return Rendered(text, (Turn(start, len(text), is_closed=False),), ((0, start),))


def _words(row: Placed) -> Iterator[str]:
    if isinstance(row.record, Document):
        yield from (row.record.prompt, row.record.text)
    elif isinstance(row.record, Conversation):
        for message in row.record.messages:
            yield from _said(message)


def _said(message: Message) -> Iterator[str]:
    yield message.content
    for call in message.tool_calls:
        yield str(dict(call.arguments))


def _marks(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Return a pattern that finds the tokenizer's special tokens in words."""
    special = [
        re.escape(added.content)
        for added in tokenizer.added_tokens_decoder.values()
        if added.special
    ]
    return re.compile("|".join(special) or "(?!)")
