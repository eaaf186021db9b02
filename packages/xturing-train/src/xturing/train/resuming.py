"""Where a run begins: at its first step, or at a checkpoint that it fits to."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xturing.core.errors import (
    LedgerError,
    OutputError,
    SettingsError,
    TrainingError,
)
from xturing.core.events import tell
from xturing.core.files import refuse_used
from xturing.data.examples import Example
from xturing.models.base import BaseModel
from xturing.models.folders import CARD_FILE
from xturing.models.settings import FinetuningConfig
from xturing.train.checkpoints import (
    PREFIX,
    Snapshot,
    fault,
    is_checkpoint,
    newest_whole,
    read_checkpoint,
    step_of,
)
from xturing.train.events import CheckpointSkipped, RunResumed
from xturing.train.objectives.base import Units
from xturing.train.report import LEDGER_FILE, REPORT_FILE

IDLE_SETTINGS = {
    "encoding_cache",
    "encoding_workers",
    "gradient_checkpointing",
    "logging_steps",
    "output_dir",
    "report",
    "report_samples",
    "return_memory",
    "save_steps",
    "save_total_limit",
    "trackers",
}
"""Settings without a say in what is learnt: they may change when a run is resumed."""
NOT_THERE = "none"
VALUES_LOOKED_AT = 64
"""Of each frozen weight, to tell two base models apart."""


def resume_place(
    resume: bool | str | Path, output_dir: Path
) -> tuple[Path, Path | None]:
    """Return the folder of the run that is meant, and the checkpoint if one is named.

    Raises:
        OutputError: the run has ended already, or the folder holds no run.
    """
    path = output_dir if isinstance(resume, bool) else Path(resume).expanduser()
    folder, checkpoint = (path.parent, path) if is_checkpoint(path) else (path, None)
    if _has_ended(folder):
        raise OutputError(
            f"The run in {folder} has ended, so there is nothing to go on with. Open "
            f"its model with BaseModel.load('{folder}'), or name another folder."
        )
    if not _is_unfinished(folder):
        refuse_used(folder)
    return folder, checkpoint


def refuse_taken(folder: Path) -> None:
    """Raise `OutputError` if a folder for a new run holds something."""
    if _is_unfinished(folder) and any(folder.iterdir()):
        raise OutputError(
            f"{folder} is in use: it holds a run that was interrupted. Go on with it "
            "by resume=True (--resume), or name another folder."
        )
    refuse_used(folder)


def find_start(folder: Path, checkpoint: Path | None) -> Snapshot | None:
    """Return what to go on from, and tell what was passed over; None: the beginning.

    `checkpoint` is the one to take, or None for the newest that is whole. What killed
    processes left half-written is removed.

    Raises:
        TrainingError: the one to take is not whole.
    """
    _remove_drafts(folder)
    if checkpoint is not None:
        reason = fault(checkpoint)
        if reason is not None:
            raise TrainingError(
                f"{checkpoint} cannot be gone on from: {reason}. Pass "
                f"resume='{folder}' to take the newest checkpoint that is whole."
            )
    else:
        checkpoint, skipped = newest_whole(folder)
        for path, reason in skipped.items():
            tell(CheckpointSkipped(path=path, reason=reason))
    step = step_of(checkpoint) if checkpoint is not None else 0
    tell(RunResumed(step=step, path=checkpoint))
    return read_checkpoint(checkpoint) if checkpoint is not None else None


def identity(
    model: BaseModel,
    config: FinetuningConfig,
    training: Units,
    held_out: Units | None,
) -> dict[str, dict[str, Any]]:
    """Return all that decides what a run learns, for a JSON file.

    The model is one that `prepare_training` has prepared.
    """
    settings = config.model_dump(mode="json", exclude=IDLE_SETTINGS)
    return {
        "setting": settings,
        "model": {"name": model.config_name, "base weights": _frozen_digest(model)},
        "data": {
            "training rows": _described(training),
            "held-out rows": _described(held_out) if held_out else NOT_THERE,
        },
    }


def refuse_other(
    then: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    """Raise `SettingsError` if a run was given other things than it is now."""
    if differences := _differences(then, now, ("then", "now")):
        raise SettingsError(
            "The run cannot be resumed, as it would not be the same any more: "
            f"{differences}. Give what was given then, or start a new run in another "
            "folder."
        )


def refuse_unlike(
    first: dict[str, dict[str, Any]], own: dict[str, dict[str, Any]]
) -> None:
    """Raise `SettingsError` if processes of one run were given different things."""
    where = "in the first process", "in another"
    if differences := _differences(first, own, where):
        raise SettingsError(
            "The processes of the run were given different things: "
            f"{differences}. Have all of them open the same model and the same rows."
        )


def _differences(
    one: dict[str, dict[str, Any]],
    other: dict[str, dict[str, Any]],
    named: tuple[str, str],
) -> str:
    return "; ".join(
        f"{kind} {name}: {_get(one, kind, name)} {named[0]}, "
        f"{_get(other, kind, name)} {named[1]}"
        for kind in other
        for name in sorted(one.get(kind, {}).keys() | other[kind].keys())
        if _get(one, kind, name) != _get(other, kind, name)
    )


@contextmanager
def naming_last_checkpoint(folder: Path) -> Iterator[None]:
    """Have errors say which checkpoint is the last good one."""
    try:
        yield
    except LedgerError:
        # What was learnt cannot be trusted, in checkpoints neither.
        raise
    except (TrainingError, OutputError) as error:
        path, _ = newest_whole(folder)
        last = f"The last good checkpoint is {path}." if path else "None was saved yet."
        raise type(error)(f"{error} {last}") from error


def _has_ended(folder: Path) -> bool:
    """Tell whether a folder holds a tuned model and the last word on it."""
    return (folder / CARD_FILE).is_file() and (folder / REPORT_FILE).is_file()


def _is_unfinished(folder: Path) -> bool:
    """Tell whether a folder holds a run that did not come to its end, or its drafts."""
    if not folder.is_dir() or _has_ended(folder):
        return False
    left = [path for path in folder.iterdir() if not _is_draft(path)]
    return (folder / LEDGER_FILE).is_file() or not left


def _get(identity: dict[str, dict[str, Any]], kind: str, name: str) -> object:
    return identity.get(kind, {}).get(name, NOT_THERE)


def _remove_drafts(folder: Path) -> None:
    """Remove what a killed process left half-written, and tell of checkpoints."""
    for path in sorted(folder.glob(".*")) if folder.is_dir() else ():
        if not _is_draft(path):
            continue
        if path.name.startswith(f".{PREFIX}"):
            tell(CheckpointSkipped(path=path, reason="it was being written"))
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix in (".part", ".old")


def _described(part: Units) -> str:
    digest, tokens = hashlib.sha256(), 0
    for unit in part.units:
        # A judgement's verdict is in none of its tokens.
        digest.update(f"{getattr(unit, 'is_wanted', None)}".encode())
        for example in _examples(unit):
            tokens += len(example)
            digest.update(len(example).to_bytes(8, "little"))
            digest.update(example.ids.tobytes())
            digest.update(example.parts.tobytes())
    shown = digest.hexdigest()[:12]
    return f"{len(part.units):,} with {tokens:,} tokens (SHA-256 {shown}…)"


def _examples(unit: Any) -> tuple[Example, ...]:
    return (unit,) if isinstance(unit, Example) else unit.examples


def _frozen_digest(model: BaseModel) -> str:
    digest = hashlib.sha256()
    for name, parameter in model.engine.model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        weight = parameter.data
        # Packed weights are of classes with ways of their own; the others tell enough.
        if not parameter.requires_grad and type(weight) is torch.Tensor:
            start = weight.reshape(-1)[:VALUES_LOOKED_AT]
            digest.update(start.cpu().double().numpy().tobytes())
    return digest.hexdigest()[:12]
