"""Metrics for rows of which the user names none, by what their answers look like."""

import json
import re
from collections.abc import Sequence

from xturing.eval.questions import Question

MOST_LABELS = 20
LONGEST_LABEL = 40
"""Characters."""
ROWS_A_LABEL = 2
"""Fewest rows that a label has, on average."""

_NUMBER = re.compile(r"####\s*[-+$]?\s*[.\d]")

_LATIN = re.compile(r"[a-z0-9]", re.IGNORECASE)


def automatic_metrics(questions: Sequence[Question]) -> tuple[str, ...]:
    """Return the names of metrics that suit questions, the foremost first."""
    if any(question.choices for question in questions):
        return ("multiple_choice",)
    loss = ("loss",) if all(each.record is not None for each in questions) else ()
    references = [each.reference for each in questions if each.reference is not None]
    if len(references) < len(questions):
        # Without a reference for each row, answers have nothing to be compared with.
        return loss or ("self_stopping", "repetition")
    return *loss, *_comparing(references), "self_stopping", "repetition"


def _comparing(references: Sequence[str]) -> tuple[str, ...]:
    if all(map(_is_object, references)):
        return ("json_fields",)
    if all(map(_NUMBER.search, references)):
        return ("numeric_answer",)
    if _are_labels(references):
        return ("labels",)
    # ROUGE reads no other words.
    has_latin = all(map(_LATIN.search, references))
    return "exact_match", "token_f1", "rouge" if has_latin else "chrf"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _are_labels(references: Sequence[str]) -> bool:
    labels = set(references)
    return (
        len(labels) <= MOST_LABELS
        and len(references) >= ROWS_A_LABEL * len(labels)
        and max(map(len, labels), default=0) <= LONGEST_LABEL
    )
