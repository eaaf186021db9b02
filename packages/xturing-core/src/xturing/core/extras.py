"""Optional libraries, imported at the moment of need."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from xturing.core.errors import MissingDependencyError
from xturing.core.plugins import entry_points


def require(module: str, *, package: str, extra: str) -> ModuleType:
    """Import a module that the extra `package[extra]` installs.

    Raises:
        MissingDependencyError: it is not installed; the message has the pip line.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        raise MissingDependencyError(
            f"This needs {library}, which is not installed. "
            f'Install it with: pip install "{package}[{extra}]"'
        ) from None


def service(group: str, name: str, package: str) -> Callable[..., Any]:
    """Return what another package of ours does under an entry point.

    Raises:
        MissingDependencyError: it is not installed; the message has the pip line.
    """
    found = entry_points(group=group, name=name)
    if not found:
        raise MissingDependencyError(
            f"This needs {package}, which is not installed. "
            f"Install it with: pip install {package}"
        )
    return found[0].load()
