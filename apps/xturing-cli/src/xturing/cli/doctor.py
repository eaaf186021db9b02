"""`xturing doctor`: what is here, what is missing, and what is in the way."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xturing.cli import render

OURS = ("cli", "core", "data", "models", "quant", "train")
THEIRS = ("torch", "transformers", "peft", "lightning", "datasets", "safetensors")
OPTIONAL = {"deepspeed": 'pip install "xturing-train[deepspeed]"'}


def doctor() -> None:
    """Show versions, what this machine can do, and what is missing or in the way.

    Example: xturing doctor
    """
    from xturing.models.device import cpu_traits, default_device
    from xturing.models.family import families
    from xturing.models.hub import is_here

    render.heading("Versions")
    rows = [["python", platform.python_version()]]
    rows += [[f"xturing-{name}", _version(f"xturing-{name}")] for name in OURS]
    rows += [[name, _version(name)] for name in THEIRS]
    rows += [
        [name, _version(name, missing=f"not installed: {line}")]
        for name, line in OPTIONAL.items()
    ]
    render.table(["package", "version"], rows)

    render.heading("Machine")
    device = default_device()
    rows = [["system", platform.platform()], *map(list, cpu_traits().items())]
    rows.append(["device", f"{device.name}, {device.dtype}: {device.reason}"])
    render.table(["", ""], rows)

    render.heading("Default model")
    here = is_here(families()["smollm2"])
    render.say("smollm2 is here" if here else "missing: xturing models pull smollm2")

    shadows = shadowing_files(sys.path)
    if shadows:
        render.heading("In the way")
    for file in shadows:
        render.say(
            f"{file} hides the xturing libraries. It belongs to xturing 0.1 or to a "
            "file of that name: uninstall or rename it."
        )


def shadowing_files(paths: list[str]) -> list[Path]:
    """Return the files that make `xturing` something else than a namespace package."""
    found: list[Path] = []
    for path in dict.fromkeys(paths):
        folder = Path(path or ".")
        candidates = (folder / "xturing" / "__init__.py", folder / "xturing.py")
        found += [file for file in candidates if file.is_file()]
    return found


def _version(distribution: str, missing: str = "missing") -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return missing
