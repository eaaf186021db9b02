"""Whether an answer is of a pattern."""

import re
from collections.abc import Sequence
from typing import Literal

from xturing.core.errors import SettingsError
from xturing.eval.metrics import Need, share
from xturing.eval.questions import Outcome, Question


class Regex:
    """The share of answers that are of a pattern, in Python's regular expressions.

    They `must` match it as a whole, or contain what it matches. No reference is needed.
    """

    name = "regex"
    needs: Need = "answers"
    figures = (share("regex_match"),)

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        pattern: str,
        must: Literal["match", "contain"] = "contain",
    ) -> None:
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise SettingsError(
                f"The pattern {pattern!r} of the metric 'regex' is no regular "
                f"expression: {error}."
            ) from error
        self._matches = compiled.search if must == "contain" else compiled.fullmatch

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the answer is of the pattern, and 1."""
        return float(self._matches(outcome.answer) is not None), 1.0
