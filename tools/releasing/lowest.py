"""Whether packages work with the oldest of what they say they work with."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from releasing.wheels import extras_of, install, use
from releasing.workspace import CommandError, Member, members, run

Pins = Mapping[str, Version]
"""Versions by canonical names."""


@dataclass(frozen=True)
class Finding:
    """A lower bound that does not hold, or oldest versions that do not work."""

    package: str
    extra: str | None
    stated: str
    """The requirement in question, or all of them."""
    instead: str
    """What holds, or what went wrong."""

    def __str__(self) -> str:
        name = f"{self.package}[{self.extra}]" if self.extra else self.package
        return f"{name}: {self.stated} -> {self.instead}"


def findings(member: Member, wheels: Path, python: Path) -> Iterator[Finding]:
    """Yield the lower bounds of a package and its extras that do not hold."""
    for extra in (None, *member.project.get("optional-dependencies", {})):
        try:
            pins = resolved(requirements(member, extra), wheels, python)
        except CommandError as error:
            yield Finding(member.name, extra, "all", f"cannot be resolved: {error}")
        else:
            for line in stated(member, extra):
                raised = _raised(member, line, pins, wheels, python)
                if raised is not None:
                    yield Finding(member.name, extra, line, raised)


def check_lowest(member: Member, wheels: Path, work: Path, python: Path) -> None:
    """Install a package with the oldest that it admits, and use it.

    Raises:
        CommandError: it cannot be installed, or does not work.
    """
    pins = resolved(requirements(member, *extras_of(member)), wheels, python)
    exact = [f"{name}=={version}" for name, version in pins.items()]
    own = f"{member.name}=={member.version}"
    install(work, python, "--find-links", wheels, "--no-deps", *exact, own)
    use(member, work)


def stated(member: Member, extra: str | None) -> list[str]:
    """Return the requirements of a package itself, or of one of its extras."""
    if extra is None:
        return list(member.project.get("dependencies", ()))
    return list(member.project["optional-dependencies"][extra])


def requirements(member: Member, *extras: str | None) -> list[str]:
    """Return what is required of a package that is installed with extras."""
    groups = (stated(member, extra) for extra in dict.fromkeys((None, *extras)))
    return [line for group in groups for line in group]


def resolved(lines: Sequence[str], wheels: Path, python: Path) -> dict[str, Version]:
    """Return the versions that the oldest of direct requirements lead to.

    Raises:
        CommandError: there are none.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Apart from the workspace, whose sources and settings would hold.
        wanted = Path(folder) / "requirements.in"
        wanted.write_text("\n".join(lines), encoding="utf-8")
        output = run(
            *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--resolution", "lowest-direct", "--python", python),
            *("--find-links", wheels, wanted),
            folder=Path(folder),
        )
    pins = (line for line in output.splitlines() if "==" in line)
    return {
        canonicalize_name(requirement.name): Version(
            next(iter(requirement.specifier)).version
        )
        for requirement in map(Requirement, pins)
    }


def _raised(
    member: Member, line: str, pins: Pins, wheels: Path, python: Path
) -> str | None:
    """Return a requirement with the bound that holds, if its own does not.

    A bound of which there is no release is none: the next one stands for it.
    """
    requirement = Requirement(line)
    name = canonicalize_name(requirement.name)
    bound = lower_bound(requirement)
    own = {each.name for each in members(member.folder.parents[1])}
    if name not in pins or bound is None or pins[name] <= bound or name in own:
        return None
    if pins[name] == resolved([line], wheels, python)[name]:
        return None
    return with_bound(requirement, pins[name])


def lower_bound(requirement: Requirement) -> Version | None:
    """Return the lowest version that a requirement admits, if it names one."""
    bounds = [
        Version(each.version)
        for each in requirement.specifier
        if each.operator in (">=", "==", "~=")
    ]
    return max(bounds, default=None)


def with_bound(requirement: Requirement, bound: Version) -> str:
    """Return a requirement with another lower bound."""
    kept = [str(each) for each in requirement.specifier if each.operator != ">="]
    made = Requirement(str(requirement))
    made.specifier = SpecifierSet(",".join([f">={bound}", *kept]))
    return str(made)
