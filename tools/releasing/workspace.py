"""The packages of the workspace as their pyproject.toml files have them."""

import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from xturing.core.errors import UnknownNameError, XTuringError
from xturing.core.names import suggestion

ROOT = Path(__file__).parents[2]


class CommandError(XTuringError):
    """A program that was started failed."""


@dataclass(frozen=True)
class Member:
    """A package of the workspace."""

    folder: Path

    @property
    def file(self) -> Path:
        """Its pyproject.toml."""
        return self.folder / "pyproject.toml"

    @property
    def changelog(self) -> Path:
        """What changed for its users."""
        return self.folder / "CHANGELOG.md"

    @cached_property
    def table(self) -> dict[str, Any]:
        """What its pyproject.toml holds."""
        return tomllib.loads(self.file.read_text("utf-8"))

    @property
    def project(self) -> dict[str, Any]:
        """The part of it that goes into the wheel's metadata."""
        return self.table["project"]

    @property
    def name(self) -> str:
        """What the package is called where it is installed from."""
        return self.project["name"]

    @property
    def version(self) -> str:
        """Its version."""
        return self.project["version"]

    @property
    def module(self) -> str | None:
        """The module that it brings; None: it brings none, and requires others."""
        return self.table["tool"]["uv"]["build-backend"]["module-name"] or None

    @property
    def requirement_lines(self) -> list[str]:
        """What it requires, and what each of its extras does."""
        extras = self.project.get("optional-dependencies", {}).values()
        lines = [*self.project.get("dependencies", ())]
        return [*lines, *(line for extra in extras for line in extra)]

    @property
    def requirements(self) -> list[Requirement]:
        """The same, taken apart."""
        return [Requirement(line) for line in self.requirement_lines]


def members(root: Path = ROOT) -> list[Member]:
    """Return the packages of a workspace, by name."""
    found = [Member(file.parent) for file in root.glob("*/xturing*/pyproject.toml")]
    return sorted(found, key=lambda member: member.name)


def chosen(root: Path, names: list[str]) -> list[Member]:
    """Return the packages of those names, or all where there are none.

    Raises:
        UnknownNameError: there is no such package.
    """
    known = {member.name: member for member in members(root)}
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"There is no package '{name}'. {suggestion(name, known)}"
            )
    return [known[name] for name in names or known]


def run(*command: str | Path, folder: Path | None = None, **variables: str) -> str:
    """Run a program, and return what it wrote to its output stream.

    Raises:
        CommandError: it failed; the message has all that it wrote.
    """
    words = [str(part) for part in command]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **variables},
    )
    if done.returncode:
        raise CommandError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def write_all(texts: Mapping[Path, str]) -> None:
    """Write several files, all drafts first, so that a full disk changes none."""
    drafts = {path: path.with_name(f".{path.name}.part") for path in texts}
    try:
        for path, draft in drafts.items():
            draft.write_text(texts[path], encoding="utf-8")
        for path, draft in drafts.items():
            draft.replace(path)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
