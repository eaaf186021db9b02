"""How likely texts are to a model: perplexity of rows, and of plain text of any length.

Nats are summed up over tokens and divided once, so that no batch has a say in them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError, SettingsError
from xturing.data.datasets import BaseDataset
from xturing.data.encoding import encode_records
from xturing.data.examples import Example
from xturing.eval.passages import Passage
from xturing.eval.scoring import Scorer
from xturing.models.base import BaseModel

LONGEST_WINDOW = 2048
"""Tokens of a window of plain text, if the model reads more than that."""


@dataclass(frozen=True, kw_only=True)
class TextLikelihood:
    """How likely some tokens are to a model."""

    nats: float
    """Minus the sum of their log-probabilities."""
    tokens: int
    bytes: int
    """Of their words in UTF-8."""

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        # A hopeless model's perplexity is beyond what a float holds.
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits that the model needs for a byte of text; tokenizers do not matter."""
        return self.nats / (math.log(2) * self.bytes)


def perplexity(
    model: BaseModel, dataset: BaseDataset, *, batch_size: int | None = None
) -> float:
    """Return the perplexity of a dataset's learnt tokens.

    That is exp(total nats / learnt tokens), the same for any `batch_size`. Plain texts
    that are longer than the model reads are divided into windows.

    Raises:
        DataError: another row has more tokens than the model can read.
    """
    examples = list(encode_records(dataset.records(), model.engine.tokenizer))
    passages = [part for each in examples for part in passages_of(each, model)]
    if not passages:
        raise DataError(
            f"{dataset.origin} holds nothing to score: no row has an answer."
        )
    scored = Scorer(model.engine, batch_size=batch_size).score_all(passages)
    total = TextLikelihood(
        nats=math.fsum(each.nats for each in scored),
        tokens=sum(len(each.losses) for each in scored),
        bytes=0,
    )
    return total.perplexity


def text_likelihood(
    model: BaseModel,
    text: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    batch_size: int | None = None,
) -> TextLikelihood:
    """Return how likely a plain text is, read through a window that slides over it.

    Each token is scored once, after at least `window - stride` tokens where there are
    so many. `window` is what the model reads, or 2048, and `stride` half of it, if they
    are left out. The first token, which nothing comes before, is not scored, unless
    the tokenizer starts texts with a token of its own.

    Raises:
        DataError: the text has less than two tokens.
        SettingsError: the window or stride is out of range.
    """
    tokenizer = model.engine.tokenizer
    ids = np.array(tokenizer(text)["input_ids"], dtype=np.int64)
    if len(ids) < 2:
        raise DataError(
            f"{text[:40]!r} has {len(ids)} tokens, but only what comes after another "
            "token can be scored. Give a text of some words."
        )
    width = window or _longest(model)
    if width < 2 or (model.engine.context_length or width) < width:
        raise SettingsError(
            f"window is {width}, but is between 2 and {_most(model)} tokens."
        )
    is_scored = np.arange(len(ids)) > 0
    passages = windows(ids, is_scored, width, width // 2 if stride is None else stride)
    scored = Scorer(model.engine, batch_size=batch_size).score_all(passages)
    opening = tokenizer.decode(ids[:1], skip_special_tokens=True)
    return TextLikelihood(
        nats=math.fsum(each.nats for each in scored),
        tokens=int(is_scored.sum()),
        bytes=len(text.encode()) - len(opening.encode()),
    )


def windows(
    ids: NDArray[np.int64], is_scored: NDArray[np.bool_], width: int, stride: int
) -> list[Passage]:
    """Return windows of a text in which each token that is scored is scored once.

    Raises:
        SettingsError: the stride is not between 1 and the window's width.
    """
    if not 1 <= stride < max(width, 2):
        raise SettingsError(
            f"stride is {stride}, but is between 1 and {width - 1}, less than the "
            "window, so that each token comes after another."
        )
    found, done = [], 0
    for start in range(0, len(ids), stride):
        end = min(start + width, len(ids))
        here = is_scored[start:end].copy()
        here[: done - start] = False
        if here.any():
            found.append(Passage(ids[start:end], here))
        done = end
        if end == len(ids):
            break
    return found


def passages_of(example: Example, model: BaseModel) -> list[Passage]:
    """Return what is scored of a row: nothing, all at once, or window by window.

    Raises:
        DataError: it is too long for the model, and no plain text.
    """
    if not example.supervised:
        return []
    whole = Passage.of(example)
    most = model.engine.context_length
    if not example.is_divisible or most is None or len(example) <= most:
        refuse_long(example, model)
        return [whole]
    width = _longest(model)
    return windows(whole.ids, whole.is_scored, width, width // 2)


def refuse_long(example: Example, model: BaseModel) -> None:
    """Raise `DataError` if a row has more tokens than the model reads."""
    most = model.engine.context_length
    if most is not None and len(example) > most:
        raise DataError(
            f"{example.place} has {len(example):,} tokens, but the model reads "
            f"{most:,} at most. Shorten it, or leave it out."
        )


def _longest(model: BaseModel) -> int:
    return min(model.engine.context_length or LONGEST_WINDOW, LONGEST_WINDOW)


def _most(model: BaseModel) -> str:
    return f"{model.engine.context_length or 'any number of'}"
