"""`xturing doctor`: what is here, what is missing, and what is in the way."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer

OURS = (
    *("cli", "core", "data", "eval", "models", "quant", "selfinstruct", "server"),
    *("train", "ui"),
)
THEIRS = ("torch", "transformers", "peft", "lightning", "datasets", "safetensors")
OPTIONAL = {"deepspeed": 'pip install "xturing-train[deepspeed]"'}


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, what this machine can do, and what is missing or in the way.

    Example: xturing doctor
    """
    found = examined()
    if as_json:
        answer(found)
    else:
        _show(found)


def examined() -> dict[str, Any]:
    """Return the versions, the machine, and what is missing or in the way."""
    from xturing.models.device import cpu_traits, default_device
    from xturing.models.family import families
    from xturing.models.hub import is_here

    device = default_device()
    versions = {"python": platform.python_version()}
    versions |= {f"xturing-{name}": _version(f"xturing-{name}") for name in OURS}
    versions |= {name: _version(name) for name in THEIRS}
    versions |= {
        name: _version(name, missing=f"not installed: {line}")
        for name, line in OPTIONAL.items()
    }
    return {
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            **cpu_traits(),
            "device": f"{device.name}, {device.dtype}: {device.reason}",
        },
        "default_model_is_here": is_here(families()["smollm2"]),
        "in_the_way": [str(file) for file in shadowing_files(sys.path)],
    }


def _show(found: Mapping[str, Any]) -> None:
    render.heading("Versions")
    render.table(["package", "version"], [*map(list, found["versions"].items())])
    render.heading("Machine")
    render.table(["", ""], [*map(list, found["machine"].items())])
    render.heading("Default model")
    is_here = found["default_model_is_here"]
    render.say("smollm2 is here" if is_here else "missing: xturing models pull smollm2")
    if found["in_the_way"]:
        render.heading("In the way")
    for file in found["in_the_way"]:
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
