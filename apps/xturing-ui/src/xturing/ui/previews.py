"""Rows as a model reads them, as HTML: each token in the colour of its part."""

from collections.abc import Iterator
from html import escape
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xturing.data import BaseDataset, Example

ROWS = 3
CUT = "cut"
NAMES = {
    "TEMPLATE": "template",
    "PROMPT": "prompt",
    "ANSWER": "learnt",
    "END": "end of turn, learnt",
}
"""What people call the values of `Part`."""
STYLE = """
.tokens { font-family: monospace; white-space: pre-wrap; line-height: 1.7;
  padding: .6em; border: 1px solid #8884; border-radius: 6px; margin: .3em 0 1em; }
.tokens span { border-radius: 3px; padding: 1px 0; }
.tokens .template { opacity: .5; }
.tokens .prompt { background: #3b82f622; }
.tokens .answer { background: #16a34a55; font-weight: 600; }
.tokens .end { background: #f59e0b88; font-weight: 600; }
.tokens .cut { background: #ef444455; text-decoration: line-through; }
"""


def preview(dataset: "BaseDataset", tokenizer: Any, max_length: int) -> str:
    """Return the first rows as HTML, after what the colours mean.

    Raises:
        DataError: the rows are of a kind that has no single answer.
        ModelError: the tokenizer has no chat template, which the rows need.
    """
    from xturing.data import Part

    legend = "".join(
        f'<span class="{part.name.lower()}"> {NAMES[part.name]} </span> '
        for part in Part
        if part.name in NAMES
    )
    beyond = f'<span class="cut"> beyond max_length={max_length:,} </span>'
    parts = [f'<div class="tokens">{legend}{beyond}</div>']
    for title, example in _examples(dataset, tokenizer):
        told = f"{len(example):,} tokens, {example.supervised:,} learnt"
        parts.append(f"<p><b>{escape(title)}</b>: {told}</p>")
        spans = "".join(_spans(example, tokenizer, max_length))
        parts.append(f'<div class="tokens">{spans}</div>')
    return "".join(parts)


def _examples(
    dataset: "BaseDataset", tokenizer: Any
) -> "Iterator[tuple[str, Example]]":
    from xturing.data import encode_judgements, encode_pairs, encode_records

    records = islice(dataset.records(), ROWS)
    if dataset.kind == "preference":
        for pair in encode_pairs(records, tokenizer):
            yield f"{pair.place}, chosen", pair.chosen
            yield f"{pair.place}, rejected", pair.rejected
    elif dataset.kind == "judgement":
        for judged in encode_judgements(records, tokenizer):
            yield judged.example.place, judged.example
    else:
        for example in encode_records(records, tokenizer):
            yield example.place, example


def _spans(example: "Example", tokenizer: Any, max_length: int) -> Iterator[str]:
    from xturing.data import Part

    kinds = [
        CUT if place >= max_length else Part(part).name.lower()
        for place, part in enumerate(example.parts.tolist())
    ]
    first = 0
    for kind, run in groupby(kinds):
        last = first + len(list(run))
        text = tokenizer.decode(example.ids[first:last].tolist())
        shown = escape(text).replace("\n", "↵\n")
        yield f'<span class="{kind}">{shown}</span>'
        first = last
