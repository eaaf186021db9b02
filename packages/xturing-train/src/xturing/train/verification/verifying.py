"""`verify`: a model, some of its rows, and everything that should hold of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from xturing.core.errors import CompileError, SettingsError, UnknownNameError
from xturing.core.events import tell
from xturing.core.names import suggestion
from xturing.data.datasets import BaseDataset, open_dataset
from xturing.data.examples import Example
from xturing.models.base import BaseModel
from xturing.models.lora import is_adapted
from xturing.quant.quantizing import shell
from xturing.train.dropout import without_dropout
from xturing.train.objectives.choosing import refuse_rows
from xturing.train.objectives.sft import Supervised
from xturing.train.runner import own_randomness
from xturing.train.verification.isolation import PROBES, Probe
from xturing.train.verification.loss_mask import wrongly_learnt
from xturing.train.verification.report import Check, Checked, Verification
from xturing.train.verification.subject import Subject
from xturing.train.verification.ways import (
    COMPARISONS,
    Comparison,
    Computed,
    Way,
    gradient_difference,
    loss_difference,
)

LOSS_MASK = "loss mask"
ROWS = 8
LOOKED_AT = 25
"""Rows that are looked at for each that is chosen."""
TOKENS = 1024
"""Of all rows in one batch, padding included, where there are rows short enough: what
is verified does not hang on lengths, but time and memory do."""
BOUND = 1e-4
"""In float32, sums in another order differ by less; a wrong mask by a thousand times
more."""
ROUGH_BOUND = 5e-2
"""In bfloat16, and with quantized layers that may round what they are given."""


def verify(
    model: BaseModel,
    dataset: object,
    *,
    rows: int = ROWS,
    bound: float | None = None,
    skip: Collection[str] = (),
) -> Verification:
    """Prove on some rows that a model learns what it should, however it is computed.

    Loss and gradients have to agree between batches and accumulated rows, rows side by
    side and packed, all logits and those of learnt tokens, plain, checkpointed and
    compiled blocks; only the assistant's words and their ends may be learnt; and no
    token may have a say in an earlier one, another row or another document. `rows` of
    differing lengths are chosen, the same ones every time. `bound` is the largest
    relative error that passes: 1e-4 in float32. Checks named in `skip` are left out.
    The model is left as it is; dropout is off.

    Raises:
        DataError: a row cannot be used.
        SettingsError: the rows are no conversations or texts, or settings do not fit
            the model.
        UnknownNameError: `skip` has a name that no check has.
    """
    if rows < 1:
        raise SettingsError(f"rows is {rows}, which leaves nothing to verify. Give 8.")
    _refuse_unknown(skip)
    opened = dataset if isinstance(dataset, BaseDataset) else open_dataset(dataset)
    refuse_rows("sft", opened)
    some = _spread(opened, rows * LOOKED_AT)
    objective = Supervised(pad_id=model.engine.pad_id)
    config = model.finetuning_config()
    encoded = objective.encode(some, model.engine.tokenizer, config)
    examples = _varied(encoded.units, rows)
    limit = _bound(model) if bound is None else bound
    with _ready(model) as network:
        subject = Subject(network, objective, examples, model.engine.pad_id)
        to_do = _to_do(subject, some, model.engine.tokenizer, limit)
        checks = _checked_one_by_one(
            [to_do[name] for name in to_do if name not in skip]
        )
    return Verification(
        model=model.config_name,
        rows=len(examples),
        tokens=sum(len(example) for example in examples),
        learnt=sum(example.supervised for example in examples),
        bound=limit,
        checks=checks,
    )


def _to_do(
    subject: Subject, dataset: BaseDataset, tokenizer: Any, bound: float
) -> dict[str, Callable[[], Check]]:
    """Return what makes each check, by its name."""
    known: dict[Way, Computed] = {}
    return {
        LOSS_MASK: lambda: _check_mask(subject, dataset, tokenizer),
        **{probe.name: partial(_probe, probe, subject, bound) for probe in PROBES},
        **{
            comparison.name: partial(_compare, comparison, subject, bound, known)
            for comparison in COMPARISONS
        },
    }


def _checked_one_by_one(to_do: Sequence[Callable[[], Check]]) -> tuple[Check, ...]:
    checks: list[Check] = []
    for check in to_do:
        checks.append(check())
        tell(Checked(check=checks[-1], number=len(checks), of=len(to_do)))
    return tuple(checks)


def _check_mask(subject: Subject, dataset: BaseDataset, tokenizer: Any) -> Check:
    fault = wrongly_learnt(subject, dataset, tokenizer)
    return Check(
        name=LOSS_MASK,
        claim="the words of the assistant and their ends are learnt, and nothing else",
        verdict="passed" if fault is None else "failed",
        reason=fault or "",
    )


def _probe(probe: Probe, subject: Subject, bound: float) -> Check:
    def errors() -> tuple[float, None]:
        return probe.change(short), None

    # What sees what does not hang on lengths, and logits of all tokens are large.
    half = subject.examples[: max(2, len(subject.examples) // 2)]
    short = replace(subject, examples=half)
    return _checked(probe, probe.obstacle(short), bound, errors)


def _compare(
    comparison: Comparison,
    subject: Subject,
    bound: float,
    known: dict[Way, Computed],
) -> Check:
    def errors() -> tuple[float, float]:
        for way in comparison.ways:
            if way not in known:
                known[way] = way(subject)
        first, second = (known[way] for way in comparison.ways)
        return loss_difference(first, second), gradient_difference(first, second)

    return _checked(comparison, comparison.obstacle(subject), bound, errors)


def _checked(
    claimed: Probe | Comparison,
    obstacle: str | None,
    bound: float,
    errors: Callable[[], tuple[float, float | None]],
) -> Check:
    check = Check(name=claimed.name, claim=claimed.claim, verdict="not possible")
    if obstacle is not None:
        return replace(check, reason=obstacle)
    try:
        loss, gradient = errors()
    except CompileError as error:
        return replace(check, reason=f"blocks cannot be compiled here ({error})")
    found = replace(check, loss_error=loss, gradient_error=gradient, verdict="passed")
    largest = found.largest_error
    # What is no number is not within the bound, either.
    if largest is not None and largest <= bound:
        return found
    return replace(found, verdict="failed", reason=claimed.meaning)


@contextmanager
def _ready(model: BaseModel) -> Iterator[Any]:
    """Yield the model as it is when it is trained, without touching the user's."""
    twin = copy(model)
    twin.engine = replace(model.engine, model=shell(model.engine.model))
    if not is_adapted(model.engine.model):
        # How an adapter starts is not what is verified, and may change base weights.
        twin._finetuning = model.finetuning_config().model_copy(  # noqa: SLF001
            update={"lora_init": "default"}
        )
    device = model.engine.device
    half = device.dtype is torch.bfloat16
    with own_randomness(0):
        network = twin.prepare_training().train()
        _awaken(network)
        with (
            without_dropout(network),
            torch.autocast(device.name, torch.bfloat16, enabled=half),
        ):
            yield network


def _awaken(network: Any) -> None:
    """Let an adapter that adds nothing yet add something, for all of it to count."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".lora_B." in name and not parameter.any():
                parameter.normal_(std=0.02)


def _bound(model: BaseModel) -> float:
    there = model.quantization
    rounds = there is not None and there.backend != "native"
    half = model.engine.device.dtype is not torch.float32
    return ROUGH_BOUND if rounds or half else BOUND


def _refuse_unknown(names: Collection[str]) -> None:
    known = [LOSS_MASK, *(each.name for each in (*PROBES, *COMPARISONS))]
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"There is no check '{name}' to skip. {suggestion(name, known)}"
            )


def _spread(dataset: BaseDataset, count: int) -> BaseDataset:
    """Return so many rows, or all, from the first to the last."""
    return dataset.select(_evenly(len(dataset), count))


def _varied(units: Sequence[Example], count: int) -> tuple[Example, ...]:
    """Return so many examples, from the shortest to the longest that is allowed."""
    by_length = sorted(units, key=len)
    allowed = [unit for unit in by_length if len(unit) <= TOKENS // count]
    if len(allowed) < count:
        allowed = by_length[:count]
    return tuple(allowed[index] for index in _evenly(len(allowed), count))


def _evenly(there: int, wanted: int) -> list[int]:
    if wanted >= there:
        return list(range(there))
    if wanted == 1:
        return [there - 1]
    return [round(n * (there - 1) / (wanted - 1)) for n in range(wanted)]
