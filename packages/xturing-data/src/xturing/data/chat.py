"""Conversations through a chat template: the text, and where each turn stands in it.

The tokenizer's own template writes the text. Where an answer begins is found by asking
the template for the same conversation up to that turn, ready for the model to speak; so
what is learnt is what the model has to say after the prompt that it will be served.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError

from xturing.core.errors import DataError
from xturing.data.records import Conversation, Message


class Tokenizer(Protocol):
    """What encoding needs of a tokenizer; those of transformers have it."""

    chat_template: Any
    bos_token_id: Any
    eos_token_id: Any
    is_fast: bool
    backend_tokenizer: Any
    added_tokens_decoder: Any

    def __call__(self, text: Any, **options: Any) -> Any:
        """Return the ids and offsets of one text or several."""
        ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Return the text of a conversation."""
        ...


@dataclass(frozen=True)
class Turn:
    """Where one answer that is learnt stands in a rendered conversation, in characters.

    The token that ends the turn is the next one after `answer_end`.
    """

    start: int
    """Where the model begins to speak."""
    answer_end: int
    """Where its words end."""
    is_closed: bool = True
    """Whether the text itself holds the token that ends the turn."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the text that a chat template makes of it."""

    text: str
    turns: tuple[Turn, ...]
    prompts: tuple[tuple[int, int], ...]
    """Start and end of the words of each message that is not learnt."""


def render(
    conversations: Sequence[tuple[Conversation, str]], tokenizer: Tokenizer
) -> list[Rendered]:
    """Return the text of each conversation and the places of its turns.

    Conversations come with words for where they are from.

    Raises:
        DataError: the template fails on one, or changes or leaves out what was said.
    """
    if conversations and tokenizer.chat_template is None:
        raise DataError(
            "The tokenizer has no chat template, so conversations cannot be written "
            "for it. Give the model one, or use a TextDataset."
        )
    renderings = [
        _Rendering(record, tokenizer, place) for record, place in conversations
    ]
    _write_together([each for each in renderings if each.is_simple], tokenizer)
    return [each.rendered() for each in renderings]


def _write_together(simple: Sequence["_Rendering"], tokenizer: Tokenizer) -> None:
    """Write the texts of many conversations at once, which takes half the time."""
    if not simple:
        return
    for ready in (True, False):
        asked = [(each, each.asked(ready)) for each in simple]
        turns = [each.written[:until] for each, until in asked]
        try:
            texts = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=ready
            )
        except REFUSALS:
            # Each is then written by itself, and the error has its place.
            return
        for (each, until), text in zip(asked, texts, strict=True):
            each.texts[until, ready] = text


class _Rendering:
    """One conversation on its way through the template."""

    def __init__(self, record: Conversation, tokenizer: Tokenizer, place: str) -> None:
        _check_learnt(record.messages, place)
        self.written = _written(record.messages)
        self.texts: dict[tuple[int, bool], str] = {}
        """What is known already, by turns written and whether the model is to speak."""
        self._messages = record.messages
        self._tools = list(record.tools)
        self._tokenizer = tokenizer
        self._place = place

    @property
    def is_simple(self) -> bool:
        """Whether it has one answer, in words, and no tools.

        The prompts of many answers are together far longer than the conversation, so
        they are not all to be in memory at once.
        """
        learnt = [message for message in self._messages if message.learns]
        plain = len(learnt) == 1 and not learnt[0].tool_calls and not self._tools
        return plain and not self._messages[0].learns

    def asked(self, ready: bool) -> int:
        """Return how many turns a simple one has, all or those before the answer."""
        if not ready:
            return len(self._messages)
        return [message.learns for message in self._messages].index(True)

    def rendered(self) -> Rendered:
        """Return the text, every word that is learnt found in it."""
        self._text = self._apply(len(self._messages))
        turns: list[Turn] = []
        # Every answer first: what is wrong with them is worse than with a prompt.
        for index, message in enumerate(self._messages):
            if message.learns:
                calls = bool(message.tool_calls)
                turns.append(self._calls(index) if calls else self._words(index))
        self._check_tools()
        return Rendered(self._text, tuple(turns), tuple(self._prompts(turns)))

    def _prompts(self, turns: Sequence[Turn]) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        rest = iter(turns)
        cursor = 0
        for index, message in enumerate(self._messages):
            if message.learns:
                cursor = next(rest).answer_end
                continue
            span = _find(self._text, message, cursor)
            if span is not None:
                spans.append(span)
                cursor = span[1]
            # Thoughts may be taken out of an answer that nobody is to learn.
            elif message.role != "assistant":
                self._refuse(
                    index,
                    f"the chat template changes or leaves out the {message.role}'s "
                    "words, or writes them in another order. Use a template that has "
                    f"a place for messages of the {message.role}, or change the row",
                )
        return spans

    def _words(self, index: int) -> Turn:
        start = len(self._prompt(index))
        words_start, words_end = self._spoken(index, start)
        if self._text[start:words_start].strip():
            self._refuse_words(index)
        return Turn(start, words_end)

    def _calls(self, index: int) -> Turn:
        prompt = self._prompt(index)
        done = self._apply(index + 1)
        if not self._text.startswith(done):
            self._refuse_rewriting(index)
        # What closes calls is what closes words: their own text has no clear end.
        closed = self._apply(index, {"role": "assistant", "content": PROBE})
        closing = closed[closed.rfind(PROBE) + len(PROBE) :]
        spoken = done[len(prompt) :]
        if not all(call.name in spoken for call in self._messages[index].tool_calls):
            self._refuse(
                index,
                f"the chat template does not write tool calls. {WITH_TOOLS}",
            )
        if self._messages[index].content.strip():
            self._spoken(index, len(prompt))
        if not closing.strip() or not spoken.endswith(closing):
            self._refuse(
                index,
                "the chat template ends tool calls otherwise than words, so their end "
                "cannot be told. Use a template that ends every turn alike",
            )
        return Turn(len(prompt), len(done) - len(closing))

    def _prompt(self, index: int) -> str:
        prompt = self._apply(index, ready=True)
        if not self._text.startswith(prompt):
            self._refuse_rewriting(index)
        return prompt

    def _spoken(self, index: int, start: int) -> tuple[int, int]:
        said = self._messages[index].content
        words = said if self._text.startswith(said, start) else said.strip()
        found = self._text.find(words, start)
        if found < 0 or self._text[start:found].strip():
            self._refuse_words(index)
        return found, found + len(words)

    def _check_tools(self) -> None:
        names = [str(tool.get("function", tool).get("name")) for tool in self._tools]
        missing = [name for name in names if name not in self._text]
        if missing:
            raise DataError(
                f"{self._place}: the chat template does not write the tool "
                f"'{missing[0]}', so the model would not know of it. {WITH_TOOLS}."
            )

    def _apply(self, until: int, *more: Mapping[str, Any], ready: bool = False) -> str:
        known = None if more else self.texts.get((until, ready))
        if known is not None:
            return known
        try:
            return self._tokenizer.apply_chat_template(
                [*self.written[:until], *more],
                tools=self._tools or None,
                tokenize=False,
                add_generation_prompt=ready,
            )
        except REFUSALS as error:
            raise DataError(
                f"{self._place}: the chat template refuses this conversation: {error}"
            ) from error

    def _refuse_words(self, index: int) -> NoReturn:
        self._refuse(
            index,
            "the chat template changes the assistant's words or puts others before "
            "them. Use a template that writes answers as they are",
        )

    def _refuse_rewriting(self, index: int) -> NoReturn:
        self._refuse(
            index,
            "the chat template writes this turn differently once others follow it, so "
            "what the model would learn is not what it will be served. Use a template "
            "that keeps earlier turns as they are, or rows that end with this turn",
        )

    def _refuse(self, index: int, why: str) -> NoReturn:
        raise DataError(f"{self._place}, message {index + 1}: {why}.")


# Templates join what they expect; a turn of another kind does not fit.
REFUSALS = (TemplateError, TypeError, ValueError)
WITH_TOOLS = (
    "Open the model with one that does: chat_template='chatml', or on the command line "
    "--chat-template chatml (llama3 and mistral do, too)"
)
PROBE = "zebra"
"""Words that no end token is likely to hold."""


def _check_learnt(messages: Sequence[Message], place: str) -> None:
    for number, message in enumerate(messages, start=1):
        if message.learns and message.role != "assistant":
            raise DataError(
                f"{place}, message {number} is to be learnt, but it is the "
                f"{message.role}'s. Only the assistant's turns can be; to learn all of "
                "a text, use a TextDataset."
            )
    if not any(message.learns for message in messages):
        raise DataError(f"{place} has no turn that is learnt. Let one be, or drop it.")


def _find(text: str, message: Message, cursor: int) -> tuple[int, int] | None:
    words = message.content.strip()
    forms = [words]
    if message.role == "tool":
        # Some templates write what a tool returned as JSON.
        forms += [json.dumps(words, ensure_ascii=False)[1:-1], json.dumps(words)[1:-1]]
    for form in forms:
        start = text.find(form, cursor)
        if start >= 0:
            return start, start + len(form)
    return None


def _written(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages in OpenAI's form, calls numbered in their order."""
    written: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    answered = 0
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    # Nine characters, as Mistral's templates want them.
                    "id": f"call{len(names) + number:05d}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": dict(call.arguments)},
                }
                for number, call in enumerate(message.tool_calls)
            ]
            names |= {
                call["id"]: call["function"]["name"] for call in turn["tool_calls"]
            }
        if message.role == "tool":
            turn["tool_call_id"] = f"call{answered:05d}"
            turn["name"] = names.get(turn["tool_call_id"], "")
            answered += 1
        written.append(turn)
    return written
