"""Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv 2402.01306)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.errors import DataError
from xturing.data.batches import Batch, collate
from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.ledger import Book
from xturing.data.lengths import fit
from xturing.data.pairs import Judged, encode_judgements
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Scored, Units, filled
from xturing.train.objectives.comparison import tally_judgements
from xturing.train.objectives.reference import (
    keep_reference,
    log_probabilities,
    reference_of,
    without_adapter,
)
from xturing.train.scoring import score_answers


def kto_losses(
    log_ratios: Tensor,
    is_wanted: Tensor,
    divergence: float,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return the loss of each judgement, of shape (judgements,).

    `log_ratios` are log(policy / reference) of whole answers in nats, `divergence` is
    the policy's from the reference: weight (1 - sigmoid(beta (ratio - divergence)))
    where the answer is wanted, with the difference turned round where it is not
    (equation 8 of the paper).
    """
    lead = beta * (log_ratios - divergence)
    wanted = desirable_weight * torch.sigmoid(-lead)
    return torch.where(is_wanted, wanted, undesirable_weight * torch.sigmoid(lead))


@dataclass(frozen=True, eq=False)
class JudgedUnit:
    """A judged answer, and one to another prompt that is put after its prompt."""

    answer: Example
    mismatched: Example
    """Nothing of it is learnt; it tells how far the model is from its reference."""
    is_wanted: bool
    reference: tuple[float, ...] = ()
    """Log-probabilities of the two under the reference in nats, if they are kept."""

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def row(self) -> int:
        """Index of its row in the dataset."""
        return self.answer.row

    @property
    def examples(self) -> tuple[Example, ...]:
        """What is scored."""
        return self.answer, self.mismatched

    @property
    def supervised(self) -> int:
        """How many tokens it adds to the loss."""
        return self.answer.supervised

    def referred(self, log_probabilities: tuple[float, ...]) -> "JudgedUnit":
        """Return the judgement with the reference's log-probabilities."""
        return replace(self, reference=log_probabilities)


@dataclass(frozen=True, eq=False)
class JudgedBatch(Batch):
    """Judged answers side by side."""

    is_wanted: NDArray[np.bool_]
    reference: NDArray[np.float32] | None
    """Log-probabilities of the rows under the reference in nats, if they are kept."""


@dataclass(frozen=True, kw_only=True)
class KahnemanTversky:
    """KTO. Its units are judgements, which weigh what their verdict's weight says."""

    pad_id: int
    batch_size: int
    beta: float
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    # The reference has none.
    has_dropout: bool = False
    sequences_per_unit: int = 2

    @classmethod
    def of(cls, config: FinetuningConfig, pad_id: int) -> "KahnemanTversky":
        """Return the objective that the settings describe."""
        return cls(
            pad_id=pad_id,
            batch_size=config.batch_size,
            beta=config.beta,
            desirable_weight=config.desirable_weight,
            undesirable_weight=config.undesirable_weight,
        )

    def encode(
        self, dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
    ) -> Units:
        """Return judgements, each with the answer of another beside it.

        Raises:
            DataError: there is but one; or a row is too long.
        """
        verdicts: dict[int, bool] = {}

        def answers(judgements: Sequence[Judged]) -> Sequence[Example]:
            verdicts.update((one.example.row, one.is_wanted) for one in judgements)
            return [one.example for one in judgements]

        book = Book()
        judged = answers(list(encode_judgements(dataset.records(), tokenizer)))
        kept = list(fit(judged, config.max_length, config.length_policy, book))
        if len(kept) < 2:
            raise DataError(
                f"{dataset.origin} has {len(kept)} judgement to learn from, but KTO "
                "compares each prompt with the answer of another. Give it more rows."
            )
        units = tuple(
            JudgedUnit(
                answer, mismatch(answer, other, config.max_length), verdicts[answer.row]
            )
            for answer, other in zip(kept, others(kept), strict=True)
        )
        return Units(units, filled(book.ledger(), dataset, config.max_length))

    def prepare(self, model: Any, units: Sequence[JudgedUnit]) -> Sequence[Any]:
        """Return the judgements with the reference's log-probabilities, if kept."""
        return keep_reference(
            model, units, pad_id=self.pad_id, batch_size=self.batch_size
        )

    def collate(self, units: Sequence[JudgedUnit]) -> JudgedBatch:
        """Return the judged answers side by side."""
        batch = collate([unit.answer for unit in units], self.pad_id)
        kept = [unit.reference for unit in units]
        return JudgedBatch(
            batch.input_ids,
            batch.labels,
            batch.attention_mask,
            np.array([unit.is_wanted for unit in units]),
            np.array(kept, dtype=np.float32)[:, 0] if all(kept) else None,
        )

    def weight(self, units: Sequence[JudgedUnit]) -> int:
        """Return the number of judgements."""
        return len(units)

    def baseline(self, model: Any, units: Sequence[JudgedUnit]) -> float:
        """Return the divergence from the reference in nats, estimated for the units.

        The mean log(policy / reference) of answers put after prompts that are not
        theirs, and at least 0 (section 4.1 of the paper).
        """
        examples = [unit.mismatched for unit in units]
        reference = [unit.reference[1] for unit in units if unit.reference]
        if not reference:
            with without_adapter(model):
                reference = log_probabilities(
                    model, examples, self.pad_id, self.batch_size
                )
        ours = log_probabilities(model, examples, self.pad_id, self.batch_size)
        return max((sum(ours) - sum(reference)) / len(units), 0.0)

    def score(self, model: Any, batch: JudgedBatch, baseline: float) -> Scored:
        """Return each judgement's loss; its reward is beta log(policy / reference)."""
        reference = reference_of(model, batch, batch.reference)
        answers = score_answers(model, batch)
        ours = answers.log_probabilities
        is_wanted = torch.from_numpy(batch.is_wanted).to(ours.device)
        ratios = ours - reference
        losses = kto_losses(
            ratios,
            is_wanted,
            baseline,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        rewards, nats = self.beta * ratios.detach(), ours.detach()
        tally = tally_judgements(
            (rewards[is_wanted], rewards[~is_wanted]),
            (nats[is_wanted], nats[~is_wanted]),
            self.beta * baseline,
        )
        return Scored(losses, answers.total, tally)


def mismatch(prompt: Example, answer: Example, max_length: int) -> Example:
    """Return one example's prompt with the answer of another, cut to `max_length`."""
    start, other = prompt.first_learnt, answer.first_learnt
    return replace(
        prompt,
        ids=np.concatenate([prompt.ids[:start], answer.ids[other:]])[:max_length],
        parts=np.concatenate([prompt.parts[:start], answer.parts[other:]])[:max_length],
    )


def others(examples: Sequence[Example]) -> Sequence[Example]:
    """Return for each example the next one that has another prompt.

    The last is followed by the first. Where all have the same prompt, it is the next.
    """
    prompts = [example.ids[: example.first_learnt].tobytes() for example in examples]
    count = len(examples)
    found = [(index + 1) % count for index in range(count)]
    # Twice round, from the end: what follows the last is known the second time.
    for index in [*reversed(range(count)), *reversed(range(count))]:
        following = (index + 1) % count
        if prompts[following] == prompts[index]:
            found[index] = found[following]
    return [
        examples[other if other != index else (index + 1) % count]
        for index, other in enumerate(found)
    ]
