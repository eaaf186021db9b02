"""Numbers and questions in the words of a report."""

import json
import math

from xturing.core.resampling import CONFIDENCE
from xturing.eval.questions import Question
from xturing.eval.results import Score

INTERVAL = f"{CONFIDENCE:.0%} interval"
MISSING = "-"
UNDEFINED = "not defined"
BEGINNING = 120
"""Characters of a text that a table shows."""


def number(value: float | None, *, is_share: bool = False) -> str:
    """Return a number as a percentage or with four decimals."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.1%}" if is_share else f"{value:.4f}"


def interval(low: float, high: float, *, is_share: bool = False) -> str:
    """Return where a number lies."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    return f"{number(low, is_share=is_share)} to {number(high, is_share=is_share)}"


def change(value: float, *, is_share: bool = False) -> str:
    """Return a difference with its sign, that of shares in percentage points."""
    if math.isnan(value):
        return UNDEFINED
    return f"{100 * value:+.1f} points" if is_share else f"{value:+.4f}"


def changes(low: float, high: float, *, is_share: bool = False) -> str:
    """Return where a difference lies."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    if is_share:
        return f"{100 * low:+.1f} to {change(high, is_share=True)}"
    return f"{change(low)} to {change(high)}"


def chance(p_value: float | None) -> str:
    """Return a p-value."""
    if p_value is not None and p_value < 0.0001:
        return "below 0.0001"
    return number(p_value)


def score_with_interval(score: Score) -> str:
    """Return a score and where it lies."""
    value = number(score.value, is_share=score.is_share)
    if value == UNDEFINED:
        return value
    return f"{value} ({interval(score.low, score.high, is_share=score.is_share)})"


def prompt(question: Question) -> str:
    """Return what a model was asked, each of several messages with its role."""
    if isinstance(question.prompt, str):
        return question.prompt
    if len(question.prompt) == 1:
        return _content(question.prompt[0])
    return "\n\n".join(
        f"{message.get('role')}: {_content(message)}" for message in question.prompt
    )


def last_words(question: Question) -> str:
    """Return the last message of a prompt: what comes before is often the same."""
    if isinstance(question.prompt, str) or not question.prompt:
        return prompt(question)
    return _content(question.prompt[-1])


def beginning(text: str) -> str:
    """Return a text for the cell of a table: on one line, and cut if it is long."""
    line = " ".join(text.split())
    if len(line) <= BEGINNING:
        return line
    return line[: BEGINNING - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _content(message: dict[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    # Calls of tools, or parts that are no text.
    rest = {key: value for key, value in message.items() if key != "role"}
    return json.dumps(rest, ensure_ascii=False, sort_keys=True, default=str)
