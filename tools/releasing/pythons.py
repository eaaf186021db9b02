"""The Pythons that packages are checked on: those that are here, as none is fetched."""

import os
from pathlib import Path

from releasing.workspace import CommandError, run
from xturing.core.errors import SettingsError

VERSIONS = ("3.11", "3.12", "3.13")
"""What the packages are for."""


def pythons(wanted: list[str]) -> dict[str, Path]:
    """Return the interpreters of versions, or those at paths.

    Raises:
        SettingsError: some are not here; the message names them all.
    """
    found = {version: find_python(version) for version in wanted}
    missing = [version for version, path in found.items() if path is None]
    if missing:
        here = [version for version in wanted if version not in missing]
        raise SettingsError(
            f"There is no Python {' and no Python '.join(missing)} here. Install it, "
            "or say which ones to check, by version or path: --pythons "
            f"{' '.join(here) or 'PATH'}"
        )
    return {version: path for version, path in found.items() if path is not None}


def find_python(version: str) -> Path | None:
    """Return an interpreter by its version, or its path; None if it is not here."""
    if os.sep in version:
        return Path(version) if Path(version).is_file() else None
    try:
        found = run("uv", "python", "find", "--no-python-downloads", version)
    except CommandError:
        return _of_pyenv(version)
    return Path(found.strip())


def _of_pyenv(version: str) -> Path | None:
    """Return what pyenv installed: its command for a version fails where it is off."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted((root / "versions").glob(f"{version}*/bin/python"))
    return found[-1] if found else None
