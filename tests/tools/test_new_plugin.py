"""The plug-in template under another name."""

import subprocess
import tomllib

import new_plugin
import pytest

from xturing.core.errors import OutputError, SettingsError


def test_a_copy_has_none_of_the_template_s_names(tmp_path):
    new_plugin.new_plugin("acme-metrics", tmp_path / "made")
    files = [file for file in (tmp_path / "made").rglob("*") if file.is_file()]
    assert len(files) > 8
    for file in files:
        assert "example" not in f"{file} {file.read_text()}".lower(), file


def test_names_are_written_as_their_places_need_them(tmp_path):
    new_plugin.new_plugin("acme-metrics", tmp_path / "made")
    project = tomllib.loads((tmp_path / "made" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "xturing-plugin-acme-metrics"
    assert project["project"]["entry-points"]["xturing.metrics"] == {
        "acme_metrics": "xturing_plugin_acme_metrics.metric:AcmeMetrics"
    }


def test_a_copy_can_be_built(tmp_path):
    new_plugin.new_plugin("acme", tmp_path / "made")
    command = ["uv", "build", "--offline", "--wheel", "--quiet", tmp_path / "made"]
    subprocess.run(command, check=True)
    assert list((tmp_path / "made" / "dist").glob("xturing_plugin_acme-*.whl"))


@pytest.mark.parametrize("name", ["", "Acme", "acme_metrics", "-acme", "1st", "a/b"])
def test_a_name_that_no_package_can_have_is_refused(name, tmp_path):
    with pytest.raises(SettingsError, match="no name for a plug-in"):
        new_plugin.new_plugin(name, tmp_path / "made")


def test_a_folder_that_is_in_use_is_left_alone(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(OutputError, match="in use"):
        new_plugin.new_plugin("acme", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
