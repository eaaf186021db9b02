import sys
from importlib.metadata import EntryPoint

import pytest

from xturing.core import registry as module
from xturing.core.errors import (
    MissingDependencyError,
    SettingsError,
    UnknownNameError,
    XTuringError,
)
from xturing.core.events import Notice, listening, tell
from xturing.core.extras import require
from xturing.core.registry import Registry


@pytest.fixture
def colours() -> Registry[object]:
    return Registry("colour", "xturing.test", {"red": 1, "green": 2})


def test_a_wrong_name_is_answered_with_the_closest(colours):
    with pytest.raises(UnknownNameError, match="no colour 'gren'.*'green'"):
        colours["gren"]


def test_a_name_like_no_other_is_answered_with_all(colours):
    with pytest.raises(UnknownNameError, match="There are 'green' and 'red'"):
        colours["xylophone"]


def test_an_unknown_name_is_a_key_error_whose_text_is_a_sentence(colours):
    with pytest.raises(KeyError) as caught:
        colours["blue"]
    assert str(caught.value).startswith("There is no colour")


def test_a_name_is_given_once(colours):
    colours.add("blue", 3)
    with pytest.raises(SettingsError, match="already"):
        colours.add("blue", 4)


def test_listing_names_imports_nothing():
    lazy: Registry[object] = Registry("thing", "xturing.test", {"a": "wave:open"})
    sys.modules.pop("wave", None)
    assert list(lazy) == ["a"]
    assert "wave" not in sys.modules
    assert callable(lazy["a"])


def test_an_installed_plug_in_adds_a_name(colours, monkeypatch):
    point = EntryPoint("pi", "math:pi", "xturing.test")
    monkeypatch.setattr(module, "entry_points", lambda group: [point])
    assert "pi" in colours
    assert round(colours["pi"], 2) == 3.14


def test_a_missing_optional_library_is_answered_with_the_pip_line():
    with pytest.raises(
        MissingDependencyError, match=r'pip install "xturing-train\[extra\]"'
    ):
        require("no_such_module_here", package="xturing-train", extra="extra")


def test_an_optional_library_that_lacks_its_own_parts_is_not_called_missing(
    tmp_path, monkeypatch
):
    (tmp_path / "half_there.py").write_text("import no_such_module_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("half_there", package="p", extra="e")
    assert not isinstance(caught.value, XTuringError)


def test_events_reach_those_who_listen_and_only_while_they_do():
    heard = []
    tell(Notice(text="too early"))
    with listening(heard.append):
        tell(Notice(text="now"))
    tell(Notice(text="too late"))
    assert heard == [Notice(text="now")]
