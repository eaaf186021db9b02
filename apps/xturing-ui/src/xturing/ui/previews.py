"""Rows as a model reads them, as HTML: each token in the colour of its part."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
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
        DataError: a row cannot be used.
        ModelError: the tokenizer has no chat template, which the rows need.
    """
    from xturing.data import Part
    from xturing.data.sides import sides

    legend = "".join(
        f'<span class="{part.name.lower()}"> {NAMES[part.name]} </span> '
        for part in Part
        if part.name in NAMES
    )
    beyond = f'<span class="cut"> beyond max_length={max_length:,} </span>'
    parts = [f'<div class="tokens">{legend}{beyond}</div>']
    shown = dataset.select(range(min(ROWS, len(dataset))))
    for title, example in sides(shown, tokenizer):
        told = f"{len(example):,} tokens, {example.supervised:,} learnt"
        parts.append(f"<p><b>{escape(title)}</b>: {told}</p>")
        spans = "".join(_spans(example, tokenizer, max_length))
        parts.append(f'<div class="tokens">{spans}</div>')
    return "".join(parts)


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
