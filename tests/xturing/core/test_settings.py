import pytest

from xturing.core.errors import SettingsError
from xturing.core.settings import Layer, Settings, read_layers, read_yaml


class Recipe(Settings):
    """Settings for these tests."""

    minutes: int = 10
    heat: float = 1.5
    name: str = "soup"


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match="no setting 'minuts'.*mean 'minutes'"):
        Recipe(minuts=3)


def test_an_unknown_setting_is_refused_on_assignment():
    with pytest.raises(SettingsError, match="mean 'heat'"):
        Recipe().heta = 2.0


@pytest.mark.parametrize("value", ["fast", None, float("nan"), [1.0]])
def test_a_value_of_the_wrong_type_is_refused_with_what_was_given(value):
    with pytest.raises(SettingsError, match="heat is .*but input should be"):
        Recipe().heat = value


def test_a_refused_assignment_leaves_the_value_as_it_was():
    recipe = Recipe()
    with pytest.raises(SettingsError):
        recipe.minutes = "soon"
    assert recipe.minutes == 10


def test_the_last_layer_wins_and_each_value_remembers_its_own():
    recipe = Recipe.resolve(
        Layer(source="family", values={"minutes": 20, "heat": 2.0}),
        Layer(source="file", values={"minutes": 30}),
    )
    assert (recipe.minutes, recipe.heat, recipe.name) == (30, 2.0, "soup")
    assert recipe.sources == {"minutes": "file", "heat": "family", "name": "default"}


def test_a_wrong_layer_is_named():
    with pytest.raises(SettingsError, match=r"file x\.yaml: .*'heet'"):
        Recipe.resolve(Layer(source="file x.yaml", values={"heet": 1}))


def test_assignments_stay_on_top_of_later_layers_for_other_settings():
    recipe = Recipe()
    recipe.minutes = 5
    recipe = recipe.layered(Layer(source="file", values={"heat": 3.0}))
    assert recipe.minutes == 5
    assert recipe.sources["minutes"] == "assignment"


def test_a_copy_remembers_who_set_what():
    recipe = Recipe.resolve(Layer(source="file", values={"heat": 3.0}))
    assert recipe.model_copy(deep=True).sources == recipe.sources


def test_numbers_that_yaml_reads_as_words_are_numbers_all_the_same(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("heat: 1e-4\n")
    assert Recipe.resolve(read_yaml(file)).heat == 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1\n", "holds list"), ("a: [", "cannot be read"), ("", "holds NoneType")],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_yaml(file)


def test_a_missing_settings_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no settings file .*gone\.yaml"):
        read_yaml(tmp_path / "gone.yaml")


def written(folder, **files):
    """Write YAML files, and return the first one's path."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def test_a_file_wins_over_those_that_it_extends_and_later_ones_over_earlier(tmp_path):
    file = written(
        tmp_path,
        own="extends: [one.yaml, two.yaml]\nname: own\n",
        one="name: one\nminutes: 1\nheat: 1.0\n",
        two="name: two\nminutes: 2\n",
    )
    recipe = Recipe.resolve(*read_layers(file))
    assert (recipe.name, recipe.minutes, recipe.heat) == ("own", 2, 1.0)


def test_each_value_names_the_file_that_it_stands_in(tmp_path):
    file = written(tmp_path, own="extends: base.yaml\nheat: 2\n", base="minutes: 3\n")
    assert Recipe.resolve(*read_layers(file)).sources == {
        "minutes": f"file {tmp_path / 'base.yaml'}",
        "heat": f"file {file}",
        "name": "default",
    }


def test_what_is_extended_is_relative_to_the_file_that_names_it(tmp_path):
    (tmp_path / "deep").mkdir()
    file = written(tmp_path, own="extends: deep/middle.yaml\n")
    written(tmp_path / "deep", middle="extends: base.yaml\n", base="minutes: 4\n")
    assert Recipe.resolve(*read_layers(file)).minutes == 4


def test_two_files_may_extend_the_same_one(tmp_path):
    file = written(
        tmp_path,
        own="extends: [one.yaml, two.yaml]\n",
        one="extends: base.yaml\nheat: 1\n",
        two="extends: base.yaml\n",
        base="minutes: 5\n",
    )
    assert Recipe.resolve(*read_layers(file)).minutes == 5


@pytest.mark.parametrize(
    "files",
    [
        {"own": "extends: own.yaml\n"},
        {"own": "extends: one.yaml\n", "one": "extends: ./own.yaml\n"},
    ],
)
def test_a_file_that_extends_itself_is_refused_with_the_way_there(tmp_path, files):
    with pytest.raises(SettingsError, match=r"extends itself: .*own\.yaml -> .*own"):
        read_layers(written(tmp_path, **files))


def test_a_missing_file_is_named_with_the_one_that_extends_it(tmp_path):
    file = written(tmp_path, own="extends: gone.yaml\n")
    with pytest.raises(SettingsError, match=r"gone\.yaml, which .*own\.yaml extends"):
        read_layers(file)


@pytest.mark.parametrize("value", ["3", "[1]", "{a: b}"])
def test_what_extends_no_file_is_refused(tmp_path, value):
    file = written(tmp_path, own=f"extends: {value}\n")
    with pytest.raises(SettingsError, match="Name a file or a list of files"):
        read_layers(file)
