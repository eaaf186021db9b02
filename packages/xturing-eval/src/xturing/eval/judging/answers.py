"""The answers that are judged, and the questions they are to."""

import json
from collections.abc import Mapping
from typing import Any

from xturing.core.errors import DataError
from xturing.eval.questions import Outcome, Question
from xturing.eval.results import Result


def answered(result: Result) -> tuple[Outcome, ...]:
    """Return what a model made of the questions.

    Raises:
        DataError: there is a question without an answer, or none at all.
    """
    silent = [outcome for outcome in result.outcomes if not outcome.answers]
    if silent or not result.outcomes:
        where = f" to {silent[0].question.place}" if silent else ""
        raise DataError(
            f"The result of {result.model} has no answer{where}: nothing was "
            "generated, so there is nothing to judge. Evaluate it with a metric that "
            "reads answers, such as rouge."
        )
    return result.outcomes


def paired(base: Result, other: Result) -> list[tuple[Outcome, Outcome]]:
    """Return what two models made of the same questions.

    Raises:
        DataError: one has no answers, or the questions are not the same.
    """
    ours, theirs = answered(base), answered(other)
    if len(ours) != len(theirs):
        raise DataError(
            f"{base.model} answered {len(ours)} questions and {other.model} "
            f"{len(theirs)}. Only answers to the same questions can be compared: "
            "evaluate both models on the same task."
        )
    pairs = list(zip(ours, theirs, strict=True))
    for one, another in pairs:
        if _asked(one.question) != _asked(another.question):
            raise DataError(
                f"{base.model} and {other.model} were asked different things: "
                f"{one.question.place} and {another.question.place}. Evaluate both "
                "models on the same task."
            )
    return pairs


def question_text(question: Question) -> str:
    """Return a question as a judge reads it."""
    prompt = question.prompt
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return prompt[0]["content"]
    return "\n\n".join(_turn(message) for message in prompt)


def _turn(message: Mapping[str, Any]) -> str:
    if set(message) == {"role", "content"}:
        return f"{message['role']}: {message['content']}"
    return json.dumps(message, ensure_ascii=False, default=str)


def _asked(question: Question) -> tuple[object, str | None]:
    return question.prompt, question.reference
