"""The folder of a run: what is asked for in it, by whom, and what came of it.

A run is a function of its settings and its journal: to begin it again goes through the
same steps, with the answers that are there. So nothing but the journal is needed to go
on, and all other files are written anew at the end.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError, OutputError, SettingsError
from xturing.core.files import read_json, write_json, write_text
from xturing.core.journals import LOCK, sole_user
from xturing.data import InstructionDataset
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.exchange import Usage
from xturing.selfinstruct.journal import JOURNAL, Journal
from xturing.selfinstruct.reporting import write_card, write_report

RUN = "run.json"
SUMMARY = "summary.json"
DATASET = "sampled_generated.jsonl"
MESSAGES = "messages.jsonl"
REJECTED = "rejected.jsonl"

FREE_TO_CHANGE = ("num_instructions", "num_instructions_for_finetuning", "patience")
"""Settings of which another value asks for more or less of the same."""
HASHED = ("seeds", "passages")
"""What of a run is known by its hash only."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far a step of the work has come."""

    name: str
    requests: int
    found: int
    """Texts in the answers."""
    accepted: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a run."""

    folder: Path
    stages: tuple[Stage, ...]
    rows: int
    """Of the dataset."""
    rejected: Mapping[str, int]
    """How many texts were left out for each reason."""
    requests: int
    """That were sent, by earlier processes and in vain, too."""
    usage: Usage
    cost: float | None
    """US dollars; None if prices are not known."""
    stopped: str | None
    """The cap that ended the run, in words; None: it came to its end."""

    @property
    def dataset_file(self) -> Path:
        """The rows: instruction, text and target."""
        return self.folder / DATASET

    def dataset(self) -> InstructionDataset:
        """Return the rows that were made.

        Raises:
            DataError: there are none.
        """
        if not self.rows:
            raise DataError(
                f"{self.folder} has no rows"
                f"{f', because {self.stopped}' if self.stopped else ''}. "
                f"{REJECTED} in it says what was left out, and why."
            )
        return InstructionDataset(self.dataset_file)


@contextmanager
def opened(
    folder: Path, identity: Mapping[str, Any], *, is_resumed: bool = False
) -> Iterator[Journal]:
    """Yield the journal of a run, which nobody else uses meanwhile.

    `identity` is what the run is: its settings, engine, prompts and sources.

    Raises:
        OutputError: another process works in the folder, or it holds other things; or
            there is no run in it, and one is to be resumed.
        SettingsError: the run there was begun with other settings.
    """
    known = folder / RUN
    if is_resumed and not known.exists():
        raise OutputError(
            f"There is no run in {folder} to resume. Leave out --resume to begin one, "
            "or name the folder of the run."
        )
    if not known.exists():
        _refuse_strangers(folder)
    with sole_user(folder):
        if known.exists():
            _refuse_changes(folder, read_json(known), identity)
        write_json(known, identity)
        yield Journal(folder / JOURNAL)


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a value that JSON can hold."""
    written = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines, in place of an older one."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(folder / name, "".join(lines))


def finish(
    folder: Path,
    identity: Mapping[str, Any],
    asking: Asking[Any],
    stages: Sequence[Stage],
    rows: Sequence[Mapping[str, Any]],
) -> Run:
    """Write the dataset and what is told about it, and return it."""
    caller = asking.caller
    run = Run(
        folder=folder,
        stages=tuple(stages),
        rows=len(rows),
        rejected=asking.rejections.by_reason(),
        requests=caller.purse.sent,
        usage=caller.purse.spent,
        cost=caller.purse.cost,
        stopped=caller.stopped,
    )
    write_rows(folder, DATASET, rows)
    write_rows(folder, REJECTED, asking.rejections.as_dicts())
    write_json(folder / SUMMARY, _summary(identity, run))
    write_report(folder)
    write_card(folder)
    return run


def _summary(identity: Mapping[str, Any], run: Run) -> dict[str, Any]:
    return {
        **identity,
        "stages": [dict(vars(stage)) for stage in run.stages],
        "rows": run.rows,
        "rejected": dict(run.rejected),
        "requests": run.requests,
        "usage": dict(vars(run.usage)),
        "cost": run.cost,
        "stopped": run.stopped,
    }


def _refuse_strangers(folder: Path) -> None:
    if folder.is_file() or (
        folder.is_dir() and any(file.name != LOCK for file in folder.iterdir())
    ):
        raise OutputError(
            f"{folder} holds other things than a run, and nothing in it was touched. "
            "Name another folder."
        )


def _refuse_changes(folder: Path, before: Any, now: Mapping[str, Any]) -> None:
    old, new = _flat(before), _flat(json.loads(json.dumps(now)))
    changes = [
        _change(name, old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
        and name.removeprefix("settings.") not in FREE_TO_CHANGE
    ]
    if changes:
        raise SettingsError(
            f"{folder} holds a run that was begun otherwise: {'; '.join(changes)}. "
            "Begin it as it was begun, or name another folder for this one."
        )


def _change(name: str, before: object, now: object) -> str:
    if name in HASHED or name.startswith("prompts."):
        return f"the {name.replace('prompts.', 'prompt ')} had other words"
    return f"{name.removeprefix('settings.')} was {before!r} and is {now!r}"


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = inner
    return flat
