"""Ways to compute the loss and the gradients of one step that should all agree.

A comparison is a row of a table: two ways, and what it means if they differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from xturing.core.labels import IGNORE
from xturing.data.packing import PackedBatch, Window, best_fit, collate_windows
from xturing.models.checkpointing import checkpointed
from xturing.models.compiling import compiled_blocks
from xturing.models.folding import foldable_layers, folded_adapters
from xturing.models.isolation import isolating_mask
from xturing.models.loss import supervised_losses, trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.schedule import Epochs
from xturing.train.throughput import CPU_TOKENS
from xturing.train.verification.subject import Subject, packing_obstacle


@dataclass(frozen=True, eq=False)
class Computed:
    """The mean loss of a step, and its gradients."""

    loss: float
    """In nats per learnt token."""
    gradients: tuple[Tensor | None, ...]
    """Of the trained parameters in their order; None: it has no say in the loss."""


Way = Callable[[Subject], Computed]


@dataclass(frozen=True)
class Comparison:
    """Two ways that should agree."""

    name: str
    claim: str
    ways: tuple[Way, Way]
    meaning: str
    """What it means for the user if they do not."""
    obstacle: Callable[[Subject], str | None] = lambda _: None
    """Returns why it is not possible; None: it is."""


def together(subject: Subject) -> Computed:
    """Compute the step as one batch of all rows."""
    return _step(subject, len(subject.examples), 1)


def one_by_one(subject: Subject) -> Computed:
    """Compute the step by as many micro-batches of one row."""
    return _step(subject, 1, len(subject.examples))


def packed(subject: Subject) -> Computed:
    """Compute the step with the rows as documents of few windows."""
    batch = packed_batch(subject)
    losses = packed_losses(subject, batch)
    return _computed(subject, iter([losses.sum() / batch.supervised]))


def all_logits(subject: Subject) -> Computed:
    """Compute the loss as transformers does: logits of all tokens, most ignored."""

    def shares() -> Iterator[Tensor]:
        weight = subject.objective.weight(subject.examples)
        for example in subject.examples:
            batch = subject.objective.collate([example])
            device = next(subject.model.parameters()).device
            logits = subject.model(
                input_ids=torch.from_numpy(batch.input_ids).to(device),
                attention_mask=torch.from_numpy(batch.attention_mask).to(device),
                use_cache=False,
            ).logits
            labels = torch.from_numpy(batch.labels).to(device)
            losses = functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(),
                labels[:, 1:].flatten(),
                ignore_index=IGNORE,
                reduction="sum",
            )
            yield losses / weight

    return _computed(subject, shares())


def with_checkpoints(subject: Subject) -> Computed:
    """Compute the step with blocks that compute twice what they did not keep."""
    with checkpointed(subject.model):
        return together(subject)


def with_folded_adapters(subject: Subject) -> Computed:
    """Compute the step with adapters that are worked into the weights."""
    with folded_adapters(subject.model, CPU_TOKENS):
        return together(subject)


def with_compiled_blocks(subject: Subject) -> Computed:
    """Compute the step with blocks that were compiled, their adapters folded."""
    with folded_adapters(subject.model, CPU_TOKENS), compiled_blocks(subject.model):
        return together(subject)


COMPARISONS = (
    Comparison(
        name="accumulation",
        claim="one batch of all rows is as many batches of one row",
        ways=(together, one_by_one),
        meaning=(
            "What is learnt depends on how a step is divided: padding or other rows of "
            "a batch change a row's loss. Train with batch_size=1."
        ),
    ),
    Comparison(
        name="packing",
        claim="rows side by side are rows packed into one window",
        ways=(one_by_one, packed),
        meaning=(
            "Rows that share a window see each other, or stand at wrong positions: do "
            "not pack rows for this model."
        ),
        obstacle=packing_obstacle,
    ),
    Comparison(
        name="loss",
        claim="logits of learnt tokens alone give the loss that all logits give",
        ways=(one_by_one, all_logits),
        meaning=(
            "The loss is not the cross-entropy of the labels: the model does something "
            "with its logits that this version does not know. Please report its name."
        ),
    ),
    Comparison(
        name="checkpointing",
        claim="blocks that are computed twice give what plain ones give",
        ways=(together, with_checkpoints),
        meaning=(
            "Blocks compute something else the second time: train this model with "
            "gradient_checkpointing=false."
        ),
    ),
    Comparison(
        name="folding",
        claim="adapters worked into the weights give what those beside them give",
        ways=(together, with_folded_adapters),
        meaning=(
            "An adapter does something else than its formula says. Please report the "
            "model's name and the settings of its adapter."
        ),
        obstacle=lambda subject: (
            None
            if foldable_layers(subject.model, CPU_TOKENS)
            else "no layer has an adapter that is ever worked into its weight"
        ),
    ),
    Comparison(
        name="compiling",
        claim="compiled blocks give what plain ones give",
        ways=(together, with_compiled_blocks),
        meaning=(
            "The compiler makes something else of this model: train it with "
            "compile_blocks=false."
        ),
        obstacle=lambda subject: (
            "a batch of one row is never compiled"
            if len(subject.examples) == 1
            else None
        ),
    ),
)


def packed_batch(subject: Subject) -> PackedBatch:
    """Return the examples in about two windows, one of which has several."""
    examples = subject.examples
    lengths = [len(example) for example in examples]
    size = max(max(lengths) + min(lengths), -(-sum(lengths) // 2))
    plan = best_fit(lengths, size)
    windows = [Window(tuple(examples[index] for index in rows)) for rows in plan]
    return collate_windows(windows, subject.pad_id)


def packed_losses(subject: Subject, batch: PackedBatch) -> Tensor:
    """Return the losses of windows' learnt tokens, each alone with its document."""
    weight = next(subject.model.parameters())
    documents = torch.from_numpy(batch.document_ids).to(weight.device)
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    return supervised_losses(
        subject.model,
        torch.from_numpy(batch.input_ids).to(weight.device),
        torch.from_numpy(batch.labels).to(weight.device),
        isolating_mask(documents, dtype),
        torch.from_numpy(batch.position_ids).to(weight.device),
    )


def loss_difference(first: Computed, second: Computed) -> float:
    """Return the relative difference of two losses."""
    return _relative(abs(first.loss - second.loss), abs(first.loss))


def gradient_difference(first: Computed, second: Computed) -> float:
    """Return the L2 norm of the difference, over that of the first's gradients."""
    distance = length = 0.0
    for ours, theirs in zip(first.gradients, second.gradients, strict=True):
        # What has no say in the loss has a gradient of nothing.
        size, gap = _square(ours), _square(theirs)
        if ours is not None and theirs is not None:
            gap = _square(ours.double() - theirs.double())
        elif ours is not None:
            gap = size
        length, distance = length + size, distance + gap
    return _relative(distance**0.5, length**0.5)


def _square(tensor: Tensor | None) -> float:
    return 0.0 if tensor is None else float(tensor.double().square().sum())


def _relative(distance: float, length: float) -> float:
    if distance == 0:
        return 0.0
    return distance / length if length else float("inf")


def _step(subject: Subject, batch_size: int, accumulation: int) -> Computed:
    """Compute an optimizer step as the trainer divides and weighs it."""
    config = FinetuningConfig(
        batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    objective = subject.objective

    def shares() -> Iterator[Tensor]:
        for micro in Epochs(subject.examples, config, objective):
            scored = objective.score(subject.model, micro.batch, 0.0)
            yield scored.losses.sum() / micro.step_weight

    return _computed(subject, shares())


def _computed(subject: Subject, shares: Iterator[Tensor]) -> Computed:
    """Return the sums of a step's shares and of their gradients."""
    parameters = [parameter for _, parameter in trainable(subject.model)]
    loss = 0.0
    sums: list[Tensor | None] = [None] * len(parameters)
    for share in shares:
        loss += float(share.detach())
        # The parameters' own gradients are left alone.
        found = torch.autograd.grad(share, parameters, allow_unused=True)
        sums = [
            part if whole is None else whole if part is None else whole + part
            for whole, part in zip(sums, found, strict=True)
        ]
    return Computed(loss, tuple(sums))
