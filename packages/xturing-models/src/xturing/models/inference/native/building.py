"""The decoder compiled for this machine's processor, once, and kept."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

from xturing.core.errors import CompileError
from xturing.core.files import cache_folder, new_file

FLAGS = (
    # Sums and products are fused where the file says so, and nowhere else: what a
    # compiler makes of one loop it may not make of another, and bits would differ.
    *("-std=c++17", "-O3", "-march=native", "-ffp-contract=off"),
    *("-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-pthread"),
)
COMPILERS = ("c++", "g++", "clang++")
PATIENCE = 300
"""Seconds that compiling may take."""


def compiler() -> str | None:
    """Return the C++ compiler of this machine: $CXX, or one that is found."""
    named = os.environ.get("CXX")
    return named or next(filter(None, map(shutil.which, COMPILERS)), None)


@cache
def library() -> ctypes.CDLL:
    """Return the compiled decoder.

    Raises:
        CompileError: there is no compiler, or it fails.
    """
    source = (files("xturing.models.inference.native") / "decoder.cpp").read_bytes()
    found = compiler()
    if found is None:
        raise CompileError(
            "There is no C++ compiler (c++, g++ or clang++), which the engine 'native' "
            "needs. Install one (Debian: apt install g++; macOS: xcode-select "
            "--install), or use the engine 'openvino' or 'torch'."
        )
    # What is compiled for one processor may not run on another one.
    about = "\n".join((found, *FLAGS, platform.machine(), processor())).encode()
    name = hashlib.sha256(about + b"\0" + source).hexdigest()[:20]
    file = cache_folder() / "native" / f"decoder-{name}.so"
    if not file.is_file():
        _compile(found, source, file)
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise CompileError(
            f"The compiled decoder cannot be loaded: {error}. Remove {file}, or use "
            "the engine 'openvino' or 'torch'."
        ) from error


def processor() -> str:
    """Return what tells this machine's kind of processor from others."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    # On machines of several kinds of cores, all of them.
    named = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(named)}))


def _compile(found: str, source: bytes, file: Path) -> None:
    with new_file(file) as draft:
        command = [*shlex.split(found), *FLAGS, "-x", "c++", "-", "-o", str(draft)]
        try:
            done = subprocess.run(
                command,
                input=source,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompileError(
                f"{found} cannot compile the decoder: {error}"
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise CompileError(
                f"{found} cannot compile the decoder: {(said or ['no reason told'])[0]}"
            )
