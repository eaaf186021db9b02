"""Records encoded in several processes, and given back in their order.

What encodes them is given; nothing here knows of tokens.
"""

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Self

from xturing.core.errors import DataError
from xturing.data.chat import Tokenizer
from xturing.data.columns import Columns
from xturing.data.examples import Example
from xturing.data.records import Placed

Encode = Callable[[Iterable[Placed]], Iterator[Example]]
Begin = Callable[[Tokenizer], Encode]

CHUNKS_EACH = 2
"""Chunks under way for each process: one that it encodes and one that waits for it."""


class Workers:
    """Processes that encode with one tokenizer; they end with the `with` block.

    `begin` is called in each of them once, and returns what encodes there.

    They are started anew, not forked, so a script that uses them must keep its own work
    under `if __name__ == "__main__":`.

    Raises:
        DataError: the tokenizer cannot be sent to them.
    """

    def __init__(
        self, begin: Begin, tokenizer: Tokenizer, count: int, rows_at_once: int
    ) -> None:
        self._rows_at_once = rows_at_once
        self._most_under_way = CHUNKS_EACH * count
        self._pool = ProcessPoolExecutor(
            count,
            # A forked process would inherit locks that the tokenizer's threads hold.
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(_pickled(begin, tokenizer),),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def encoded(self, records: Iterable[Placed]) -> Iterator[Example]:
        """Yield each record as an example, as one process alone would.

        Raises:
            DataError: a record cannot be encoded, or a process died.
        """
        under_way: deque[tuple[str, Future[Columns]]] = deque()
        chunks = self._sent(records)
        while True:
            missing = self._most_under_way - len(under_way)
            under_way.extend(islice(chunks, missing))
            if not under_way:
                return
            place, chunk = under_way.popleft()
            try:
                examples = chunk.result()
            except BrokenProcessPool as error:
                raise _died(place) from error
            yield from examples

    def _sent(self, records: Iterable[Placed]) -> Iterator[tuple[str, Future[Columns]]]:
        rows = iter(records)
        first = 0
        while chunk := self._next(rows):
            if isinstance(chunk, DataError):
                yield "", _failed(chunk)
                return
            place = chunk[0].place
            try:
                yield place, self._pool.submit(_encoded, chunk, first)
            except BrokenProcessPool as error:
                yield place, _failed(error)
                return
            first += len(chunk)

    def _next(self, rows: Iterator[Placed]) -> Sequence[Placed] | DataError:
        try:
            return list(islice(rows, self._rows_at_once))
        except DataError as error:
            # Chunks that are under way come first, and so do their errors.
            return error


def _failed(error: Exception) -> Future[Columns]:
    future: Future[Columns] = Future()
    future.set_exception(error)
    return future


def _died(place: str) -> DataError:
    return DataError(
        f"A worker process died while the rows from {place} on were being encoded; "
        "most often the memory was used up. Use fewer workers, or workers=1. If none "
        "ever started, put what your script does under 'if __name__ == \"__main__\":'."
    )


def _pickled(begin: Begin, tokenizer: Tokenizer) -> bytes:
    try:
        return pickle.dumps((begin, tokenizer))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise DataError(
            f"The tokenizer, a {type(tokenizer).__name__}, cannot be sent to worker "
            f"processes ({error}). Use workers=1."
        ) from error


# What follows happens in the workers.

_work: list[Encode] = []
"""What encodes in this worker."""


def _begin(work: bytes) -> None:
    # The caller ends the workers at Ctrl-C; a traceback of each would say nothing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    # The processes have all the cores together.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    begin, tokenizer = pickle.loads(work)  # noqa: S301  # from our own process
    _work.append(begin(tokenizer))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encoded(chunk: Sequence[Placed], first: int) -> Columns:
    examples = _work[0](chunk)
    return Columns.of([replace(each, row=first + each.row) for each in examples])
