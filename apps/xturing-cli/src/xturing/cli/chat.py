"""`xturing chat`: a conversation with a model."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xturing.cli import render
from xturing.cli.model_options import (
    EngineOption,
    LengthOption,
    ModelOption,
    WeightsOption,
    length_layer,
    open_chosen,
)
from xturing.cli.setting_options import ConfigOption, SetOption, generation_layers
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.models import BaseModel
    from xturing.models.inference import Engine

HELP = "/reset forgets the conversation, /exit ends it. Ctrl-C stops an answer."


def chat(
    model: ModelOption,
    system: Annotated[
        str | None, typer.Option("--system", help="What the model is told first.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="BASE",
            help="A second model, whose answers stand beside the first one's.",
        ),
    ] = None,
    engine: EngineOption = "auto",
    max_new_tokens: LengthOption = None,
    weights: WeightsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Talk to a model; it remembers the conversation.

    Example: xturing chat -m tuned --compare smollm2
    """
    first = [{"role": "system", "content": system}] if system else []
    layers = generation_layers(config, settings)
    if max_new_tokens is not None:
        layers.append(length_layer(max_new_tokens))
    speakers = [_speaker(model, weights, layers, engine, first)]
    if compare is not None:
        speakers.append(_speaker(compare, None, layers, engine, first))
    try:
        _converse(speakers)
    finally:
        for speaker in speakers:
            speaker.engine.close()


@dataclass
class Speaker:
    """A model with its side of the conversation."""

    name: str
    model: "BaseModel"
    engine: "Engine"
    first: list[dict[str, str]]
    messages: list[dict[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget the conversation."""
        self.messages = list(self.first)

    def answer(self) -> Iterator[str]:
        """Yield the answer to the conversation so far, as it is written."""
        from xturing.models.generation import prompt_tokens
        from xturing.models.inference import Decoding, Request, stream

        request = Request(
            prompt=tuple(prompt_tokens(self.engine.tokenizer, self.messages)),
            decoding=Decoding.of(self.model.generation_config()),
        )
        return (piece.text for piece in stream(self.engine, request) if piece.text)


def _speaker(
    model: str,
    weights: str | None,
    layers: list[Layer],
    engine: str,
    first: list[dict[str, str]],
) -> Speaker:
    from xturing.models.inference import open_engine

    opened = open_chosen(model, weights, layers=layers)
    with render.notices():
        speaker = Speaker(model, opened, open_engine(opened, engine), first)
    speaker.reset()
    return speaker


def _converse(speakers: list[Speaker]) -> None:
    render.note(HELP)
    for words in _lines():
        if words == "/exit":
            return
        if words == "/reset":
            for speaker in speakers:
                speaker.reset()
            render.note("The conversation begins anew.")
        elif words.startswith("/"):
            render.note(f"There is no {words.split()[0]}. {HELP}")
        elif words:
            _exchange(speakers, words)


def _exchange(speakers: list[Speaker], words: str) -> None:
    for speaker in speakers:
        speaker.messages.append({"role": "user", "content": words})
    if len(speakers) == 1:
        answers = [_speak(speakers[0])]
    else:
        names = [speaker.name for speaker in speakers]
        answers = render.side_by_side(names, [each.answer() for each in speakers])
    for speaker, answer in zip(speakers, answers, strict=True):
        # A template may refuse an empty turn, and a stopped one has to hold something.
        speaker.messages.append({"role": "assistant", "content": answer or "…"})


def _lines() -> Iterator[str]:
    """Yield what the user writes, until the end of input."""
    is_terminal = sys.stdin.isatty()
    while True:
        try:
            yield input("USER > " if is_terminal else "").strip()
        except EOFError:
            return


def _speak(speaker: Speaker) -> str:
    """Write the model's answer as it comes, and return it."""
    render.write("MODEL > ")
    answer = ""
    pieces: Any = speaker.answer()
    try:
        for piece in pieces:
            answer += piece
            render.write(piece)
    except KeyboardInterrupt:
        pieces.close()
        render.write(" (stopped)")
    render.say()
    return answer
