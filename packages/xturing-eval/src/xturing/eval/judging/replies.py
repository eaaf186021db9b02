"""What a judge's reply comes to: its last line, or nothing.

Before that line a judge may quote an answer, whose own "Verdict: A" must not count. A
reply that ends otherwise was cut off or left the question open; it is never guessed at.
"""

from typing import Literal

Choice = Literal["A", "B", "tie"]

VERDICT, SCORE = "verdict", "score"
VERDICTS: dict[str, Choice] = {"a": "A", "b": "B", "tie": "tie"}
DECORATION = " \t*_`#>[](){}\"'."
"""What Markdown and habit put around words."""


def verdict_in(reply: str | None) -> Choice | None:
    """Return the verdict with which a reply ends; None if with none."""
    return VERDICTS.get(_ending(reply, VERDICT))


def score_in(reply: str | None, scale: int) -> int | None:
    """Return the score from 1 to `scale` with which a reply ends; None if with none."""
    value = _ending(reply, SCORE).replace(" ", "").removesuffix(f"/{scale}")
    return {str(score): score for score in range(1, scale + 1)}.get(value)


def _ending(reply: str | None, label: str) -> str:
    """Return what a reply's last line with words says after a label; "" if nothing."""
    lines = [line.strip(DECORATION) for line in (reply or "").splitlines()]
    last = next((line for line in reversed(lines) if line), "").lower()
    said, _, value = last.partition(":")
    return value.strip(DECORATION) if said.strip(DECORATION) == label else ""
