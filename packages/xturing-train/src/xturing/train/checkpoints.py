"""Checkpoints: folders that `BaseModel.load` opens and that a run can go on from.

    checkpoint-40/
    ├── manifest.json         size and SHA-256 of every other file
    ├── training/
    │   ├── state.safetensors what is trained, the optimizer's memory, randomness
    │   ├── progress.json     the rest: steps so far, and what the run was given
    │   └── metrics.jsonl     as it was
    └── …                     the model, as `BaseModel.save` writes it

What is trained is there twice: a model's own files are for everyone to open, under
names and in an order that are not the run's.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xturing.core.files import new_folder, sha256, write_json
from xturing.models.base import BaseModel
from xturing.models.generation import Answer
from xturing.train.state import Progress, Tensors

PREFIX = "checkpoint-"
MANIFEST = "manifest.json"
FORMAT_VERSION = 2
TRAINING = "training"
TENSORS = "state.safetensors"
PROGRESS = "progress.json"
METRICS = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at the end of a step."""

    progress: Progress
    tensors: Tensors
    optimizer: dict[str, Any]
    """What the optimizer remembers beside tensors."""
    identity: dict[str, Any]
    """What the run was given, see `identity`."""
    metrics: str
    """Text of metrics.jsonl."""
    forecast: dict[str, Any] | None = None
    """What was decided of a run with limits, see `Forecast.state`."""
    answers: tuple[Answer, ...] = ()
    """The base's, to rows that the report shows."""


def save_checkpoint(
    model: BaseModel, folder: Path, snapshot: Snapshot, limit: int
) -> Path:
    """Write a checkpoint and, when it is whole, keep `limit` of them.

    Raises:
        OutputError: the disk is full.
    """
    from safetensors.torch import save_file

    step = snapshot.progress.step
    path = folder / f"{PREFIX}{step}"
    with new_folder(path, overwrite=True) as draft:
        model.write_to(draft)
        training = draft / TRAINING
        training.mkdir()
        save_file(snapshot.tensors, training / TENSORS)
        (training / METRICS).write_text(snapshot.metrics, encoding="utf-8")
        numbers = {
            "progress": snapshot.progress.as_dict(),
            "optimizer": snapshot.optimizer,
            "identity": snapshot.identity,
            "forecast": snapshot.forecast,
            "answers": [asdict(answer) for answer in snapshot.answers],
        }
        write_json(training / PROGRESS, numbers)
        _write_manifest(draft)
    # Those of later steps are damaged, or else the run would have begun there: they
    # must not push out what is whole.
    for old in [each for each in checkpoints(folder) if step_of(each) <= step][:-limit]:
        shutil.rmtree(old)
    return path


def read_checkpoint(path: Path) -> Snapshot:
    """Return what a checkpoint without a fault holds."""
    from safetensors.torch import load_file

    training = path / TRAINING
    numbers = json.loads((training / PROGRESS).read_text(encoding="utf-8"))
    return Snapshot(
        progress=Progress.from_dict(numbers["progress"]),
        tensors=load_file(training / TENSORS),
        optimizer=numbers["optimizer"],
        identity=numbers["identity"],
        forecast=numbers.get("forecast"),
        metrics=(training / METRICS).read_text(encoding="utf-8"),
        answers=tuple(Answer(**each) for each in numbers["answers"]),
    )


def fault(path: Path) -> str | None:
    """Return why a checkpoint cannot be gone on from, or None if it can."""
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"it has no {MANIFEST}, so it is not whole"
    except (OSError, UnicodeDecodeError) as error:
        return f"its {MANIFEST} cannot be read: {error}"
    try:
        manifest = json.loads(text)
        version, files = manifest["format"], manifest["files"]
        listed = [(path / name, f["size"], f["sha256"]) for name, f in files.items()]
        listed_names = {str(name) for name in files}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} is damaged"
    if version != FORMAT_VERSION:
        return f"it has format {version}, and this version reads {FORMAT_VERSION}"
    if not {f"{TRAINING}/{name}" for name in (TENSORS, PROGRESS)} <= listed_names:
        return f"its {MANIFEST} is damaged"
    faults = (_file_fault(*each) for each in listed)
    return next((reason for reason in faults if reason), None)


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """Return the newest checkpoint without a fault, and the faults of newer ones."""
    skipped: dict[Path, str] = {}
    for path in reversed(checkpoints(folder)):
        reason = fault(path)
        if reason is None:
            return path, skipped
        skipped[path] = reason
    return None, skipped


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if is_checkpoint(path)]
    return sorted(found, key=step_of)


def is_checkpoint(path: Path) -> bool:
    """Tell whether a folder has a checkpoint's name."""
    number = path.name.removeprefix(PREFIX)
    return path.name.startswith(PREFIX) and number.isdecimal() and path.is_dir()


def step_of(path: Path) -> int:
    """Return the step that a checkpoint was made after, by its name."""
    return int(path.name.removeprefix(PREFIX))


def _write_manifest(draft: Path) -> None:
    files = {
        file.relative_to(draft).as_posix(): {
            "size": file.stat().st_size,
            "sha256": sha256(file),
        }
        for file in sorted(draft.rglob("*"))
        if file.is_file()
    }
    manifest = {"format": FORMAT_VERSION, "files": files}
    text = json.dumps(manifest, separators=(",", ":"))
    (draft / MANIFEST).write_text(text, encoding="utf-8")


def _file_fault(file: Path, size: int, digest: str) -> str | None:
    try:
        there = file.stat().st_size
        if there != size:
            return f"{file.name} has {there:,} bytes in place of {size:,}"
        if sha256(file) != digest:
            return f"{file.name} is damaged: its checksum is not the manifest's"
    except FileNotFoundError:
        return f"{file.name} is missing"
    except OSError as error:
        return f"{file.name} cannot be read: {error}"
    return None
