"""What the processes of a run tell one another.

The first one writes files and tells events. A process that fails says why before its
connections close, so that the others end with the same error.
"""

import atexit
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from torch import distributed

from xturing.core import errors
from xturing.core.errors import SettingsError, TrainingError, XTuringError
from xturing.core.events import unheard
from xturing.train.strategies.launching import Helpers, is_helper
from xturing.train.strategies.place import ALONE, Place

# torch documents them, but does not list them.
PrefixStore = distributed.PrefixStore  # pyright: ignore[reportPrivateImportUsage]
Store = distributed.Store  # pyright: ignore[reportPrivateImportUsage]
TCPStore = distributed.TCPStore  # pyright: ignore[reportPrivateImportUsage]

T = TypeVar("T")

FAILURE = "failure"
LONGEST_WAIT = timedelta(hours=2)
"""For one another: the first may be saving a large model."""

GLOO = "gloo/transport"
"""What errors of connections between CPU processes name."""
MERCY = 5.0
"""Seconds that helpers have to end by themselves after an error."""
_RUNS = itertools.count()


class Processes:
    """The processes of a run, seen from one of them."""

    def __init__(self, place: Place = ALONE, *, is_grouped: bool = False) -> None:
        self.place = place
        self.is_grouped = is_grouped
        """Whether they are a group, be it of one, that an engine can work in."""

    @property
    def count(self) -> int:
        """How many there are."""
        return self.place.world_size

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and tells events."""
        return self.place.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first process makes, in all of them."""
        if self.count == 1:
            return make()
        box = [make() if self.is_first else None]
        distributed.broadcast_object_list(box)
        return box[0]  # pyright: ignore[reportReturnType]  # `T` was broadcast

    def from_all(self, value: T) -> list[T]:
        """Return every process's value, in all of them."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums of every process's values."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums.tolist()

    def largest(self, value: int) -> int:
        """Return the largest of every process's values."""
        if self.count == 1:
            return value
        box = torch.tensor(value)
        distributed.all_reduce(box, distributed.ReduceOp.MAX)
        return int(box)

    def wait(self) -> None:
        """Wait for all to come here."""
        self.from_first(lambda: None)


@contextmanager
def together(
    place: Place, device: str, *, run: int, is_given: bool
) -> Iterator[Processes]:
    """Join the other processes of a run, or start them unless they are given.

    `run` is the same number in all of them, and another one in further runs.

    Raises:
        TrainingError: another one ended; or whatever error another one ended with.
    """
    helpers = Helpers()
    with ExitStack() as stack:
        stack.callback(helpers.end)
        store = _store(place, is_given=is_given)
        place = replace(place, port=store.port)
        if not is_given:
            _start_helpers(helpers, place)
        stack.enter_context(_variables(place.variables))
        stack.enter_context(_threads(place))
        notes = PrefixStore(f"run-{run}", store)
        if is_helper():
            notes.set(f"here-{place.rank}", "")
        helpers.wait_until(lambda: _are_here(helpers.ranks, notes))
        if device == "cuda":
            torch.cuda.set_device(place.local_rank)
        stack.enter_context(_group(place, device, notes, is_kept=not helpers.ranks))
        processes = Processes(place, is_grouped=True)
        if not processes.is_first:
            stack.enter_context(unheard())
        with _failing_together(processes, notes, helpers):
            yield processes
    if is_helper():
        # What follows in the program is done by the one that started this process.
        raise SystemExit(0)


def count_run() -> int:
    """Count the runs of this program, and return how many there were before."""
    return next(_RUNS)


@cache
def _given_store(address: str, port: int, is_host: bool) -> TCPStore:
    # It is kept: one that follows at once could not have the same port.
    return TCPStore(address, port, None, is_host, LONGEST_WAIT, wait_for_workers=False)


def _store(place: Place, *, is_given: bool) -> TCPStore:
    """Return where processes leave notes for one another."""
    is_host = place.rank == 0
    if is_given:
        is_host &= os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        return _given_store(place.address, place.port, is_host)
    return TCPStore(
        place.address, place.port, None, is_host, LONGEST_WAIT, wait_for_workers=False
    )


@contextmanager
def _group(place: Place, device: str, notes: Store, *, is_kept: bool) -> Iterator[None]:
    """Have the processes be a group, in which tensors are sent.

    DeepSpeed knows a program's first group only, so that one is kept for further runs.

    Raises:
        SettingsError: the program made a group of others.
    """
    if not distributed.is_initialized():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=PrefixStore("group", notes),
            rank=place.rank,
            world_size=place.world_size,
            timeout=LONGEST_WAIT,
        )
        atexit.register(_leave_group)
    elif distributed.get_world_size() != place.world_size:
        raise SettingsError(
            f"This program has a process group of {distributed.get_world_size()}, but "
            f"{place.world_size} processes are to train. Leave it before, by "
            "torch.distributed.destroy_process_group()."
        )
    try:
        yield
    except BaseException:
        _leave_group()
        raise
    if not is_kept or is_helper():
        _leave_group()


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _start_helpers(helpers: Helpers, place: Place) -> None:
    for local_rank in range(1, place.per_node):
        rank = place.node * place.per_node + local_rank
        helper = replace(place, rank=rank, local_rank=local_rank)
        helpers.start(rank, helper.variables)


def _are_here(ranks: Sequence[int], notes: Store) -> bool:
    return not ranks or notes.check([f"here-{rank}" for rank in ranks])


@contextmanager
def _failing_together(
    processes: Processes, notes: Store, helpers: Helpers
) -> Iterator[None]:
    """Have an error of one process end them all, and say what it was."""
    rank = processes.place.rank
    try:
        yield
    except BaseException as error:
        helpers.patience = MERCY
        # A connection that broke off is what another one's end looks like from here.
        if isinstance(error, RuntimeError) and processes.count > 1:
            failure = _noted(notes) or helpers.failure() or _breakage(error)
            if failure is not None:
                raise failure from error
        note = {"kind": type(error).__name__, "text": str(error), "rank": rank}
        with suppress(RuntimeError):
            notes.compare_set(FAILURE, "", json.dumps(note))
        raise


def _noted(notes: Store) -> XTuringError | None:
    """Return the error that another process noted, if there is one."""
    try:
        if not notes.check([FAILURE]):
            return None
        note = json.loads(notes.get(FAILURE))
    except RuntimeError:
        return TrainingError(
            "The first process of the run has ended, so this one ends too."
        )
    kind = getattr(errors, note["kind"], None)
    about = f"(Process {note['rank']} of the run ended with this.)"
    if kind is None:
        return TrainingError(f"{note['kind']}: {note['text']} {about}")
    return kind(f"{note['text']} {about}")


def _breakage(error: RuntimeError) -> TrainingError | None:
    """Return what an error says of another process, if it speaks of a connection."""
    if not isinstance(error, distributed.DistError) and GLOO not in str(error):
        return None
    return TrainingError(
        "Another process of the run ended without a word, or cannot be reached any "
        f"more. The system may have killed it for its memory. ({error})"
    )


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which engines read, for as long as a run lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _threads(place: Place) -> Iterator[None]:
    """Share the processor's cores among the processes, unless the user did."""
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(before // place.per_node, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
