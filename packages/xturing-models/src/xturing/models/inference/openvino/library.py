"""OpenVINO without its telemetry, and its one core."""

import sys
from functools import cache
from types import ModuleType
from typing import Any

from xturing.core.errors import ModelError
from xturing.core.extras import require

TELEMETRY = "openvino_telemetry"


def openvino() -> Any:
    """Return the library, which tells nobody that it was imported.

    A program that has imported it by itself has told already.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if "openvino" in sys.modules or TELEMETRY in sys.modules:
        return require("openvino", package="xturing-models", extra="openvino")
    # Importing OpenVINO sends an event over the network, unless this one is missing.
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules[TELEMETRY] = None
    try:
        return require("openvino", package="xturing-models", extra="openvino")
    finally:
        del modules[TELEMETRY]


@cache
def core() -> Any:
    """Return what reads and compiles models, the same for as long as the program runs.

    A core has the thread that makes it handle signals in memory of its own, and gives
    that back with itself, from whichever thread: the next Ctrl-C ends the program.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    return openvino().Core()


def unfit(name: str, reason: str) -> ModelError:
    """Return the error for a model that OpenVINO cannot do with."""
    return ModelError(
        f"'{name}' cannot be answered with by OpenVINO: {reason}. Use the engine "
        "'torch', which can do with every model."
    )
