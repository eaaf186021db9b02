import pytest

from xturing.cli import render

TEXTS = ["[bold]not bold[/bold]", ":fire:", "[/INST]", "\\[x]", "a" * 300, "é ✓ 漢字"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("show", [render.say, render.write])
def test_what_a_model_says_is_shown_as_it_is(show, text, capsys):
    show(text)
    assert capsys.readouterr().out.rstrip("\n") == text


def test_a_table_shows_its_cells_as_they_are(capsys):
    render.table(["a", "b"], [["[red]", ":fire:"]])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["[red]", ":fire:"]
