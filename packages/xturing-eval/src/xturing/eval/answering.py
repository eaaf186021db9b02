"""Answers that a model writes to questions, batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from xturing.core.errors import DataError, ModelError
from xturing.eval.keeping import Found, Kept, key_of, work_through
from xturing.eval.questions import Question, Written
from xturing.models.base import BaseModel
from xturing.models.generation import Answer, generate, prompt_tokens
from xturing.models.settings import GenerationConfig

Ids = list[int]


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How answers are written: greedily, unless there is a temperature."""

    max_new_tokens: int
    batch_size: int = 8
    """Answers that are written at once."""
    samples: int = 1
    """Answers to each question."""
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    """Texts before which an answer is cut."""
    seed: int = 0

    def config(self, number: int) -> GenerationConfig:
        """Return the settings for a batch, whose number decides what is drawn."""
        if self.temperature is None:
            return GenerationConfig(max_new_tokens=self.max_new_tokens)
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=True,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=int(key_of(self.seed, number)[:12], 16),
        )


def answers_of(
    model: BaseModel,
    questions: Sequence[Question],
    manner: Manner,
    open_kept: Callable[[str, str], Kept],
) -> list[tuple[Written, ...]]:
    """Return the answers to each question; `open_kept` takes the work and its key.

    Raises:
        ModelError: the model has no chat template, but questions are chats.
        DataError: a prompt leaves the model no room to answer.
    """
    prompts = [_ids(model, question, manner) for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    size = manner.batch_size
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    # A sample of a question is an item of its own.
    count = len(questions)
    batches = [
        partial(_write, model, prompts, part, sample * count, manner, number)
        for number, (sample, part) in enumerate(
            (sample, part) for sample in range(manner.samples) for part in parts
        )
    ]
    kept = open_kept("answers", key_of(prompts, asdict(manner)))
    found = work_through("answers", kept, batches)
    return [
        tuple(
            Written(**found[sample * count + index]) for sample in range(manner.samples)
        )
        for index in range(count)
    ]


def _write(
    model: BaseModel,
    prompts: Sequence[Ids],
    part: Sequence[int],
    first: int,
    manner: Manner,
    number: int,
) -> Found:
    asked = [prompts[index] for index in part]
    written = generate(model.engine, asked, manner.config(number), len(part))
    return {
        first + index: asdict(_cut(answer, manner.stop))
        for index, answer in zip(part, written, strict=True)
    }


def _cut(answer: Answer, stops: Sequence[str]) -> Written:
    written = Written(text=answer.text, tokens=answer.tokens, stopped=answer.stopped)
    ends = [at for stop in stops if (at := answer.text.find(stop)) >= 0]
    if not ends:
        return written
    return replace(written, text=answer.text[: min(ends)], stopped=True)


def _ids(model: BaseModel, question: Question, manner: Manner) -> Ids:
    is_raw = isinstance(question.prompt, str)
    refuse_without_template(model, question)
    if not question.prompt:
        raise DataError(
            f"{question.place} has no prompt that an answer could be written to. Of "
            "plain texts, only the loss can be taken: --metrics loss."
        )
    ids = prompt_tokens(model.engine.tokenizer, question.prompt, raw=is_raw)
    most = model.engine.context_length
    if most is not None and len(ids) + manner.max_new_tokens > most:
        raise DataError(
            f"{question.place}: the prompt has {len(ids):,} tokens, which with "
            f"{manner.max_new_tokens:,} for an answer is more than the {most:,} that "
            "the model reads. Shorten it, or set max_new_tokens lower."
        )
    return ids


def refuse_without_template(model: BaseModel, question: Question) -> None:
    """Raise `ModelError` if a chat is to be written, but the model does not say how."""
    template = getattr(model.engine.tokenizer, "chat_template", None)
    if not isinstance(question.prompt, str) and not template:
        raise ModelError(
            f"'{model.config_name}' has no chat template, but {question.place} is a "
            "chat. Name one with --chat-template (chatml, llama3, … or a .jinja file), "
            "or use a task that has a 'prompt' in place of 'messages'."
        )
