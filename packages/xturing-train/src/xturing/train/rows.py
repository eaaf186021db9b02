"""Users' rows as tensors, to compare models on and to calibrate quantization on.

Rows are encoded as for training, so that what is compared is what would be learnt.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xturing.data.datasets import BaseDataset
from xturing.data.encoding import encode
from xturing.data.examples import Example
from xturing.models.base import BaseModel
from xturing.train.evaluation import NO_LIMIT


def token_rows(model: BaseModel, dataset: BaseDataset) -> list[Tensor]:
    """Return the token ids of each row, of shape (1, seq), on the model's device.

    Raises:
        DataError: a row has more tokens than the model can read.
    """
    return [_row(example.ids, model) for example in _examples(model, dataset)]


def labelled_rows(
    model: BaseModel, dataset: BaseDataset
) -> list[tuple[Tensor, Tensor]]:
    """Return the token ids and labels of each row, both of shape (1, seq).

    Labels line up with the ids; `IGNORE` marks what is not learnt.

    Raises:
        DataError: a row has more tokens than the model can read.
    """
    return [
        (_row(example.ids, model), _row(example.labels, model))
        for example in _examples(model, dataset)
    ]


def _examples(model: BaseModel, dataset: BaseDataset) -> Sequence[Example]:
    limit = model.engine.context_length or NO_LIMIT
    return encode(dataset, model.engine.tokenizer, max_length=limit).examples


def _row(values: Any, model: BaseModel) -> Tensor:
    return torch.from_numpy(values)[None].long().to(model.engine.device.name)
