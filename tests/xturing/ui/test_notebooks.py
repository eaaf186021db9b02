"""Notebooks: progress under a cell, reports that show themselves, a box to chat in."""

from html import unescape
from types import SimpleNamespace

import pytest

from xturing.core.errors import SettingsError
from xturing.core.events import Notice, tell
from xturing.data import InstructionDataset
from xturing.ui import notebooks


@pytest.fixture
def rows() -> InstructionDataset:
    pairs = [(f"Say {n}", f"{n} it is") for n in range(12)]
    return InstructionDataset(
        {
            "instruction": [instruction for instruction, _ in pairs],
            "text": [""] * len(pairs),
            "target": [target for _, target in pairs],
        }
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a cell's output has come to show, in order."""
    import IPython.display

    updates: list[str] = []
    handle = SimpleNamespace(update=lambda html: updates.append(html.data))
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: handle)
    return updates


def test_progress_shows_steps_and_notices(tiny_model, rows, shown):
    with notebooks.progress():
        tell(Notice(text="a < b"))
        tiny_model.finetune(rows)
    assert "a &lt; b" in shown[0]
    assert "tokens/s" in shown[-1] or any("tokens/s" in html for html in shown)
    steps = [html for html in shown if 'value="1"' in html]
    assert steps


def test_a_report_shows_itself_and_runs_nothing(tiny_model, rows):
    told = tiny_model.finetune(rows)._repr_html_()
    assert "allow-scripts" not in told
    assert "<h2>Verdict</h2>" in unescape(told)


def test_a_box_outside_of_a_notebook_is_refused():
    with pytest.raises(SettingsError, match="xturing chat -m smollm2"):
        notebooks.model_chat("smollm2")


def test_a_box_answers_and_forgets(
    tiny_folder, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    from xturing.models import GenericModel

    saved = tmp_path / "saved"
    GenericModel(tiny_folder).save(saved)
    monkeypatch.setattr(notebooks, "_is_notebook", lambda: True)
    box = notebooks.model_chat(str(saved))
    said, prompt, buttons = box.children
    chat, clear = buttons.children
    prompt.value = "Hello <b>"
    chat.click()
    assert "Hello &lt;b&gt;" in said.value
    assert "assistant" in said.value
    clear.click()
    assert said.value == ""
