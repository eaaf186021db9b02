"""What quantization did to a model, in figures."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from xturing.core.labels import IGNORE
from xturing.quant.calibration import evaluating
from xturing.quant.layers import packed_weights
from xturing.quant.quantizing import quantized_modules, shell

Row = Tensor | tuple[Tensor, Tensor]
CHUNK = 256
"""Positions whose logits are compared at once."""


@dataclass(frozen=True, kw_only=True)
class LayerFidelity:
    """How well one weight was kept."""

    name: str
    decibels: float
    """10 log10 of the weight's energy over that of its error."""
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How far a model is from the one it was made of."""

    positions: int
    """Outputs that were compared."""
    divergence: float
    """Mean Kullback-Leibler divergence from the original's distribution, in nats."""
    top1_agreement: float
    """Share of the positions with the same most likely output."""
    loss_before: float | None
    """Mean loss in nats a token; None where the rows have no labels."""
    loss_after: float | None
    layers: tuple[LayerFidelity, ...]

    @property
    def loss_increase(self) -> float | None:
        """The loss after less that before, in nats a token."""
        if self.loss_before is None or self.loss_after is None:
            return None
        return self.loss_after - self.loss_before

    @property
    def bytes_before(self) -> int:
        """Bytes of the weights that were quantized."""
        return sum(layer.bytes_before for layer in self.layers)

    @property
    def bytes_after(self) -> int:
        """Bytes they have now."""
        return sum(layer.bytes_after for layer in self.layers)

    @property
    def decibels(self) -> float | None:
        """The mean of the layers' signal-to-noise ratios."""
        values = [layer.decibels for layer in self.layers]
        return sum(values) / len(values) if values else None


def report(original: nn.Module, quantized: nn.Module, rows: Iterable[Row]) -> Fidelity:
    """Compare a model with what was made of it, on the same rows.

    A row is an input of the models, or an input and labels as long as it, `IGNORE`
    (-100) where nothing counts. Token ids of shape (batch, seq) without labels are
    their own: the logits at a position are for the token after it. For other inputs
    there is no loss, and every output counts.
    """
    totals = _Totals()
    with evaluating(original, quantized), torch.inference_mode():
        for row in rows:
            inputs, labels = row if isinstance(row, tuple) else (row, _labels(row))
            totals.add(_logits(original, inputs), _logits(quantized, inputs), labels)
    return Fidelity(
        positions=totals.positions,
        divergence=totals.divergence / max(totals.positions, 1),
        top1_agreement=totals.agreeing / max(totals.positions, 1),
        loss_before=totals.mean(totals.loss_before),
        loss_after=totals.mean(totals.loss_after),
        layers=tuple(_layers(original, quantized)),
    )


class _Totals:
    def __init__(self) -> None:
        self.positions = self.learnt = self.agreeing = 0
        self.divergence = self.loss_before = self.loss_after = 0.0

    def add(self, before: Tensor, after: Tensor, labels: Tensor | None) -> None:
        if labels is None:
            before, after = before.flatten(0, -2), after.flatten(0, -2)
            targets = None
        else:
            counts = labels[:, 1:] != IGNORE
            before, after = before[:, :-1][counts], after[:, :-1][counts]
            targets = labels[:, 1:][counts]
        for start in range(0, before.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            chosen = None if targets is None else targets[part]
            self._compare(before[part], after[part], chosen)

    def _compare(self, before: Tensor, after: Tensor, targets: Tensor | None) -> None:
        p = functional.log_softmax(before.float(), -1)
        q = functional.log_softmax(after.float(), -1)
        self.positions += p.shape[0]
        self.divergence += float(
            functional.kl_div(q, p, reduction="sum", log_target=True)
        )
        self.agreeing += int((p.argmax(-1) == q.argmax(-1)).sum())
        if targets is not None:
            self.learnt += len(targets)
            self.loss_before += float(functional.nll_loss(p, targets, reduction="sum"))
            self.loss_after += float(functional.nll_loss(q, targets, reduction="sum"))

    def mean(self, total: float) -> float | None:
        return total / self.learnt if self.learnt else None


def _labels(inputs: Tensor) -> Tensor | None:
    is_tokens = inputs.ndim == 2 and not inputs.is_floating_point()
    return inputs if is_tokens else None


def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    output = model(inputs)
    return getattr(output, "logits", output)


def _layers(original: nn.Module, quantized: nn.Module) -> Iterator[LayerFidelity]:
    modules = dict(original.named_modules())
    for name, (backend, module) in quantized_modules(quantized).items():
        parts = list(packed_weights(module)) or ["weight"]
        before = [getattr(modules[name], part).detach() for part in parts]
        dense = backend.dequantize(shell(module))
        after = [getattr(dense, part).detach() for part in parts]
        yield LayerFidelity(
            name=name,
            decibels=_decibels(list(zip(before, after, strict=True))),
            bytes_before=sum(weight.nbytes for weight in before),
            bytes_after=sum(part.nbytes for part in backend.tensors(module).values()),
        )


def _decibels(pairs: list[tuple[Tensor, Tensor]]) -> float:
    signal = sum(float(before.float().square().sum()) for before, _ in pairs)
    noise = sum(
        float((before.float() - after.float()).square().sum())
        for before, after in pairs
    )
    return 10 * math.log10(signal / noise) if noise and signal else math.inf
