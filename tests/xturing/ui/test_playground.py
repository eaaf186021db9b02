"""The app as a whole: who may come in, and what it says and asks of nobody."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from xturing.core.errors import SettingsError
from xturing.ui import LaunchSettings, Playground
from xturing.ui.tabs.chat import conversation, words
from xturing.ui.tabs.fields import decimal, whole


def test_the_playground_is_imported_from_where_the_readme_said__predecessor_fault_27():
    assert Playground.__module__ == "xturing.ui.playground"


def test_importing_the_app_imports_no_gradio_and_no_torch():
    program = (
        "import sys; from xturing.ui import Playground; Playground(); "
        "sys.exit(bool({'gradio', 'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_page_is_built_with_all_its_tabs__predecessor_fault_26(tmp_path: Path):
    # In a process of its own, as Gradio leaves event loops open.
    program = (
        "from xturing.ui import Playground\n"
        f"blocks = Playground(root={str(tmp_path)!r}).blocks().blocks.values()\n"
        "print([b.label for b in blocks if type(b).__name__ == 'Tab'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    labels = ast.literal_eval(done.stdout)
    assert labels == [
        *("Chat", "Fine-tune", "Data", "Evaluate", "Quantize & export", "Jobs")
    ]


def test_building_the_page_asks_the_network_for_nothing(tmp_path: Path):
    program = (
        "import socket, sys; asked = []\n"
        "real = socket.getaddrinfo\n"
        "def told(host, *rest, **more):\n"
        "    asked.append(host); return real(host, *rest, **more)\n"
        "socket.getaddrinfo = told\n"
        "from xturing.ui import Playground\n"
        f"app = Playground(root={str(tmp_path)!r}).launch(port=0, block=False)\n"
        "import time; time.sleep(2); app.close()\n"
        "sys.exit(repr(asked) if set(asked) - {'127.0.0.1', 'localhost'} else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", [{"host": "0.0.0.0"}, {"share": True}])
def test_nobody_comes_in_from_elsewhere_without_a_password(given: dict):
    with pytest.raises(SettingsError, match="--auth USER:PASSWORD"):
        LaunchSettings(**given).refuse_open_doors()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "0.0.0.0", "auth": ("user", "password")},
        {"share": True, "no_auth": True},
    ],
)
def test_whoever_says_so_opens_the_doors(given: dict):
    LaunchSettings(**given).refuse_open_doors()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SettingsError, match="make it first"):
        Playground(root=tmp_path / "nothing").blocks()


def test_the_history_is_part_of_the_prompt__predecessor_spec_15_3():
    history = [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Again"},
    ]
    assert conversation("Be kind.", history) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "…"},
        {"role": "user", "content": "Again"},
    ]


def test_words_are_found_in_whatever_parts_gradio_has_them():
    parts = [{"type": "text", "text": "one "}, "two", {"type": "file"}]
    assert words(parts) == "one two"


@pytest.mark.parametrize("text", ["", "  ", None])
def test_an_empty_field_is_no_number(text):
    assert whole(text, "Steps") is None
    assert decimal(text, "Rate") is None


def test_a_field_that_holds_no_number_is_told():
    with pytest.raises(SettingsError, match="Steps is 'many'"):
        whole("many", "Steps")
    with pytest.raises(SettingsError, match="Rate is 'high'"):
        decimal("high", "Rate")
