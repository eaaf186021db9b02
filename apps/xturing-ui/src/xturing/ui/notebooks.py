"""Notebooks: how far long calls are, and a conversation in a cell.

Reports show themselves there: `model.finetune(…)` and `evaluate(…)` return them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from xturing.core.errors import SettingsError
from xturing.core.events import Event, Notice, listening
from xturing.core.extras import require
from xturing.ui.jobs.progress import Mark, Moved, Note
from xturing.ui.talking import Talkers, Turn

FOLLOWED = ("finetune", "evaluate", "selfinstruct")
"""Kinds of work whose events are followed."""


@contextmanager
def progress() -> Iterator[None]:
    """Show under a cell how far what is called inside is, and what it has to say.

    Raises:
        MissingDependencyError: IPython is not installed.
    """
    display = require("IPython.display", package="xturing-ui", extra="notebook")
    shown = display.display(display.HTML(""), display_id=True)
    state = _State()

    def show(event: Event) -> None:
        if state.take(event) and shown is not None:
            shown.update(display.HTML(state.html))

    with listening(show):
        yield


class _State:
    """The last that was told, as HTML."""

    def __init__(self) -> None:
        from xturing.ui.kinds import KINDS

        self._kinds = [KINDS[name] for name in FOLLOWED]
        self._note = ""
        self._moved = Moved(done=0, total=1)

    def take(self, event: Event) -> bool:
        """Take an event on, and tell whether it says something new."""
        marks: list[Mark] = [mark for kind in self._kinds for mark in kind.marks(event)]
        if isinstance(event, Notice):
            marks = [Note(text=event.text)]
        for mark in marks:
            if isinstance(mark, Note):
                self._note = mark.text
            elif isinstance(mark, Moved):
                self._moved = mark
        return bool(marks)

    @property
    def html(self) -> str:
        """The state as a bar and two lines."""
        done, total = self._moved.done, self._moved.total
        return (
            f'<progress value="{done}" max="{max(total, 1)}" style="width: 60%">'
            f"</progress> {done:,} of {total:,} {escape(self._moved.text)}"
            f"<div>{escape(self._note)}</div>"
        )


def model_chat(name_or_path: str) -> Any:
    """Return a box to talk with a model in a notebook, a name or a saved folder.

    Raises:
        MissingDependencyError: ipywidgets are not installed.
        SettingsError: this is no notebook.
        ModelError: the model cannot be opened.
    """
    widgets = require("ipywidgets", package="xturing-ui", extra="notebook")
    if not _is_notebook():
        raise SettingsError(
            "model_chat shows a box in a notebook, and this is none. In a terminal, "
            f"`xturing chat -m {name_or_path}` does it."
        )
    talker = Talkers().open(name_or_path)
    history: list[Turn] = []
    prompt = widgets.Text(placeholder="Write, and press Chat")
    chat, clear = (widgets.Button(description=title) for title in ("Chat", "Clear"))
    said = widgets.HTML()

    def show() -> None:
        said.value = "".join(
            f"<p><b>{turn['role']}</b>: {escape(turn['content'])}</p>"
            for turn in history
        )

    def talk(_: object) -> None:
        if not prompt.value.strip():
            return
        asked = {"role": "user", "content": prompt.value}
        history.extend((asked, {"role": "assistant", "content": ""}))
        prompt.value = ""
        for piece in talker.answer(history[:-1], talker.decoding):
            history[-1]["content"] += piece
            show()

    def forget(_: object) -> None:
        history.clear()
        show()

    chat.on_click(talk)
    clear.on_click(forget)
    return widgets.VBox([said, prompt, widgets.HBox([chat, clear])])


def _is_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    ipython = require("IPython", package="xturing-ui", extra="notebook")
    shell = ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
