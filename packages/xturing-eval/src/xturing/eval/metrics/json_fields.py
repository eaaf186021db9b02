"""Answers that are JSON objects, and which of their fields are right."""

from collections.abc import Sequence
from functools import partial
from json import JSONDecoder
from typing import Any, NoReturn

from xturing.core.errors import DataError
from xturing.data.json_text import DECODER
from xturing.data.wording import brief
from xturing.eval.metrics import Figure, Need, over, pair, references, share
from xturing.eval.questions import Outcome, Question


class JsonFields:
    """The share of answers that equal the reference as JSON objects.

    Also that of answers that are one JSON object and nothing else, and that of the
    references' fields that the answer has with an equal value. The order of fields does
    not count; 1 is 1.0, but not true.
    """

    name = "json_fields"
    needs: Need = "answers"
    figures = (
        share("json_match"),
        share("valid_json", 2),
        Figure(name="field_accuracy", of=partial(over, part=3, whole=4)),
    )

    def __init__(self, questions: Sequence[Question]) -> None:
        for question, reference in zip(
            questions, references(questions, self.name), strict=True
        ):
            _reference_of(question, reference)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether it matches, 1, whether it is JSON, right fields and fields."""
        answer, reference = pair(outcome, self.name)
        wanted = _reference_of(outcome.question, reference)
        try:
            found = json_object(answer)
        except ValueError:
            return 0.0, 1.0, 0.0, 0.0, float(len(wanted))
        right = sum(
            name in found and is_same(found[name], value)
            for name, value in wanted.items()
        )
        is_right = right == len(wanted) == len(found)
        return float(is_right), 1.0, 1.0, float(right), float(len(wanted))


def json_object(text: str) -> dict[str, Any]:
    """Return the object that a text is in JSON, white space around it aside.

    Raises:
        ValueError: it is anything else, or has a key twice.
    """
    try:
        value = _STRICT.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")  # noqa: TRY004  # of a text, not an argument
    return value


def is_same(one: object, other: object) -> bool:
    """Tell whether two values of JSON are equal; true and 1 are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_same(one[key], other[key]) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _reference_of(question: Question, reference: str) -> dict[str, Any]:
    try:
        return json_object(reference)
    except ValueError as error:
        raise DataError(
            f"The reference of {question.place} is not a JSON object ({error}), but "
            f"{brief(reference)}. The metric 'json_fields' needs one, such as "
            '{"name": "Ada"}.'
        ) from None


def _refuse(constant: str) -> NoReturn:
    # Python reads NaN and Infinity, which JSON does not have.
    raise ValueError(f"{constant} is no number of JSON")


_STRICT = JSONDecoder(
    object_pairs_hook=DECODER.object_pairs_hook, parse_constant=_refuse
)
