"""Answers of the base and of the tuned model to a few held-out rows.

Knows nothing of chats: a prompt is the ids that stand before a row's last answer, which
are those that the model is served.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from xturing.data.examples import Example, Part
from xturing.models.base import BaseModel
from xturing.models.generation import Answer, generate
from xturing.models.settings import GenerationConfig

LONGEST_ANSWER = 96
"""Most tokens that are generated for a sample."""
SPARE = 16
"""Tokens that an answer may have beyond twice its reference's."""
CHANGES_BASE = ("pissa", "olora")
"""Starts of an adapter that take a part of the base weights into it."""


@dataclass(frozen=True)
class Question:
    """What a sample asks: a row up to its last answer, and that answer."""

    place: str
    prompt: tuple[int, ...]
    reference: tuple[int, ...]

    @property
    def limit(self) -> int:
        """Most tokens of an answer; a good one should have ended by then."""
        return min(2 * len(self.reference) + SPARE, LONGEST_ANSWER)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A held-out row, and what the two models answer."""

    place: str
    prompt: str
    reference: str
    base: Answer
    tuned: Answer


def choose(
    examples: Sequence[Example], count: int, *, context_length: int | None, seed: int
) -> list[Question]:
    """Return what to ask: rows of the shorter half, drawn by the seed.

    A text that answers nothing is divided in the middle.
    """
    asked = [_question(example) for example in examples if example.supervised]
    if context_length is not None:
        asked = [one for one in asked if len(one.prompt) + one.limit <= context_length]
    asked.sort(key=lambda one: len(one.prompt) + len(one.reference))
    shorter = asked[: max(len(asked) // 2, count)]
    return random.Random(seed).sample(shorter, min(count, len(shorter)))


def ask(model: BaseModel, questions: Sequence[Question]) -> tuple[Answer, ...]:
    """Return the model's most likely answers, in order."""
    if not questions:
        return ()
    limit = max(question.limit for question in questions)
    limit = min(limit, model.generation_config().max_new_tokens)
    answers = generate(
        model.engine,
        [question.prompt for question in questions],
        GenerationConfig(max_new_tokens=limit),
        len(questions),
    )
    return tuple(answers)


def paired(
    model: BaseModel,
    questions: Sequence[Question],
    base: Sequence[Answer],
    tuned: Sequence[Answer],
) -> tuple[Sample, ...]:
    """Return the questions in words, with both answers."""

    def words(ids: Sequence[int]) -> str:
        return model.engine.tokenizer.decode(list(ids), skip_special_tokens=True)

    return tuple(
        Sample(
            place=question.place,
            prompt=words(question.prompt),
            reference=words(question.reference),
            base=before,
            tuned=after,
        )
        for question, before, after in zip(questions, base, tuned, strict=True)
    )


@contextmanager
def as_base(model: BaseModel) -> Iterator[None]:
    """Switch an adapter off for as long as the base is asked.

    One that took a part of the base weights with it stays on: without it, they are no
    model's.
    """
    config = model.finetuning_config()
    stays = not model.has_adapter or config.lora_init in CHANGES_BASE
    with nullcontext() if stays else model.engine.model.disable_adapter():
        yield


def _question(example: Example) -> Question:
    learnt = example.parts >= Part.ANSWER
    end = int(np.flatnonzero(learnt)[-1]) + 1
    if example.is_divisible:
        start = max(end // 2, 1)
    else:
        begins = learnt[1:] & ~learnt[:-1]
        start = int(np.flatnonzero(begins)[-1]) + 1
    ids = example.ids.tolist()
    return Question(example.place, tuple(ids[:start]), tuple(ids[start:end]))
