"""Records to token ids: the one place where it is decided what is learnt.

An answer's words and the token that ends its turn are learnt, and nothing else; of a
plain text, every token and the end token. The ids before each answer are those that the
tokenizer gives for the prompt alone, as they will be when the model is served.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from xturing.core.errors import DataError
from xturing.data.chat import Rendered, Tokenizer, Turn, render
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.ledger import Ledger, book
from xturing.data.lines import Line, end_tokens, tokenize
from xturing.data.records import Conversation, Document, Record

LengthPolicy = Literal["error", "drop"]

ROWS_AT_ONCE = 256
OFFENDERS_SHOWN = 5


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

    Rows that are longer are refused (`error`) or left out and booked (`drop`). None is
    ever cut.

    Raises:
        DataError: a row is too long, or the chat template does not fit it.
    """
    if not tokenizer.is_fast:
        raise DataError(
            f"{type(tokenizer).__name__} does not tell where in the text its tokens "
            "stand. Load the model with its fast tokenizer (tokenizer.json)."
        )
    kept: list[Example] = []
    long: list[Example] = []
    for example in _examples(dataset, tokenizer):
        (kept if len(example) <= max_length else long).append(example)
    if long and length_policy == "error":
        raise DataError(_too_long(dataset, long, max_length))
    if not kept:
        longest = max(len(example) for example in long)
        raise DataError(
            f"All {len(long)} rows of {dataset.origin} have more than {max_length} "
            f"tokens, so none is left to learn from. Set max_length to {longest}."
        )
    return Encoded(tuple(kept), book(kept, long, dataset.place))


def _too_long(dataset: BaseDataset, long: Sequence[Example], limit: int) -> str:
    worst = sorted(long, key=len, reverse=True)
    shown = "; ".join(
        f"{dataset.place(example.row)} has {len(example)}"
        for example in worst[:OFFENDERS_SHOWN]
    )
    more = len(long) - OFFENDERS_SHOWN
    return (
        f"{len(long)} of {len(dataset)} rows have more than max_length={limit} tokens: "
        f"{shown}{f'; and {more} more' if more > 0 else ''}. Cutting them would lose "
        f"the end of their answers. Set max_length={len(worst[0])} to keep them, or "
        "length_policy=drop to leave them out."
    )


def _examples(dataset: BaseDataset, tokenizer: Tokenizer) -> Iterator[Example]:
    is_text = dataset.shape.kind == "text"
    ends = end_tokens(tokenizer)
    for first in range(0, len(dataset), ROWS_AT_ONCE):
        rows = range(first, min(first + ROWS_AT_ONCE, len(dataset)))
        written = [
            _written(dataset.record(row), tokenizer, dataset.place(row)) for row in rows
        ]
        texts = [text for rendered in written for text in _texts(rendered)]
        tokens = iter(tokenize(tokenizer, texts, special=is_text))
        for row, rendered in zip(rows, written, strict=True):
            whole, *prompts = (next(tokens) for _ in _texts(rendered))
            line = Line(rendered, tokenizer, ends, dataset.place(row))
            for turn, prompt in zip(rendered.turns, prompts, strict=True):
                # What a tokenizer puts before a text is to be seen on a text only.
                line.read(prompt if turn.start else whole, until=turn.start)
                line.learn(turn, whole)
            line.read(whole, until=len(rendered.text))
            yield line.example(row)


def _written(record: Record, tokenizer: Tokenizer, place: str) -> Rendered:
    if isinstance(record, Conversation):
        return render(record, tokenizer, place)
    if not isinstance(record, Document):
        raise DataError(
            f"{place} is a {type(record).__name__.lower()}, which is no example to "
            "learn word by word. Give conversations or texts."
        )
    text = record.prompt + record.text
    start = len(record.prompt)
    turn = Turn(start, len(text), len(text), is_closed=False)
    return Rendered(text, (turn,), ((0, start),))


def _texts(rendered: Rendered) -> tuple[str, ...]:
    return (rendered.text, *(rendered.text[: turn.start] for turn in rendered.turns))
