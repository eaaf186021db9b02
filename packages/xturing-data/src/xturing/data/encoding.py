"""Records to token ids: the one place where it is decided what is learnt.

An answer's words and the token that ends its turn are learnt, and nothing else; of a
plain text, every token and the end token. The ids before each answer are those that the
tokenizer gives for the prompt alone, as they will be when the model is served.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

from xturing.core.errors import DataError
from xturing.data.caching import Cache
from xturing.data.chat import Rendered, Tokenizer, Turn, render
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.fingerprints import Fingerprint
from xturing.data.ledger import Book, Ledger
from xturing.data.lengths import LengthPolicy, fit, headed
from xturing.data.lines import Line, Reader
from xturing.data.records import Conversation, Document, Message, Placed
from xturing.data.streams import Stream
from xturing.data.workers import Workers

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Encoded:
    """The examples of a dataset, and the ledger of its tokens."""

    examples: Sequence[Example]
    """A tuple, or what reads a cache's files as they are asked for."""
    ledger: Ledger


def encode(
    dataset: BaseDataset | Stream,
    tokenizer: Tokenizer,
    *,
    max_length: int,
    length_policy: LengthPolicy = "error",
    workers: int = 1,
    cache: Path | None = None,
) -> Encoded:
    """Return the rows as examples of at most `max_length` tokens.

    Rows that are longer are refused (`error`), left out (`drop`), cut at their end
    (`truncate`), cut in the middle of their prompt (`keep-answer`) or, if they are
    plain texts, divided (`split`); the ledger has what became of each.

    With `workers`, that many processes encode; the examples are the same. With a folder
    as `cache`, they are written there and read as they are asked for, so that memory
    holds few of them at once; rows that were encoded so before are not encoded again.

    Raises:
        DataError: a row is too long, or the chat template does not fit it.
        OutputError: the disk of the cache is full.
    """
    with _encoder(tokenizer, workers) as encoder:
        book = Book()

        def fitted(records: Iterable[Placed]) -> Iterator[Example]:
            return fit(encoder(records), max_length, length_policy, book)

        if cache is None:
            kept = tuple(fitted(dataset.records()))
            ledger = _ledger(book, len(kept), dataset.origin, max_length)
            return Encoded(kept, ledger)

        settings = tokenizer, max_length, length_policy
        known = Cache(cache)
        entry = known.find(Fingerprint(*settings).over(dataset.records()))
        if entry is None:
            # The rows are read anew, and the entry is named after what was read.
            seen = Fingerprint(*settings)
            with known.draft() as draft:
                draft.add(fitted(seen.passing(dataset.records())))
                ledger = _ledger(book, len(draft), dataset.origin, max_length)
                entry = known.keep(draft, seen.hexdigest(), ledger)
        return Encoded(entry.examples, entry.ledger)


@contextmanager
def _encoder(
    tokenizer: Tokenizer, workers: int
) -> Iterator[Callable[[Iterable[Placed]], Iterator[Example]]]:
    """Yield what encodes records, in this process or in others that end with it."""
    if workers < 1:
        raise DataError(
            f"workers={workers} leaves nobody to encode. Give 1 for this process alone."
        )
    if workers == 1:
        yield partial(encode_records, tokenizer=tokenizer)
        return
    with Workers(Encoder, tokenizer, workers, ROWS_AT_ONCE) as others:
        yield others.encoded


def _ledger(book: Book, kept: int, origin: str, max_length: int) -> Ledger:
    ledger = book.ledger()
    if not kept:
        raise DataError(
            f"All {ledger.rows} rows of {origin} have more than {max_length} tokens "
            f"({ledger.dropped / max(ledger.rows, 1):.0f} on average), so none is left "
            "to learn from. Set max_length higher."
        )
    return ledger


def encode_records(
    records: Iterable[Placed], tokenizer: Tokenizer
) -> Iterator[Example]:
    """Yield each conversation or text as an example, of whatever length.

    Only some hundred rows are in memory at once; `lengths.fit` takes what is yielded.

    Raises:
        DataError: a record is of another kind, or the chat template does not fit it.
    """
    with Encoder(tokenizer) as encoder:
        yield from encoder(records)


class Encoder:
    """Encodes records, and keeps what it finds out of the tokenizer from call to call.

    A call yields what `encode_records` does.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._reader = Reader(tokenizer)
        self._marks = _marks(tokenizer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def __call__(self, records: Iterable[Placed]) -> Iterator[Example]:
        """Yield each record as an example."""
        rows = iter(records)
        first = 0
        now: _Chunk | None = None
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            later = _Chunk(chunk, first, self._reader, self._marks)
            # What can be is done while these rows are being tokenized.
            if now is not None:
                now.join()
            later.begin()
            if now is not None:
                yield from now.examples()
            now = later
            first += len(chunk)
        if now is not None:
            now.join()
            yield from now.examples()


class _Chunk:
    """Some rows on their way to examples."""

    def __init__(
        self, rows: Sequence[Placed], first: int, reader: Reader, marks: re.Pattern[str]
    ) -> None:
        self._rows = rows
        self._first = first
        self._reader = reader
        self._marks = marks
        self._rendered = _rendered(rows, reader.tokenizer)

    def begin(self) -> None:
        """Let the texts be tokenized."""
        texts = [rendered.text for rendered in self._rendered]
        self._wait = self._reader.begin(texts)

    def join(self) -> None:
        """Wait for the tokens, and for those of the prompts' ends."""
        parts = zip(self._rendered, self._wait(), self._rows, strict=True)
        self._lines = [
            Line(rendered, tokens, self._reader, row.place)
            for rendered, tokens, row in parts
        ]
        tails = [tail for line in self._lines for tail in line.tails()]
        self._tails = self._reader.tails(tails)

    def examples(self) -> Iterator[Example]:
        """Yield what the rows have become."""
        pairs = zip(self._rows, self._lines, strict=True)
        for number, (row, line) in enumerate(pairs, start=self._first):
            ids, parts = line.written(self._tails)
            yield Example(
                ids,
                headed(parts),
                number,
                row.place,
                is_divisible=isinstance(row.record, Document) and not row.record.prompt,
                is_marked=any(self._marks.search(words) for words in _words(row)),
            )


def _rendered(rows: Sequence[Placed], tokenizer: Tokenizer) -> list[Rendered]:
    conversations = [
        (row.record, row.place) for row in rows if isinstance(row.record, Conversation)
    ]
    rendered = iter(render(conversations, tokenizer))
    return [
        next(rendered) if isinstance(row.record, Conversation) else _as_text(row)
        for row in rows
    ]


def _as_text(row: Placed) -> Rendered:
    record = row.record
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
