"""How likely given answers are to a model: references, and choices."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from xturing.data.encoding import encode_records
from xturing.data.examples import Example, Part
from xturing.data.records import Placed
from xturing.eval.answering import refuse_without_template
from xturing.eval.keeping import Found, Kept, key_of, work_through
from xturing.eval.passages import Passage
from xturing.eval.perplexity import passages_of, refuse_long
from xturing.eval.questions import Likelihood, Question
from xturing.eval.scoring import Group, Scorer
from xturing.models.base import BaseModel

OpenKept = Callable[[str, str], Kept]
"""Takes the name of some work and the key of all that it depends on."""


def references_of(
    model: BaseModel,
    questions: Sequence[Question],
    open_kept: OpenKept,
    *,
    work: str = "references",
    batch_size: int | None = None,
) -> list[Likelihood | None]:
    """Return how likely each question's reference is, its end token included.

    None where there is no record of one. Plain texts that are longer than the model
    reads are scored window by window.

    Raises:
        DataError: another row is too long for the model.
        ModelError: the model has no chat template, but questions are chats.
    """
    for question in questions:
        refuse_without_template(model, question)
    placed = [
        Placed(question.record, question.place)
        for question in questions
        if question.record is not None
    ]
    examples = list(encode_records(placed, model.engine.tokenizer))
    parts = [passages_of(example, model) for example in examples]
    scored = _scored(model, parts, open_kept, work, batch_size)
    found = iter(
        _likelihood(part, _words(example, model))
        for part, example in zip(scored, examples, strict=True)
    )
    return [next(found) if q.record is not None else None for q in questions]


def choices_of(
    model: BaseModel,
    questions: Sequence[Question],
    open_kept: OpenKept,
    *,
    batch_size: int | None = None,
) -> list[tuple[Likelihood, ...]]:
    """Return how likely each question's choices are, without their end tokens.

    Raises:
        DataError: a row is too long for the model.
        ModelError: the model has no chat template, but questions are chats.
    """
    for question in questions:
        refuse_without_template(model, question)
    placed = [
        Placed(question.answered(choice), question.place)
        for question in questions
        for choice in question.choices
    ]
    words = [choice for question in questions for choice in question.choices]
    examples = list(encode_records(placed, model.engine.tokenizer))
    for example in examples:
        refuse_long(example, model)
    parts = [[Passage.of(example, with_end=False)] for example in examples]
    scored = _scored(model, parts, open_kept, "choices", batch_size)
    found = iter(map(_likelihood, scored, words))
    return [tuple(next(found) for _ in question.choices) for question in questions]


def _scored(
    model: BaseModel,
    parts: Sequence[Sequence[Passage]],
    open_kept: OpenKept,
    work: str,
    batch_size: int | None,
) -> list[list[Any]]:
    """Return nats, tokens and whether all are likeliest, for each part's passages."""
    passages = [passage for part in parts for passage in part]
    scorer = Scorer(model.engine, batch_size=batch_size)
    key = key_of(
        [[p.ids.tolist(), p.is_scored.astype(int).tolist()] for p in passages],
        batch_size,
    )
    batches = [
        partial(_score, scorer, passages, groups) for groups in scorer.plan(passages)
    ]
    found = work_through(work, open_kept(work, key), batches)
    ordered = iter(found[index] for index in range(len(passages)))
    return [[next(ordered) for _ in part] for part in parts]


def _score(
    scorer: Scorer, passages: Sequence[Passage], groups: Sequence[Group]
) -> Found:
    return {
        index: [each.nats, len(each.losses), bool(each.is_likeliest.all())]
        for index, each in scorer.score(passages, groups).items()
    }


def _likelihood(parts: Sequence[Any], words: str) -> Likelihood:
    return Likelihood(
        nats=math.fsum(nats for nats, _, _ in parts),
        tokens=sum(tokens for _, tokens, _ in parts),
        bytes=len(words.encode("utf-8", "surrogatepass")),
        is_likeliest=all(is_likeliest for _, _, is_likeliest in parts),
    )


def _words(example: Example, model: BaseModel) -> str:
    answer = example.ids[example.parts == Part.ANSWER].tolist()
    return model.engine.tokenizer.decode(answer, skip_special_tokens=True)
