"""Whether what runs is the model that it was made of, and how far from it.

A graph with whole weights has to have the model's own logits: anything else is a wrong
conversion. What rounding the weights does to them is measured.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xturing.models.fidelity import bundled_rows
from xturing.models.inference.openvino.library import unfit
from xturing.models.inference.runner import Runner, Work
from xturing.quant import Fidelity, report

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest logit."""
LEAST_AGREEMENT = 0.9
CHECKED = 48
"""Tokens that two texts are compared over."""


def texts(model: "BaseModel", context_length: int | None) -> list[Tensor]:
    """Return the bundled text in windows of token ids of shape (1, seq)."""
    rows: list[Any] = bundled_rows(model)
    return [row[:, :context_length].cpu() for row in rows]


def read(runner: Runner, row: list[int]) -> NDArray[Any]:
    """Return a text's logits, of shape (tokens, vocabulary), read in every way.

    First half of it at once, then token by token, with another text beside it.
    """
    half = (len(row) + 1) // 2
    own, other = runner.open(len(row)), runner.open(len(row))
    steps = [[Work(own, row[:half], half)], [Work(other, row[:half], 0)]]
    steps += [[Work(other, [i], 0), Work(own, [i])] for i in row[half:]]
    logits = [runner.step(work) for work in steps]
    runner.release(own)
    runner.release(other)
    return np.concatenate(logits)


def refuse_unlike(module: Any, runner: Runner, row: Tensor, name: str) -> None:
    """Raise `ModelError` if a runner's logits are not those of the torch model."""
    with torch.inference_mode():
        expected = module(input_ids=row, use_cache=False).logits[0].numpy()
    found = difference(read(runner, row[0].tolist()), expected)
    # Not a number is no agreement either.
    if not found <= TOLERANCE:
        raise unfit(
            name,
            f"its logits there differ from torch's by {found:.2g} of the largest, and "
            f"{TOLERANCE:g} is allowed",
        )


def difference(logits: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference, as a share of the largest number expected."""
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


def fidelity(module: Any, runner: Runner, rows: list[Tensor]) -> Fidelity:
    """Return how far a runner is from the torch model over some texts."""
    return report(module, _Ran(runner), rows)


class _Ran(nn.Module):
    """A runner as a torch model that returns logits of shape (1, seq, vocabulary)."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, ids: Tensor) -> Tensor:
        row = ids[0].tolist()
        cache = self._runner.open(len(row))
        logits = self._runner.step([Work(cache, row, len(row))])
        self._runner.release(cache)
        return torch.from_numpy(logits)[None]
