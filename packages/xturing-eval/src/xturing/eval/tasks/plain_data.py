"""Questions of data without a task, and a version of what they ask."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from xturing.core.errors import DataError
from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Placed,
    Preference,
    Record,
)
from xturing.data.turns import spoken
from xturing.eval.questions import Question
from xturing.eval.tasks.answered import answered
from xturing.eval.tasks.asking import check_limit

if TYPE_CHECKING:
    from xturing.data.datasets import BaseDataset

VERSION_DIGITS = 12


def questions_of_dataset(
    dataset: "BaseDataset", *, limit: int | None = None
) -> list[Question]:
    """Return what rows ask; with a limit, the first of these questions.

    Of a conversation, the assistant's last turn is right; of a preference, the chosen
    answer; of judgements, the wanted ones are asked. A text without a prompt asks for
    nothing: only its loss can be taken.

    Raises:
        DataError: no row asks anything.
    """
    check_limit(limit)
    found = islice(_asked(dataset), limit)
    questions = [
        _question(index, record, placed.place, fields)
        for index, (record, placed, fields) in enumerate(found)
    ]
    if not questions:
        raise DataError(
            f"{dataset.origin} has no row with an answer that is wanted, so there is "
            "nothing to compare with."
        )
    return questions


def dataset_version(questions: Sequence[Question]) -> str:
    """Return the start of a SHA-256 over what is asked and what is right."""
    digest = hashlib.sha256()
    for question in questions:
        record = question.record if question.reference is None else None
        parts = (
            question.prompt,
            question.reference,
            question.choices,
            question.right,
            record and asdict(record),
        )
        digest.update(json.dumps(parts, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()[:VERSION_DIGITS]


def _asked(
    dataset: "BaseDataset",
) -> Iterator[tuple[Conversation | Document, Placed, Mapping[str, Any]]]:
    for placed, fields in zip(dataset.records(), dataset, strict=True):
        record = _wanted(placed.record)
        if record is not None:
            yield record, placed, fields


def _wanted(record: Record) -> Conversation | Document | None:
    match record:
        case Preference(prompt=prompt, chosen=chosen, tools=tools):
            return Conversation((*prompt, *chosen), tools)
        case Judgement(conversation=conversation, is_wanted=is_wanted):
            return conversation if is_wanted else None
    return record


def _question(
    index: int,
    record: Conversation | Document,
    place: str,
    fields: Mapping[str, Any],
) -> Question:
    if isinstance(record, Document):
        prompt = record.prompt
        reference = record.text if prompt else None
    else:
        turns = record.prompt
        answer = record.messages[len(turns)]
        record = answered(turns, answer, record.tools)
        prompt = [spoken(turn) for turn in turns]
        # An answer that only calls tools has no words to compare.
        reference = answer.content or None
    return Question(
        row=index,
        place=place,
        prompt=prompt,
        record=record,
        reference=reference,
        fields=fields,
    )
