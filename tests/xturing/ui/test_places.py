"""What a page may read and write."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import ModelError, OutputError, SettingsError, XTuringError
from xturing.ui.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    root = tmp_path / "root"
    root.mkdir()
    (root / "rows.jsonl").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret.txt")
    return Places(root)


@pytest.mark.parametrize(
    "path", ["../secret.txt", "/etc/passwd", "link", "~/x", "a/../../secret.txt"]
)
def test_nothing_outside_is_read(places: Places, path: str):
    with pytest.raises(SettingsError, match="outside of"):
        places.readable(path)


@pytest.mark.parametrize("path", ["../new", "/tmp/new", "~/new"])
def test_nothing_outside_is_written(places: Places, path: str):
    with pytest.raises(SettingsError, match="outside of"):
        places.writable(path, "tuned")


@given(st.text())
def test_whatever_is_written_stays_inside(tmp_path_factory, text: str):
    places = Places(tmp_path_factory.mktemp("root").resolve())
    try:
        found = places.writable(text, "tuned")
    except (XTuringError, OSError, ValueError):
        return
    assert places.root in (places.root / found).resolve().parents


def test_a_path_is_of_the_root(places: Places):
    assert places.readable(" rows.jsonl ") == "rows.jsonl"
    assert places.readable(str(places.root / "rows.jsonl")) == "rows.jsonl"


def test_a_path_that_is_not_there_is_told(places: Places):
    with pytest.raises(SettingsError, match=r"There is no rows\.json in"):
        places.readable("rows.json")


def test_without_a_name_a_free_one_is_taken(places: Places):
    assert places.writable("", "tuned") == "tuned"
    (places.root / "tuned").mkdir()
    (places.root / "tuned" / "file").write_text("")
    assert places.writable("", "tuned") == "tuned-2"


def test_what_is_in_use_is_not_written_over(places: Places):
    with pytest.raises(OutputError):
        places.writable("rows.jsonl", "tuned")


def test_the_apps_own_folder_is_not_written_to(places: Places):
    with pytest.raises(OutputError, match="own"):
        places.writable("xturing-ui/jobs", "tuned")


def test_a_model_is_a_name_or_a_folder_inside(places: Places):
    (places.root / "saved").mkdir()
    assert places.model("smollm2_lora") == "smollm2_lora"
    assert places.model("saved") == "saved"
    with pytest.raises(ModelError, match="no folder smolm2 in"):
        places.model("smolm2")


def test_weights_are_a_hub_id_or_a_path_inside(places: Places):
    (places.root / "saved").mkdir()
    assert places.weights("acme/acme-1b") == "acme/acme-1b"
    assert places.weights("saved") == "saved"
    assert places.weights("  ") is None
    with pytest.raises(SettingsError, match="outside of"):
        places.weights("/etc")


def test_a_model_is_found_from_wherever_the_app_was_started(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (places.root / "saved").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Path(places.here("saved")).is_dir()
    assert places.here("smollm2") == "smollm2"


def test_a_path_that_will_be_written_stays_inside(places: Places):
    assert places.inside("cache/of/rows") == "cache/of/rows"
    with pytest.raises(SettingsError, match="outside of"):
        places.inside("../cache")
