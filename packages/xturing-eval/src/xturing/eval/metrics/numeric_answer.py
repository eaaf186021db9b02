"""The number that an answer comes to, compared by its value."""

import re
from collections.abc import Sequence
from decimal import Decimal

from xturing.core.errors import DataError
from xturing.data.wording import brief
from xturing.eval.metrics import Need, pair, references, share
from xturing.eval.questions import Outcome, Question

# A minus after a word or a number is a dash, or takes something away.
_NUMBER = re.compile(
    r"""
    (?P<minus> (?<![\w)]) [-−] [$€£]? )?
    (?P<digits>
        (?: \d{1,3} (?: ,\d{2,3} )* ,\d{3} (?!\d) | \d+ ) (?: \.\d+ )?
        | \.\d+
    )
    (?P<power> e [-+]? \d{1,3} \b )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MARKED = re.compile(rf"\#\#\#\# \s* [$€£]? (?: {_NUMBER.pattern} )", _NUMBER.flags)


class NumericAnswer:
    """The share of answers whose number is that of the reference.

    The strict figure reads the number after the last `####`, as answers of GSM8K have
    it (Cobbe et al. 2021, arXiv 2110.14168); the other one takes the last number where
    there is none. 1,000 is 1000.0; currencies, percent and a full stop do not count.
    """

    name = "numeric_answer"
    needs: Need = "answers"
    figures = (share("numeric_match"), share("numeric_match_strict", 2))

    def __init__(self, questions: Sequence[Question]) -> None:
        for question, reference in zip(
            questions, references(questions, self.name), strict=True
        ):
            if final_number(reference) is None:
                raise DataError(
                    f"The reference of {question.place} has no number, but is "
                    f"{brief(reference)}. The metric 'numeric_answer' needs one; use "
                    "'exact_match' for answers in words."
                )

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the number is right, 1, and whether the marked one is."""
        answer, reference = pair(outcome, self.name)
        wanted = final_number(reference)
        return (
            float(final_number(answer) == wanted),
            1.0,
            float(marked_number(answer) == wanted),
        )


def final_number(text: str) -> Decimal | None:
    """Return the number after the last `####`, or else the last one of all."""
    marked = marked_number(text)
    return _last(_NUMBER, text) if marked is None else marked


def marked_number(text: str) -> Decimal | None:
    """Return the number after the last `####` that has one."""
    return _last(_MARKED, text)


def _last(pattern: re.Pattern[str], text: str) -> Decimal | None:
    *_, found = (None, *pattern.finditer(text))
    if found is None:
        return None
    number = Decimal(found["digits"].replace(",", "") + (found["power"] or ""))
    # A minus sign by itself would round to 28 digits.
    return number.copy_negate() if found["minus"] else number
