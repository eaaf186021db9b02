"""Runs of several processes, as torchrun would start them.

As a program it reads a run as a line of JSON, takes it with as many processes as it is
told, and answers with a line of JSON: what became of each of them. Libraries are
imported once: each process is a fork.
"""

import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from line_process import LineProcess

SUPPORT = Path(__file__).parent
LIBRARIES = (
    "bitsandbytes",
    "deepspeed",
    "deepspeed.ops.adam",
    "interrupted",
    "lightning.pytorch",
    "peft",
    "torch.distributed.fsdp",
    "transformers",
    "xturing.train.finetuning",
)
PATIENCE = 240.0
"""Seconds after which a run is taken to hang."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run. What happens to a process happens after a step."""

    base: str
    folder: str
    processes: int = 1
    full: bool = False
    """Whether all weights are trained."""
    settings: dict[str, Any] = field(default_factory=dict)
    rows: str = "instructions"
    resume: bool = False
    fate: str | None = None
    """What happens to one of them: it is asked to `stop`, it `fails`, or it `dies`."""
    fated: int = 1
    """The process that it happens to."""
    step: int = 3


class Team:
    """Such a program."""

    def __init__(self) -> None:
        self._process = LineProcess(__file__)

    def run(self, job: Job) -> list[dict[str, Any]]:
        """Return what became of each process."""
        return self._process.ask(asdict(job))

    def close(self) -> None:
        self._process.close()


def finished(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the first process reports, if all of them came to the end."""
    for outcome in outcomes:
        assert outcome["error"] is None, outcome["trace"]
    return outcomes[0]


def serve() -> None:
    # What libraries write is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        outcomes = _carry_out(Job(**json.loads(line)))
        answers.write(json.dumps(outcomes) + "\n")
        answers.flush()


def _carry_out(job: Job) -> list[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [os.pipe() for _ in range(job.processes)]
    children = []
    for rank, (_, write) in enumerate(pipes):
        child = os.fork()
        if not child:
            _live(job, rank, port, write)
        children.append(child)
        os.close(write)
    try:
        until = time.monotonic() + PATIENCE
        while _are_alive(children) and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return [_read(read) for read, _ in pipes]


def _are_alive(children: list[int]) -> bool:
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return any(os.waitid(os.P_PID, child, options) is None for child in children)


def _read(pipe: int) -> dict[str, Any]:
    with os.fdopen(pipe) as file:
        text = file.read()
    return json.loads(text) if text else {"error": "dead", "trace": "it said nothing"}


def _live(job: Job, rank: int, port: int, pipe: int) -> None:
    """Be a process of the run."""
    outcome: dict[str, Any] = {"error": None}
    try:
        outcome |= _finetune(job, rank, port)
    except BaseException as error:  # noqa: BLE001  # told to the one who asks
        kind = type(error).__name__
        outcome = {"error": kind, "text": str(error), "trace": traceback.format_exc()}
    with os.fdopen(pipe, "w") as file:
        file.write(json.dumps(outcome))
    os._exit(0)


def _finetune(job: Job, rank: int, port: int) -> dict[str, Any]:
    import interrupted
    import tiny

    from xturing.train.strategies.place import Place

    if job.processes > 1:
        place = Place(rank=rank, local_rank=rank, per_node=job.processes, port=port)
        os.environ.update(place.variables)
    if rank == job.fated and job.fate is not None:
        _await_fate(job.fate, job.step)
    model = interrupted.run(
        Path(job.base), Path(job.folder), full=job.full, **job.settings
    )
    rows: Any = tiny.ROWS
    if job.rows == "judgements":
        rows = [
            {"prompt": row["instruction"], "completion": row["target"], "label": good}
            for row, good in zip(
                tiny.ROWS, [True, False] * len(tiny.ROWS), strict=False
            )
        ]
    report = model.finetune(rows, resume=job.resume)
    return {
        "losses": report.losses,
        "validations": [validated.loss for validated in report.validations],
        "ledger": asdict(report.run_ledger),
        "output_dir": str(report.output_dir),
        "answer": tiny.greedy(model, ["say fox"]) if rank == 0 else None,
    }


def _await_fate(fate: str, step: int) -> None:
    """Have something happen to this process when it has taken a step."""
    from xturing.core.errors import DataError
    from xturing.train.events import StepEnded
    from xturing.train.recorder import Recorder

    add = Recorder.add

    def fated(self: Recorder, event: Any) -> None:
        add(self, event)
        if not isinstance(event, StepEnded) or event.step != step:
            return
        if fate == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        elif fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise DataError("Row 7 turned bad.")

    Recorder.add = fated  # pyright: ignore[reportAttributeAccessIssue]  # a fork's own


if __name__ == "__main__":
    serve()
