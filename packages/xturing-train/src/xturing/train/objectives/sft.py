"""Supervised fine-tuning, and going on with pre-training on plain texts.

Every learnt token weighs the same: of answers, those of the assistant; of texts, all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.data.batches import Batch, collate
from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.data.encoding import encode
from xturing.data.examples import Example
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Scored, Units
from xturing.train.scoring import token_losses


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """The cross-entropy of learnt tokens. Its units are examples."""

    pad_id: int
    label_smoothing: float = 0.0
    """Share of each target that is spread over the vocabulary while training."""
    has_dropout: bool = True
    sequences_per_unit: int = 1

    @classmethod
    def of(cls, config: FinetuningConfig, pad_id: int) -> "Supervised":
        """Return the objective that the settings describe."""
        return cls(pad_id=pad_id, label_smoothing=config.label_smoothing)

    def encode(
        self, dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
    ) -> Units:
        """Return the rows as examples, from a cache and by workers if so set."""
        cache = config.encoding_cache
        encoded = encode(
            dataset,
            tokenizer,
            max_length=config.max_length,
            length_policy=config.length_policy,
            workers=config.encoding_workers,
            cache=None if cache is None else Path(cache).expanduser(),
        )
        return Units(encoded.examples, encoded.ledger)

    def prepare(self, model: Any, units: Sequence[Example]) -> Sequence[Example]:
        """Return the examples as they are."""
        return units

    def collate(self, units: Sequence[Example]) -> Batch:
        """Return examples side by side."""
        return collate(units, self.pad_id)

    def weight(self, units: Sequence[Example]) -> int:
        """Return the number of learnt tokens."""
        return sum(example.supervised for example in units)

    def baseline(self, model: Any, units: Sequence[Example]) -> float:
        """Return nothing of interest: each token's loss is its own."""
        return 0.0

    def score(self, model: Any, batch: Batch, baseline: float) -> Scored:
        """Return the loss of each learnt token; it is smoothed only in training."""
        smoothing = self.label_smoothing if model.training else 0.0
        losses = token_losses(model, batch, smoothing)
        return Scored(losses, len(losses), token_losses=losses.detach())
