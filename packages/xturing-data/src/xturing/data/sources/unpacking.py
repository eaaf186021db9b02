"""The bytes of a file, unpacked if gzip or zstd packed it.

What is packed is told by its first bytes, whatever its name. Knows nothing of text.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from xturing.core.errors import DataError
from xturing.core.extras import require

MAX_EXPANSION = 200
"""How many times its size a packed file may unpack to; text seldom reaches 20."""
ALWAYS_FINE = 64 * 2**20
"""Bytes that any packed file may unpack to, however small it is."""
AT_ONCE = 2**20
"""Bytes that are read and handed on together."""

PACKED = (".gz", ".zst")
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def read_bytes(path: Path, max_expansion: int) -> Iterator[bytes]:
    """Yield the bytes of a file piece by piece.

    Raises:
        DataError: it cannot be opened or unpacked, or unpacks to too much.
        MissingDependencyError: zstd packed it, and the extra is missing.
    """
    with readable(path), path.open("rb") as file:
        start = file.peek(4)[:4]
        if start.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _bounded(unpacked, path, max_expansion)
        elif start == _ZSTD:
            zstd = require("backports.zstd", package="xturing-data", extra="zstd")
            with zstd.ZstdFile(file) as unpacked, _whole(path, zstd.ZstdError):
                yield from _bounded(unpacked, path, max_expansion)
        else:
            while data := file.read(AT_ONCE):
                yield data


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into a `DataError` that names it."""
    try:
        with _whole(path, gzip.BadGzipFile, zlib.error, EOFError):
            yield
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def _whole(path: Path, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise DataError(
            f"{path} is packed and cannot be unpacked ({error}). It may have been cut "
            "off or damaged; fetch or pack it again."
        ) from error


def _bounded(file: object, path: Path, max_expansion: int) -> Iterator[bytes]:
    size = path.stat().st_size
    limit = max(ALWAYS_FINE, size * max_expansion)
    total = 0
    while data := cast(IO[bytes], file).read(AT_ONCE):
        total += len(data)
        if total > limit:
            raise DataError(
                f"{path} has {size:,} bytes and unpacks to more than {limit:,}, which "
                "looks like a trap. If you trust it, allow more with max_expansion="
                f"{max_expansion * 10}."
            )
        yield data
