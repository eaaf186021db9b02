"""Everything that is in uv.lock, as a bill of materials and as a list of licences."""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.utils import canonicalize_name

from xturing.core.files import write_json, write_text

LICENCES = "licences.md"
BILL = "sbom.cdx.json"
LONGEST = 60
"""Characters of a licence's name; what is longer is its text."""

Key = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """A package of the lock file."""

    name: str
    version: str
    is_ours: bool
    files: tuple[tuple[str, str], ...]
    """Where each file is, and its SHA-256."""
    needs: tuple[Key, ...]
    licence: str | None = None
    """None: it is not installed here, or does not say."""

    @property
    def reference(self) -> str:
        """Its package URL, which is what it is called in the bill."""
        return f"pkg:pypi/{self.name}@{self.version}"


def components(lock: Path) -> list[Component]:
    """Return the packages of a lock file, ours included.

    Their licences are those of the versions that are installed here.
    """
    packages = tomllib.loads(lock.read_text("utf-8"))["package"]
    versions: dict[str, list[str]] = {}
    for package in packages:
        versions.setdefault(package["name"], []).append(package["version"])
    licences = installed_licences()
    return [
        Component(
            name=package["name"],
            version=package["version"],
            is_ours="registry" not in package["source"],
            files=tuple(_files(package)),
            needs=tuple(sorted(set(_needs(package, versions)))),
            licence=licences.get(package["name"]),
        )
        for package in packages
    ]


def bill_of_materials(lock: Path) -> dict[str, Any]:
    """Return the lock file as a CycloneDX 1.6 document, the same for the same file."""
    found = components(lock)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    root = next(each for each in found if each.name == "xturing-workspace")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {"component": _as_component(root) | {"type": "application"}},
        "components": [_as_component(each) for each in found if each is not root],
        "dependencies": [
            {
                "ref": each.reference,
                "dependsOn": [
                    f"pkg:pypi/{name}@{version}" for name, version in each.needs
                ],
            }
            for each in found
        ],
    }


def licence_table(found: Iterable[Component]) -> str:
    """Return the licences of all packages that are not ours, the unknown ones first."""
    others = [each for each in found if not each.is_ours]
    others.sort(key=lambda each: each.licence is not None)
    unknown = sum(each.licence is None for each in others)
    rows = (
        f"| {each.name} | {each.version} | {each.licence or 'unknown'} |\n"
        for each in others
    )
    return (
        "# Licences of what xTuring is used with\n\n"
        f"{len(others) - unknown} packages say what theirs is. {unknown} are not "
        "installed where this was written, or do not say.\n\n"
        f"| package | version | licence |\n|---|---|---|\n{''.join(rows)}"
    )


def write_inventory(lock: Path, folder: Path) -> list[Component]:
    """Write the bill and the licences, and return the packages of unknown licence."""
    found = components(lock)
    write_json(folder / BILL, bill_of_materials(lock))
    write_text(folder / LICENCES, licence_table(found))
    return [each for each in found if each.licence is None and not each.is_ours]


def installed_licences() -> dict[str, str]:
    """Return what installed distributions say of their licences, by canonical names."""
    found = {}
    for distribution in metadata.distributions():
        said = licence_of(distribution.metadata)
        if said is not None:
            found[canonicalize_name(distribution.metadata["Name"])] = said
    return found


def licence_of(said: metadata.PackageMetadata) -> str | None:
    """Return the licence in metadata: an expression, classifiers or a name."""
    if "License-Expression" in said:
        return said["License-Expression"]
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in said.get_all("Classifier", [])
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    if classifiers:
        return " AND ".join(classifiers)
    name = said["License"].strip() if "License" in said else ""
    is_name = bool(name) and len(name) <= LONGEST and "\n" not in name
    return name if is_name and name.upper() != "UNKNOWN" else None


def _files(package: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source = [package["sdist"]] if "sdist" in package else []
    for file in [*source, *package.get("wheels", ())]:
        yield file["url"], file["hash"].removeprefix("sha256:")


def _needs(
    package: Mapping[str, Any], versions: Mapping[str, list[str]]
) -> Iterator[Key]:
    groups = [
        package.get("dependencies", ()),
        *package.get("optional-dependencies", {}).values(),
        *package.get("dev-dependencies", {}).values(),
    ]
    for needed in (each for group in groups for each in group):
        name = needed["name"]
        # A version stands there where the lock has several.
        for version in [needed["version"]] if "version" in needed else versions[name]:
            yield name, version


def _as_component(component: Component) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": "library",
        "bom-ref": component.reference,
        "name": component.name,
        "version": component.version,
        "purl": component.reference,
    }
    if component.licence:
        said["licenses"] = [{"license": {"name": component.licence}}]
    if component.files:
        said["externalReferences"] = [
            {
                "type": "distribution",
                "url": url,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for url, digest in component.files
        ]
    return said
