"""Versions, changelogs, metadata and lists of a release of two small packages."""

import json
from email.parser import Parser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version
from releasing import building, inventory, lowest, notes, pythons, versions, workspace

from xturing.core.errors import DataError, SettingsError, UnknownNameError

BASE = """[project]
name = "xturing-base"
version = "{version}"
description = "What others share."
readme = "README.md"
requires-python = ">=3.11,<3.14"
license = "Apache-2.0"
dependencies = []

[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"

[tool.uv.build-backend]
module-name = "xturing.base"
"""
TOP = """[project]
name = "xturing-top"
version = "1.4.2"
description = "What stands on it."
readme = "README.md"
requires-python = ">=3.11,<3.14"
license = "Apache-2.0"
dependencies = ["numpy>=1.26", "xturing-base>=1.0,<2"]

[project.optional-dependencies]
more = ["xturing-base[extra]>=1.0,<2"]

[project.scripts]
top = "xturing.top:run"

[tool.uv.sources]
xturing-base = { workspace = true }

[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"

[tool.uv.build-backend]
module-name = "xturing.top"
"""
CHANGELOG = (
    "# Changelog of {name}\n\n## 1.0.0 (unreleased)\n\n### Added\n\n- A start.\n"
)


@pytest.fixture
def root(tmp_path):
    for name, text in (("base", BASE.replace("{version}", "1.0.0")), ("top", TOP)):
        folder = tmp_path / "packages" / f"xturing-{name}"
        module = folder / "src" / "xturing" / name
        module.mkdir(parents=True)
        (module / "__init__.py").write_text("def run(): ...\n")
        (folder / "pyproject.toml").write_text(text)
        (folder / "README.md").write_text(f"# xturing-{name}\n\nOf use.\n")
        changelog = CHANGELOG.format(name=f"xturing-{name}")
        (folder / "CHANGELOG.md").write_text(changelog)
    (tmp_path / "changes").mkdir()
    return tmp_path


def member(root: Path, name: str) -> workspace.Member:
    (found,) = workspace.chosen(root, [name])
    return found


def snapshot(root: Path) -> dict[Path, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


# ---------------------------------------------------------------- versions


def test_a_range_that_admits_the_new_version_is_left_alone(root):
    before = (root / "packages/xturing-top/pyproject.toml").read_text()
    versions.bump(root, ["xturing-base"], "minor")
    assert member(root, "xturing-base").version == "1.1.0"
    assert (root / "packages/xturing-top/pyproject.toml").read_text() == before


def test_a_new_major_version_raises_the_ranges_of_dependents(root):
    versions.bump(root, ["xturing-base"], "major")
    assert member(root, "xturing-top").requirement_lines == [
        *("numpy>=1.26", "xturing-base>=2.0,<3", "xturing-base[extra]>=2.0,<3")
    ]


def test_a_bump_changes_nothing_but_versions_and_ranges(root):
    versions.bump(root, [], "major")
    text = (root / "packages/xturing-top/pyproject.toml").read_text()
    put_back = text.replace('version = "2.0.0"', 'version = "1.4.2"')
    assert put_back.replace(">=2.0,<3", ">=1.0,<2") == TOP


def test_every_package_s_ranges_admit_what_all_are_bumped_to(root):
    versions.bump(root, [], "major")
    base = member(root, "xturing-base").version
    for requirement in member(root, "xturing-top").requirements[1:]:
        assert requirement.specifier.contains(base)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("1.0.0", "is not above"),
        ("0.9", "is not above"),
        ("next", "is no version"),
        ("2.0.0rc1", "does not admit 2.0.0rc1"),
    ],
)
def test_a_version_that_cannot_be_is_refused_and_nothing_written(to, why, root):
    before = snapshot(root)
    with pytest.raises(SettingsError, match=why):
        versions.bump(root, ["xturing-base"], to)
    assert snapshot(root) == before


def test_a_package_that_is_not_there_is_named_with_one_that_is(root):
    with pytest.raises(UnknownNameError, match="Did you mean 'xturing-base'"):
        versions.bump(root, ["xturing-bas"], "minor")


@given(st.tuples(*[st.integers(0, 30)] * 3), st.sampled_from(versions.PARTS))
def test_the_next_version_is_the_lowest_that_differs_in_its_part(numbers, part):
    now = ".".join(map(str, numbers))
    found = versions.next_version(Named(now), part)
    kept = versions.PARTS.index(part)
    assert found > Version(now)
    assert found.release[:kept] == numbers[:kept]
    assert found.release[kept:] == (numbers[kept] + 1, *[0] * (2 - kept))


class Named(workspace.Member):
    """A package of which only the version is known."""

    def __init__(self, version: str) -> None:
        super().__init__(Path())
        self.__dict__["table"] = {"project": {"name": "it", "version": version}}


def test_a_candidate_becomes_the_version_that_it_is_one_for():
    assert versions.next_version(Named("2.0.0rc1"), "major") == Version("2.0.0")
    assert versions.next_version(Named("1.1.0rc1"), "major") == Version("2.0.0")


# ---------------------------------------------------------------- notes


def write_fragment(root: Path, name: str, text: str) -> None:
    file = root / "changes" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def test_fragments_come_under_the_present_version_by_their_kinds(root):
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.\n")
    write_fragment(root, "xturing-base/two.added.md", "It flies,\nand lands.\n")
    notes.fold(root)
    assert member(root, "xturing-base").changelog.read_text() == (
        "# Changelog of xturing-base\n\n## 1.0.0 (unreleased)\n\n### Added\n\n"
        "- A start.\n- It flies,\n  and lands.\n\n### Fixed\n\n- It no longer falls.\n"
    )


def test_fragments_are_gone_once_they_are_folded(root):
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    write_fragment(root, "README.md", "How to write them.")
    notes.fold(root)
    left = [path.name for path in (root / "changes").rglob("*") if path.is_file()]
    assert left == ["README.md"]


def test_a_new_version_stands_above_those_before(root):
    notes.fold(root, "2027-01-31")
    versions.bump(root, ["xturing-base"], "patch")
    write_fragment(root, "xturing-base/one.removed.md", "The old way.")
    notes.fold(root)
    text = member(root, "xturing-base").changelog.read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## 1.0.1 (unreleased)", "## 1.0.0 (2027-01-31)"]


def test_nothing_is_added_to_what_was_released(root):
    notes.fold(root, "2027-01-31")
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    before = snapshot(root)
    with pytest.raises(DataError, match="Bump the version first"):
        notes.fold(root)
    assert snapshot(root) == before


def test_a_run_that_was_stopped_before_it_removed_fragments_can_go_on(root):
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    notes.fold(root)
    once = member(root, "xturing-base").changelog.read_text()
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    notes.fold(root)
    assert member(root, "xturing-base").changelog.read_text() == once


def test_a_fragment_that_is_the_beginning_of_an_entry_is_an_entry_of_its_own(root):
    write_fragment(root, "xturing-base/one.added.md", "A start. And an end.")
    notes.fold(root)
    write_fragment(root, "xturing-base/two.added.md", "A start. And")
    notes.fold(root)
    entries = member(root, "xturing-base").changelog.read_text().splitlines()[-3:]
    assert entries == ["- A start.", "- A start. And an end.", "- A start. And"]


def test_a_date_does_not_release_again_what_was_released(root):
    notes.fold(root, "2027-01-31")
    versions.bump(root, ["xturing-base"], "patch")
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    notes.fold(root, "2027-03-01")
    text = member(root, "xturing-base").changelog.read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## 1.0.1 (2027-03-01)", "## 1.0.0 (2027-01-31)"]


TEXTS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1)


@given(st.lists(st.tuples(TEXTS, st.sampled_from(notes.KINDS)), max_size=8))
def test_every_fragment_is_in_the_changelog_once_and_in_no_other_version(found):
    new = [
        notes.Fragment(Path(f"{number}.md"), kind, f"{number} {text}".strip())
        for number, (text, kind) in enumerate(found)
    ]
    before = CHANGELOG.format(name="it")
    after = notes.folded(before, "1.1.0", new)
    newest, _, older = after.partition("## 1.0.0")
    assert sorted(newest.splitlines().count(each.entry) for each in new) == [1] * len(
        new
    )
    assert older == before.partition("## 1.0.0")[2]


def test_a_full_disk_loses_no_fragment(root, monkeypatch):
    write_fragment(root, "xturing-base/one.fixed.md", "It no longer falls.")
    write_fragment(root, "xturing-top/one.fixed.md", "Nor does this.")
    before = snapshot(root)
    whole = Path.write_text

    def fail(path, *arguments, **options):
        if "xturing-top" in str(path):
            raise OSError(28, "No space left on device")
        return whole(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        notes.fold(root)
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("xturing-base/one.better.md", "It is.", "no change fragment"),
        ("xturing-base/one.md", "It is.", "no change fragment"),
        ("xturing-base/one.fixed.md", " \n", "is empty"),
    ],
)
def test_a_fragment_that_is_none_is_named(name, text, why, root):
    write_fragment(root, name, text)
    with pytest.raises(DataError, match=why):
        notes.fold(root)


def test_a_fragment_for_no_package_is_named(root):
    write_fragment(root, "xturing-bse/one.fixed.md", "It is.")
    with pytest.raises(UnknownNameError, match="Did you mean 'xturing-base'"):
        notes.fold(root)


def test_what_changelogs_lack_is_told(root):
    write_fragment(root, "xturing-base/one.fixed.md", "It is.")
    first, second = notes.missing(root)
    assert "one.fixed.md is in no changelog" in first
    # The package is at 1.4.2, and its changelog ends with 1.0.0.
    assert "tells nothing of 1.4.2" in second


# ---------------------------------------------------------------- what is built


def metadata(**changed: str) -> str:
    fields = {
        "Name": "xturing-top",
        "Version": "1.4.2",
        "Summary": "What stands on it.",
        "License-Expression": "Apache-2.0",
        "Requires-Python": ">=3.11, <3.14",
        **changed,
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    lines += [
        "Requires-Dist: numpy>=1.26",
        "Requires-Dist: xturing-base>=1.0,<2",
        "Requires-Dist: xturing-base[extra]>=1.0,<2 ; extra == 'more'",
        "Provides-Extra: more",
    ]
    return "\n".join([*lines, "", "# xturing-top\n\nOf use.\n"])


def test_metadata_that_say_the_same_in_other_words_are_fine(root):
    said = Parser().parsestr(metadata())
    assert building.differences(member(root, "xturing-top"), said) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("Version", "1.4.1"), ("Summary", "Else."), ("Requires-Python", ">=3.10")],
)
def test_metadata_that_differ_are_named(field, value, root):
    said = Parser().parsestr(metadata(**{field: value}))
    (found,) = building.differences(member(root, "xturing-top"), said)
    assert found.startswith(field)


def test_what_uv_builds_is_as_the_pyproject_says(root):
    top = member(root, "xturing-top")
    workspace.run(
        *("uv", "build", "--offline", "--quiet", "--no-sources"),
        *("--out-dir", root / "dist", top.folder),
    )
    building.check_metadata(top, root / "dist")
    top.file.write_text(TOP.replace("top = ", "tip = "))
    with pytest.raises(DataError, match="entry points"):
        building.check_metadata(member(root, "xturing-top"), root / "dist")


# ---------------------------------------------------------------- lists and bounds


LOCK = """version = 1
[[package]]
name = "other"
version = "1.5"
source = { registry = "https://registry.example/simple" }
sdist = { url = "https://registry.example/other-1.5.tar.gz", hash = "sha256:ab12" }
wheels = [{ url = "https://registry.example/other.whl", hash = "sha256:cd34" }]

[[package]]
name = "pytest"
version = "0.1"
source = { registry = "https://registry.example/simple" }

[[package]]
name = "xturing-workspace"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "other" }]

[package.dev-dependencies]
dev = [{ name = "pytest" }]
"""


@pytest.fixture
def lock(tmp_path):
    file = tmp_path / "uv.lock"
    file.write_text(LOCK)
    return file


def test_the_bill_has_every_package_with_its_files(lock):
    bill = inventory.bill_of_materials(lock)
    other, _ = bill["components"]
    assert other["purl"] == "pkg:pypi/other@1.5"
    hashes = [each["hashes"][0]["content"] for each in other["externalReferences"]]
    assert hashes == ["ab12", "cd34"]


def test_every_reference_in_the_bill_leads_to_a_component(lock):
    bill = inventory.bill_of_materials(lock)
    known = {each["bom-ref"] for each in bill["components"]}
    known.add(bill["metadata"]["component"]["bom-ref"])
    for each in bill["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= known


def test_one_lock_file_makes_one_bill(lock):
    first, second = (inventory.bill_of_materials(lock) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    lock.write_text(LOCK.replace("1.5", "1.6"))
    other = inventory.bill_of_materials(lock)
    assert other["serialNumber"] != first["serialNumber"]


def test_the_bill_of_the_workspace_has_all_of_its_packages():
    bill = inventory.bill_of_materials(workspace.ROOT / "uv.lock")
    names = {each["name"] for each in bill["components"]}
    assert {member.name for member in workspace.members()} <= names
    assert len(names) > 100


def test_a_package_that_is_not_installed_is_listed_as_unknown(lock, tmp_path):
    unknown = inventory.write_inventory(lock, tmp_path)
    assert [each.name for each in unknown] == ["other"]
    table = (tmp_path / inventory.LICENCES).read_text()
    assert "| other | 1.5 | unknown |" in table
    assert "| pytest | 0.1 | MIT |" in table


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("License-Expression: MIT\nLicense: something else", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("License: Apache 2.0", "Apache 2.0"),
        ("License: UNKNOWN", None),
        (f"License: {'All of its text. ' * 9}", None),
        ("Name: it", None),
    ],
)
def test_a_licence_is_read_where_it_stands(fields, licence):
    assert inventory.licence_of(Parser().parsestr(f"{fields}\n")) == licence


def test_a_bound_is_raised_and_the_rest_of_a_requirement_kept():
    requirement = Requirement('numpy[all]>=1.26,<3; extra == "x"')
    made = Requirement(lowest.with_bound(requirement, Version("2.1")))
    assert lowest.lower_bound(made) == Version("2.1")
    assert (made.extras, str(made.marker)) == ({"all"}, 'extra == "x"')
    assert not made.specifier.contains("3.0")


def test_pythons_that_are_not_here_are_all_named():
    with pytest.raises(SettingsError, match=r"no Python 3\.98 and no Python 3\.99"):
        pythons.pythons(["3.98", "3.11", "3.99"])
