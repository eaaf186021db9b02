"""Memory of this process: the most that it had, and freed blocks given back.

The C library keeps small blocks that are freed for later ones. What is large it takes
from the system and gives back, but it learns from programs to call ever more blocks
small: up to 32 MB, which in training is nearly all of them. As sizes differ from step
to step, what it keeps seldom fits, and grows to a multiple of what is in use.
"""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

LARGE_BLOCK = 1 << 20
"""Bytes from which on a block is given back as soon as it is freed."""
LARGEST_SMALL_BLOCK = 32 << 20
"""Bytes that the C library lets this rise to by itself, on 64-bit systems."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What proc(5) has for setting the peak to what is resident now."""


@contextmanager
def returning_memory(*, at_once: bool) -> Iterator[None]:
    """Give back what was freed when the block ends, or `at_once` whenever it is.

    The latter costs time: what is given back has to be fetched, and zeroed, again.
    Where the C library is not glibc, nothing changes.
    """
    library = _glibc()
    if library is not None and at_once:
        library.malloc_trim(0)
        library.mallopt(_MMAP_THRESHOLD, LARGE_BLOCK)
    try:
        yield
    finally:
        if library is not None and at_once:
            # What it was before cannot be asked for; this is what it tends to.
            library.mallopt(_MMAP_THRESHOLD, LARGEST_SMALL_BLOCK)
        return_memory()


def return_memory() -> None:
    """Give back at once what was freed and is kept, where the C library is glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def resident_bytes() -> int | None:
    """Return the memory that this process has resident; None: not on Linux."""
    return _status("VmRSS")


def peak_bytes() -> int | None:
    """Return the most memory resident since the last reset; None on Windows."""
    if sys.platform == "win32":
        return None
    found = _status("VmHWM")
    if found is not None:
        return found
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> bool:
    """Have `peak_bytes` begin anew from what is resident, and tell if that worked."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def reset_peak_of(device: str) -> None:
    """Have `peak_of` begin anew; `device` is as torch writes it."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak()


def peak_of(device: str) -> int:
    """Return the most bytes used of what limits a run: the GPU's, or the process's."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return peak_bytes() or 0


def _status(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return int(found.split()[1]) * 1024 if found else None


@cache
def _glibc() -> Any:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL(None)
        library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
        library.malloc_trim.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):
        return None
    return library
