"""Encoded rows kept on disk, so that the same rows are not encoded again.

An entry is a folder, named by the fingerprint of what it holds. It is renamed to that
name when it is whole, never changed after, and checked to the last byte before it is
used. What its columns mean is told in `columns`.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import OutputError
from xturing.core.files import draft_folder, settle, sha256
from xturing.data.columns import DTYPES, Columns
from xturing.data.examples import Example
from xturing.data.ledger import Ledger

MOST_BYTES = 20 * 2**30
"""Of a cache; beyond it, the entries go that were not used for the longest time."""
ABANDONED_AFTER_SECONDS = 24 * 60 * 60
"""A draft that nobody wrote to for so long was left by a process that was killed."""
EXAMPLES_AT_ONCE = 256
MANIFEST = "manifest.json"
ENTRY = re.compile(r"[0-9a-f]{64}")
DRAFT = re.compile(r"\.[0-9a-f]{32}\.part")

_in_use: WeakValueDictionary[Path, Columns] = WeakValueDictionary()
"""The entries of which this process holds examples."""


@dataclass(frozen=True, eq=False)
class Entry:
    """What was encoded once."""

    examples: Columns
    """Mapped: the operating system reads them where they are looked at."""
    ledger: Ledger


class Cache:
    """A folder of entries, which several processes may use at once."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def find(self, name: str) -> Entry | None:
        """Return an entry, or None if there is none; a damaged one is removed."""
        path = self._folder / name
        if not path.exists():
            return None
        manifest = _sound_manifest(path)
        if manifest is None:
            _remove(path)
            return None
        with suppress(OSError):
            os.utime(path / MANIFEST)
        return _entry(path, manifest)

    @contextmanager
    def draft(self) -> Iterator["Draft"]:
        """Yield an entry to fill; nothing is left of it unless it is kept.

        Raises:
            OutputError: the disk is full.
        """
        with draft_folder(self._folder) as path:
            yield Draft(path)

    def keep(self, draft: "Draft", name: str, ledger: Ledger) -> Entry:
        """Return the draft as an entry, or the one that another process made first.

        Raises:
            OutputError: the entry's place is taken by what cannot be removed.
        """
        manifest = draft.finish(ledger)
        path = self._folder / name
        # What is in its place may be damaged, and is out of the way then.
        for _ in range(2):
            if settle(draft.path, path):
                entry = _entry(path, manifest)
                break
            if (entry := self.find(name)) is not None:
                break
        else:
            raise OutputError(
                f"{path} is no entry of a cache and cannot be removed. Remove it, or "
                "name another folder as the cache."
            )
        self._make_room()
        return entry

    def _make_room(self) -> None:
        for path in self._named(DRAFT):
            if time.time() - _last_used(path) > ABANDONED_AFTER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        entries = self._named(ENTRY)
        sizes = {path: sum(_stat(path, "st_size")) for path in entries}
        total = sum(sizes.values())
        for path in sorted(entries, key=_last_used):
            if total <= self._most_bytes:
                return
            if path.resolve() not in _in_use:
                _remove(path)
                total -= sizes[path]

    def _named(self, pattern: re.Pattern[str]) -> list[Path]:
        return [p for p in self._folder.iterdir() if pattern.fullmatch(p.name)]


class Draft:
    """An entry in the making: examples pass through it to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns = {name: _Column(path / name) for name in DTYPES}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, examples: Iterable[Example]) -> None:
        """Write examples behind those that are there; some hundred are held at once."""
        rest = iter(examples)
        with ExitStack() as stack:
            for column in self._columns.values():
                stack.enter_context(column)
            while chunk := list(islice(rest, EXAMPLES_AT_ONCE)):
                self._append(Columns.of(chunk))
                self._count += len(chunk)

    def finish(self, ledger: Ledger) -> Mapping[str, Any]:
        """Write what tells that the entry is whole, and return it."""
        manifest = {
            "ledger": asdict(ledger),
            "columns": {name: each.facts() for name, each in self._columns.items()},
        }
        text = json.dumps(manifest)
        checked = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
        (self.path / MANIFEST).write_text(checked, encoding="ascii")
        return manifest

    def _append(self, chunk: Columns) -> None:
        starts = {
            "ends": self._columns["parts"].size,
            "place_ends": self._columns["places"].size,
        }
        for name, column in self._columns.items():
            values = getattr(chunk, name) + starts.get(name, 0)
            column.write(values.astype(DTYPES[name], copy=False).tobytes())


class _Column:
    """A file that is written from its start to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> None:
        self._file = self._path.open("ab")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Write bytes behind those that are there."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def facts(self) -> dict[str, object]:
        """Return what the whole file has to be."""
        return {"size": self.size, "sha256": self._digest.hexdigest()}


def _sound_manifest(path: Path) -> Mapping[str, Any] | None:
    """Return an entry's manifest if the entry is as it was written."""
    try:
        digest, _, text = (path / MANIFEST).read_text(encoding="ascii").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return None
        manifest = json.loads(text)
        is_sound = all(
            (path / name).stat().st_size == facts["size"]
            and sha256(path / name) == facts["sha256"]
            for name, facts in manifest["columns"].items()
        )
    except (OSError, ValueError):
        return None
    return manifest if is_sound else None


def _entry(path: Path, manifest: Mapping[str, Any]) -> Entry:
    columns = Columns(
        **{name: _mapped(path / name, dtype) for name, dtype in DTYPES.items()}
    )
    _in_use[path.resolve()] = columns
    ledger: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in manifest["ledger"].items()
    }
    return Entry(columns, Ledger(**ledger))


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    if not path.stat().st_size:
        # Nothing cannot be mapped.
        return np.empty(0, dtype)
    # Copied where it is written to: torch warns of arrays that cannot be, and nobody
    # is to change the file.
    return np.asarray(np.memmap(path, dtype, mode="c"))


def _remove(path: Path) -> None:
    """Take an entry out of the way at once, then delete it."""
    aside = path.with_name(f".{uuid4().hex}.part")
    # Somebody else may be doing the same.
    with suppress(OSError):
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _last_used(path: Path) -> float:
    return max(_stat(path, "st_mtime"), default=0.0)


def _stat(path: Path, fact: str) -> list[float]:
    found = []
    # Files and folders may go while they are looked at.
    with suppress(OSError):
        found += [getattr(file.stat(), fact) for file in (path, *path.iterdir())]
    return found
