"""`xturing chat`: a conversation with a model."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.model_options import (
    LengthOption,
    ModelOption,
    WeightsOption,
    open_chosen,
)

if TYPE_CHECKING:
    from xturing.models import BaseModel

HELP = "/reset forgets the conversation, /exit ends it. Ctrl-C stops an answer."


def chat(
    model: ModelOption,
    system: Annotated[
        str | None, typer.Option("--system", help="What the model is told first.")
    ] = None,
    max_new_tokens: LengthOption = None,
    weights: WeightsOption = None,
) -> None:
    """Talk to a model; it remembers the conversation.

    Example: xturing chat -m tuned
    """
    opened = open_chosen(model, weights, max_new_tokens)
    first = [{"role": "system", "content": system}] if system else []
    render.note(HELP)
    messages = list(first)
    for words in _lines():
        if words == "/exit":
            return
        if words == "/reset":
            messages = list(first)
            render.note("The conversation begins anew.")
        elif words.startswith("/"):
            render.note(f"There is no {words.split()[0]}. {HELP}")
        elif words:
            messages.append({"role": "user", "content": words})
            answer = _speak(opened, messages)
            messages.append({"role": "assistant", "content": answer})


def _lines() -> Iterator[str]:
    """Yield what the user writes, until the end of input."""
    is_terminal = sys.stdin.isatty()
    while True:
        try:
            yield input("USER > " if is_terminal else "").strip()
        except EOFError:
            return


def _speak(model: "BaseModel", messages: list[dict[str, str]]) -> str:
    """Write the model's answer as it comes, and return it."""
    render.write("MODEL > ")
    answer = ""
    try:
        for piece in model.stream(messages):
            answer += piece
            render.write(piece)
    except KeyboardInterrupt:
        render.write(" (stopped)")
    render.say()
    # A template may refuse an empty turn, and a stopped one has to hold something.
    return answer or "…"
