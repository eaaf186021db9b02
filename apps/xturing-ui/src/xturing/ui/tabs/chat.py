"""Chat: a conversation with a model, or with two side by side."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from xturing.ui.page import Page
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.fields import optional_number, whole
from xturing.ui.talking import Talker, Turn

if TYPE_CHECKING:
    from xturing.models.inference import Decoding

OWN, GREEDY, NUCLEUS, CONTRASTIVE = (
    "As the model is set",
    "Greedy",
    "Top-p sampling",
    "Contrastive search",
)
PERIOD = 0.05
"""Seconds between two updates of an answer."""
SEED = "Seed"
GOOD, BAD = (
    f'<span style="color: {colour}">●</span>' for colour in ("#16a34a", "#ef4444")
)


class ChatTab:
    """A conversation. Its history is the window's own, and is sent with each prompt."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row():
            with gr.Column(scale=3):
                self._build_models()
                with gr.Row():
                    self.left = _conversation("Answers", "chat-left")
                    self.right = _conversation("Beside it", "chat-right", visible=False)
                with gr.Row():
                    self.prompt = gr.Textbox(
                        placeholder="Load a model first",
                        interactive=False,
                        show_label=False,
                        scale=5,
                        elem_id="chat-prompt",
                    )
                    self.send = gr.Button("Send", variant="primary", interactive=False)
                    self.stop = gr.Button("Stop", elem_id="chat-stop")
                    self.clear = gr.Button("Clear chat", elem_id="chat-clear")
            with gr.Column(scale=1):
                self._build_settings()

    def _build_models(self) -> None:
        with gr.Row():
            self.model = gr.Dropdown(
                self._page.names,
                value=self._page.model,
                label="Model: a name, or a saved model's folder",
                allow_custom_value=True,
                elem_id="chat-model",
            )
            self.other = gr.Dropdown(
                ["", *self._page.names],
                value="",
                label="Beside it: a second model, such as the base",
                allow_custom_value=True,
                elem_id="chat-other",
            )
            self.load = gr.Button("Load", variant="primary", elem_id="chat-load")
        self.status = gr.HTML(f"{BAD} No model is loaded.", elem_id="chat-status")

    def _build_settings(self) -> None:
        self.system = gr.Textbox(label="System prompt", lines=2)
        self.way = gr.Radio(
            [OWN, GREEDY, NUCLEUS, CONTRASTIVE], value=OWN, label="Decoding"
        )
        self.temperature = gr.Slider(0.05, 2, 1.0, step=0.05, label="Temperature")
        self.top_p = gr.Slider(0.01, 1, 0.92, step=0.01, label="Top-p")
        self.top_k = gr.Slider(0, 100, 0, step=1, label="Top-k (0: all)")
        self.penalty_alpha = gr.Slider(0, 1, 0.6, step=0.05, label="Penalty alpha")
        self.repetition = gr.Slider(1, 2, 1, step=0.05, label="Repetition penalty")
        self.longest = gr.Slider(1, 2048, 256, step=1, label="Max new tokens")
        self.seed = optional_number(SEED, "chat-seed", "by chance")

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        quiet: dict[str, Any] = {"api_visibility": "private"}
        self.load.click(
            self._load,
            [self.model, self.other],
            [self.status, self.prompt, self.send, self.right],
            **quiet,
        )
        settings = {
            *(self.model, self.other, self.system, self.way, self.temperature),
            *(self.top_p, self.top_k, self.penalty_alpha, self.repetition),
            *(self.longest, self.seed, self.left, self.right),
        }
        asked = gr.on(
            [self.prompt.submit, self.send.click],
            self._ask,
            [self.prompt, self.left, self.right],
            [self.prompt, self.left, self.right],
            queue=False,
            **quiet,
        )
        answered = asked.success(
            self._answer, settings, [self.left, self.right], **quiet
        )
        self.stop.click(None, cancels=[answered], **quiet)
        self.clear.click(
            lambda: ([], []), None, [self.left, self.right], cancels=[answered], **quiet
        )
        del blocks

    def _load(self, model: str, other: str) -> Iterator[list[Any]]:
        off = gr.Textbox(interactive=False, placeholder="Load a model first")
        yield [
            f"Loading {escape(model)} …",
            off,
            gr.Button(interactive=False),
            gr.skip(),
        ]
        try:
            names = [each for each in (model, other) if each and each.strip()]
            with errors_shown():
                engines = [self._talker(name).engine.name for name in names]
        except gr.Error as error:
            told = f"{BAD} {escape(str(error.message))}"
            yield [told, off, gr.Button(interactive=False), gr.skip()]
            return
        told = ", ".join(
            f"{escape(name)} (engine {engine})"
            for name, engine in zip(names, engines, strict=True)
        )
        yield [
            f"{GOOD} Loaded {told}.",
            gr.Textbox(interactive=True, placeholder="Write, and press Enter"),
            gr.Button(interactive=True),
            gr.Chatbot(visible=len(names) > 1),
        ]

    def _ask(
        self, prompt: str, left: list[Any], right: list[Any]
    ) -> tuple[str, list[Any], list[Any]]:
        if not prompt.strip():
            raise gr.Error("Write something first.", duration=5, print_exception=False)
        turn = {"role": "user", "content": prompt}
        return "", [*left, turn], [*right, turn]

    def _answer(self, given: dict[Any, Any]) -> Iterator[tuple[list[Any], list[Any]]]:
        with errors_shown():
            names = [given[self.model], given[self.other]]
            histories = [given[self.left], given[self.right]]
            count = 2 if names[1] and names[1].strip() else 1
            streams = [
                self._stream(given, names[side], histories[side])
                for side in range(count)
            ]
            for answers in _together(streams):
                for side, answer in enumerate(answers):
                    said = {"role": "assistant", "content": answer}
                    histories[side] = [*given[self._side(side)], said]
                yield histories[0], histories[1]

    def _side(self, number: int) -> gr.Chatbot:
        return (self.left, self.right)[number]

    def _stream(
        self, given: dict[Any, Any], name: str, history: list[Any]
    ) -> Iterator[str]:
        decoding = self._decoding(given, self._talker(name))
        talker = self._page.talkers.able(self._reference(name), decoding)
        return talker.answer(conversation(given[self.system], history), decoding)

    def _talker(self, name: str) -> Talker:
        return self._page.talkers.open(self._reference(name))

    def _reference(self, name: str) -> str:
        places = self._page.places
        return places.here(places.model(name))

    def _decoding(self, given: dict[Any, Any], talker: Talker) -> "Decoding":
        """Return how tokens are chosen; the model's own settings stay as they are."""
        from xturing.models.inference import Decoding

        common: dict[str, Any] = {
            "max_new_tokens": int(given[self.longest]),
            "seed": whole(given[self.seed], SEED),
        }
        if given[self.way] == OWN:
            return replace(talker.decoding, **common)
        common["repetition_penalty"] = float(given[self.repetition])
        if given[self.way] == GREEDY:
            return Decoding(**common)
        top_k = int(given[self.top_k])
        if given[self.way] == CONTRASTIVE:
            alpha = float(given[self.penalty_alpha])
            return Decoding(penalty_alpha=alpha, top_k=top_k or 4, **common)
        return Decoding(
            temperature=float(given[self.temperature]),
            top_p=float(given[self.top_p]),
            top_k=top_k,
            **common,
        )


def conversation(system: str | None, history: Sequence[Any]) -> list[Turn]:
    """Return the turns that a model is to go on from, as chat templates take them."""
    first: list[Turn] = []
    if system and system.strip():
        first = [{"role": "system", "content": system}]
    # A template may refuse an empty turn, which one that was stopped may be.
    turns = [
        {"role": turn["role"], "content": words(turn["content"]) or "…"}
        for turn in history
    ]
    return first + turns


def words(content: Any) -> str:
    """Return the text of a turn, which Gradio has in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return str(content.get("text", ""))
    return "".join(words(part) for part in content)


def _together(streams: Sequence[Iterator[str]]) -> Iterator[list[str]]:
    """Yield what all streams have written so far, now and then and at the end."""
    answers = [""] * len(streams)
    left = dict(enumerate(streams))
    shown = 0.0
    try:
        while left:
            for side, stream in list(left.items()):
                piece = next(stream, None)
                if piece is None:
                    del left[side]
                else:
                    answers[side] += piece
            if time.monotonic() - shown >= PERIOD:
                shown = time.monotonic()
                yield list(answers)
        yield list(answers)
    finally:
        # Who leaves stops all of them.
        for stream in streams:
            close = getattr(stream, "close", None)
            if close is not None:
                close()


def _conversation(label: str, name: str, *, visible: bool = True) -> gr.Chatbot:
    return gr.Chatbot(
        label=label, height=460, elem_id=name, visible=visible, buttons=["copy"]
    )
