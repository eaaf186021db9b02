"""What a judge is told: templates, in which answers cannot leave their place.

Whatever an answer says, it stands between marks that do not occur in it.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

SHORTEST_FENCE = 3
"""Backticks, as Markdown has it."""


def pairwise_prompt(
    question: str,
    first: str,
    second: str,
    *,
    reference: str | None = None,
    criteria: str | None = None,
) -> str:
    """Return what a judge is asked about two answers, of which A is the first."""
    return _filled(
        "pairwise",
        {"question": question, "first": first, "second": second},
        reference,
        criteria=criteria,
    )


def rubric_prompt(
    question: str, answer: str, *, rubric: str, scale: int, reference: str | None = None
) -> str:
    """Return what a judge is asked about one answer."""
    return _filled(
        "rubric",
        {"question": question, "answer": answer},
        reference,
        rubric=rubric,
        scale=scale,
    )


def fence_for(*texts: str) -> str:
    """Return the shortest row of backticks that is in none of the texts."""
    rows = (len(row) for text in texts for row in re.findall("`+", text))
    return "`" * max(SHORTEST_FENCE, 1 + max(rows, default=0))


def _filled(
    name: str, fenced: dict[str, str], reference: str | None, **values: Any
) -> str:
    fence = fence_for(*fenced.values(), reference or "")
    values |= {**fenced, "reference": reference, "fence": fence}
    return _template(name).render(values)


@cache
def _template(name: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    file = files("xturing.eval.judging").joinpath("prompts", f"{name}.md")
    return environment.from_string(file.read_text(encoding="utf-8"))
