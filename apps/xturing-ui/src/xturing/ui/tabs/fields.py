"""Fields for numbers that may be left empty, which Gradio's own would show as 0."""

import gradio as gr

from xturing.core.errors import SettingsError


def optional_number(label: str, name: str, otherwise: str = "") -> gr.Textbox:
    """Return a field; `otherwise` tells what an empty one means."""
    return gr.Textbox(label=label, placeholder=otherwise, elem_id=name, min_width=110)


def whole(text: str | None, label: str) -> int | None:
    """Return the whole number that a field holds; None: it is empty.

    Raises:
        SettingsError: it is none.
    """
    if not text or not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{label} is {text!r}; write a whole number.") from None


def decimal(text: str | None, label: str) -> float | None:
    """Return the number that a field holds; None: it is empty.

    Raises:
        SettingsError: it is none.
    """
    if not text or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"{label} is {text!r}; write a number, such as 2e-4."
        ) from None
