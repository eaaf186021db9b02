"""Files and folders that are whole or not there, and JSON that names its bad line.

Everything is written beside its place, flushed to disk, and then renamed over it, so a
stopped program leaves what was there before.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import platformdirs

from xturing.core.errors import DataError, OutputError


def cache_folder() -> Path:
    """Return where xTuring keeps what it can make again (see `XTURING_HOME`)."""
    home = os.environ.get("XTURING_HOME")
    return Path(home) if home else platformdirs.user_cache_path("xturing")


@contextmanager
def enough_space(path: Path) -> Iterator[None]:
    """Raise `OutputError` where writing to `path` fails because the disk is full."""
    try:
        yield
    except Exception as error:
        # Libraries that write by themselves have errors of their own for it.
        codes = errno.ENOSPC, errno.EDQUOT
        is_full = isinstance(error, OSError) and error.errno in codes
        if is_full or os.strerror(errno.ENOSPC) in str(error):
            raise OutputError(
                f"The disk is full: {path} could not be written, and nothing that was "
                "there was changed. Free some space or name a place on another disk, "
                "and save again."
            ) from error
        raise


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a draft to write to, and rename it to `path` if nothing is raised.

    Raises:
        OutputError: the disk is full.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with enough_space(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            _flush(draft)
            draft.replace(path)
            _flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder to fill, and rename it to `path` if nothing is raised.

    With `overwrite`, a folder that is there is replaced, after the new one is whole.

    Raises:
        OutputError: `path` is there already and holds something, or the disk is full.
    """
    if not overwrite:
        refuse_used(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with enough_space(path):
            draft.mkdir(parents=True)
            yield draft
            _flush_all(draft)
            _take_place(draft, path)
            _flush(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def fill_folder(path: Path) -> Iterator[Path]:
    """Yield a draft folder, and move what is in it to `path` if nothing is raised.

    Files move one by one in the order of their names, so that of the last one tells
    that all are there.

    Raises:
        OutputError: the disk is full.
    """
    draft = path / f".{os.getpid()}.part"
    try:
        with enough_space(path):
            draft.mkdir(parents=True)
            yield draft
            _flush_all(draft)
            for file in sorted(draft.iterdir()):
                file.replace(path / file.name)
                _flush(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder in `folder` that nobody else fills; what is left of it is removed.

    `settle` gives it its name. Its own is the same on no two machines either, as
    processes with one number may share a disk.

    Raises:
        OutputError: the disk is full.
    """
    draft = folder / f".{uuid4().hex}.part"
    try:
        with enough_space(folder):
            draft.mkdir(parents=True)
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def settle(draft: Path, path: Path) -> bool:
    """Rename a whole draft to `path`, and return whether nobody else was first."""
    _flush_all(draft)
    try:
        draft.rename(path)
    except OSError:
        if not path.exists():
            raise
        return False
    return True


def refuse_used(path: Path) -> None:
    """Raise `OutputError` if `path` is a file, or a folder that holds something."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise OutputError(
            f"{path} is in use already and nothing in it was touched. "
            "Name another folder, or move this one away."
        )


def free_folder(path: Path) -> Path:
    """Return `path`, or the first of `path-2`, `path-3` … that is not in use."""
    candidate, number = path, 1
    while True:
        try:
            refuse_used(candidate)
        except OutputError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        else:
            return candidate


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, or leave `path` as it was."""
    with new_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` as indented JSON, or leave `path` as it was."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        DataError: it is missing, not UTF-8 or not JSON; the message names the line.
    """
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: this is not JSON "
            f"({error.msg})."
        ) from error


def read_jsonl(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the number and the value of each line that is not blank.

    Raises:
        DataError: the file is missing, not UTF-8, or a line is not JSON.
    """
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: this is not JSON ({error.msg} at column "
                f"{error.colno}). A .jsonl file has one JSON object on each line."
            ) from error
        yield number, value


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start} is "
            f"0x{error.object[error.start]:02x}). Save it as UTF-8."
        ) from error


def _take_place(draft: Path, path: Path) -> None:
    if not path.exists():
        draft.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        draft.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _flush_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, outlive a loss of power."""
    # Not every system can flush, and Windows opens no folders; then the rename alone
    # has to do.
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(number)
        finally:
            os.close(number)
