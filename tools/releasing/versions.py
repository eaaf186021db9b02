"""A package's next version, and the ranges of those that depend on it.

A range is left alone as long as it admits the new version. A new major version raises
it, since whoever depends on the package is released beside it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from releasing.workspace import Member, chosen, members, write_all
from xturing.core.errors import SettingsError

PARTS = ("major", "minor", "patch")
NAME = re.compile(r"^[\w.-]+(?:\[[^\]]*\])?")
"""Of a requirement, with its extras."""
VERSION_LINE = re.compile(r'^version = "[^"]*"$', re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A line of a pyproject.toml that a bump changed."""

    package: str
    before: str
    after: str


def bump(root: Path, names: list[str], to: str) -> list[Change]:
    """Give packages their next version, and return what was changed.

    `to` is major, minor, patch or a version; no names stand for all packages. Nothing
    is written unless everything can be.

    Raises:
        SettingsError: the version is none, or not above the present one, or a range
            of a package that depends on it does not admit it.
        UnknownNameError: there is no such package.
    """
    wanted = {member.name: next_version(member, to) for member in chosen(root, names)}
    changes: list[Change] = []
    texts: dict[Path, str] = {}
    for member in members(root):
        own = _changes(member, wanted)
        if own:
            texts[member.file] = _edited(member, own)
            changes += own
    write_all(texts)
    return changes


def next_version(member: Member, to: str) -> Version:
    """Return the version that a package gets.

    Raises:
        SettingsError: it is none, or not above the present one.
    """
    now = Version(member.version)
    if to in PARTS:
        kept = PARTS.index(to)
        numbers = list(now.release[:3]) + [0] * (3 - len(now.release))
        if not (now.is_prerelease and _closes(now, kept)):
            numbers[kept] += 1
        numbers[kept + 1 :] = [0] * (2 - kept)
        return Version(".".join(map(str, numbers)))
    try:
        version = Version(to)
    except InvalidVersion:
        raise SettingsError(
            f"'{to}' is no version. Write major, minor, patch, or one such as 1.2.0."
        ) from None
    if version <= now:
        raise SettingsError(
            f"{member.name} is at {now}, and {version} is not above it. What was "
            "released once cannot be released again; choose a higher version."
        )
    return version


def _closes(now: Version, kept: int) -> bool:
    """Tell whether a pre-release leads up to the version itself: 2.0.0rc1 to 2.0.0."""
    return not any(now.release[kept + 1 :])


def _changes(member: Member, wanted: Mapping[str, Version]) -> list[Change]:
    found = []
    if member.name in wanted:
        version = wanted[member.name]
        found.append(Change(member.name, member.version, str(version)))
    for line in dict.fromkeys(member.requirement_lines):
        requirement = Requirement(line)
        version = wanted.get(requirement.name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            found.append(Change(member.name, line, _raised(member, line, version)))
    return found


def _raised(member: Member, line: str, version: Version) -> str:
    """Return a requirement whose range admits a new major version.

    Raises:
        SettingsError: it is no new major version of what is admitted now.
    """
    requirement = Requirement(line)
    if Version(f"{version.major}.0") > version or not _is_above(requirement, version):
        raise SettingsError(
            f"{member.name} requires {line}, which does not admit {version}. Change "
            "the range in its pyproject.toml first, or choose another version."
        )
    _, semicolon, marker = line.partition(";")
    bounds = f">={version.major}.0,<{version.major + 1}"
    return f"{NAME.findall(line)[0]}{bounds}{semicolon}{marker}"


def _is_above(requirement: Requirement, version: Version) -> bool:
    """Tell whether a version is beyond the end of a range of major versions."""
    ends = [
        Version(each.version) for each in requirement.specifier if each.operator == "<"
    ]
    return bool(ends) and all(version.major >= end.major for end in ends)


def _edited(member: Member, changes: Sequence[Change]) -> str:
    text = member.file.read_text("utf-8")
    for change in changes:
        if change.before == member.version:
            text = VERSION_LINE.sub(f'version = "{change.after}"', text, count=1)
        else:
            text = text.replace(f'"{change.before}"', f'"{change.after}"')
    return text
