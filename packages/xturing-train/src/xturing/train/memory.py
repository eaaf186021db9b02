"""Memory of this process: the most that it had, and freed blocks kept or given back.

What the C library gives back to the system has to be fetched again a moment later, page
by page, and zeroed: some 5 % of a training step. What it keeps fits seldom, as sizes
differ from step to step, so that keeping takes more memory. A run has to choose.
"""

import ctypes
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

LARGE_BLOCK = 1 << 20
"""Bytes from which on a block is given back as soon as it is freed."""
# Parameters of malloc.h, each with the values that keep, that give back, and that the
# C library comes to by itself on 64-bit systems: what there was cannot be asked for.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}
_RETURNING = {_MMAP_THRESHOLD: LARGE_BLOCK}
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 1 << 16}
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What proc(5) has for setting the peak to what is resident now."""


@contextmanager
def returning_memory(*, at_once: bool) -> Iterator[None]:
    """Give back what was freed when the block ends, or `at_once` whenever it is.

    The latter takes more time and less memory. Where the C library is not glibc,
    nothing changes.
    """
    if at_once:
        return_memory()
    _tune(_RETURNING if at_once else _KEEPING)
    try:
        yield
    finally:
        _tune(_USUAL)
        return_memory()


def _tune(parameters: Mapping[int, int]) -> None:
    library = _glibc()
    if library is not None:
        for name, value in parameters.items():
            library.mallopt(name, value)


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
