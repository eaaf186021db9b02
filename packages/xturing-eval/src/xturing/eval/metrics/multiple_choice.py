"""Which of a question's choices is the likeliest to the model."""

from collections.abc import Sequence

from xturing.core.errors import DataError
from xturing.eval.metrics import Need, share
from xturing.eval.metrics.loss import finite_nats
from xturing.eval.questions import Outcome, Question


class MultipleChoice:
    """The share of questions whose right choice is the likeliest.

    As a whole, and by the character: that its log-probability is divided by the
    characters of its choice, white space around it aside. These are `acc` and
    `acc_norm` of the lm-evaluation-harness. Of equally likely choices, the first
    counts.
    """

    name = "multiple_choice"
    needs: Need = "choices"
    figures = (share("choice_accuracy"), share("choice_accuracy_normalised", 2))

    def __init__(self, questions: Sequence[Question]) -> None:
        for question in questions:
            _refuse_unfit(question)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the likeliest is right, 1, and whether it is by character."""
        question = outcome.question
        nats = [
            finite_nats(choice, f"choice {index} of {question.place}")
            for index, choice in enumerate(outcome.choices)
        ]
        by_character = [
            one / len(text.strip())
            for one, text in zip(nats, question.choices, strict=True)
        ]
        return (
            float(nats.index(min(nats)) == question.right),
            1.0,
            float(by_character.index(min(by_character)) == question.right),
        )


def _refuse_unfit(question: Question) -> None:
    """Raise `DataError` if a question is none of multiple choice."""
    choices, right = question.choices, question.right
    if len(choices) < 2:
        raise DataError(
            f"{question.place} has {len(choices)} choices, but the metric "
            "'multiple_choice' needs two or more. Name the column that holds them "
            "(`choices` in a task), or use another metric."
        )
    for index, choice in enumerate(choices):
        if not choice.strip():
            raise DataError(
                f"Choice {index} of {question.place} is empty; a choice has some text."
            )
    if right is None or not 0 <= right < len(choices):
        raise DataError(
            f"{question.place} does not say which of its {len(choices)} choices is "
            f"right (it says {right}): that is an index from 0 to {len(choices) - 1}."
        )
