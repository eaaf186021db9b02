"""Entry points are kept only as long as they are those of what is installed."""

import shutil
from importlib import metadata

import pytest

from xturing.core.plugins import entry_points
from xturing.core.registry import Registry


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution, which gives "pi" a name."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(name):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[xturing.test]\n{name} = math:pi\n")
        return folder

    return installed


def names():
    return [point.name for point in entry_points(group="xturing.test")]


def test_distributions_are_read_once(install, monkeypatch):
    install("once")
    assert names() == ["once"]
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("again"))
    assert names() == ["once"]


def test_what_is_installed_later_is_found(install):
    install("early")
    assert names() == ["early"]
    install("late")
    assert sorted(names()) == ["early", "late"]


def test_what_is_removed_is_gone(install):
    folder = install("brief")
    assert names() == ["brief"]
    shutil.rmtree(folder)
    assert names() == []


def test_a_place_that_is_searched_later_is_searched(install, tmp_path, monkeypatch):
    assert names() == []
    install("here")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "here-1.dist-info", elsewhere)
    assert names() == []
    monkeypatch.syspath_prepend(elsewhere)
    assert names() == ["here"]


def test_only_those_of_a_name_are_given_when_it_is_asked_for(install):
    install("one")
    install("two")
    (found,) = entry_points(group="xturing.test", name="two")
    assert found.name == "two"


def test_a_registry_has_the_names_of_installed_distributions(install):
    install("circle")
    numbers: Registry[float] = Registry("number", "xturing.test", {"one": 1.0})
    assert list(numbers) == ["circle", "one"]
    assert round(numbers["circle"], 2) == 3.14


def test_all_that_is_installed_is_what_the_standard_library_finds():
    found = entry_points(group="console_scripts")
    assert set(found) == set(metadata.entry_points(group="console_scripts"))
    assert len(found) > 1
