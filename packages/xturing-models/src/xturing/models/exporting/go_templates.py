"""Chat templates in Go, as far as Ollama's model files need them.

A Go template is derived from what the Jinja template of a tokenizer makes of a few
conversations, and then held to it: whatever it renders otherwise is refused. Nothing is
guessed from names.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product, takewhile
from typing import Any

from jinja2 import TemplateError

from xturing.core.errors import ModelError

Messages = Sequence[dict[str, str]]
SPEAKERS = "system", "user", "assistant", "user"
WORDS = "zebra", "quokka", "axolotl", "okapi"
"""Words to be found again: no template is likely to hold them."""
GOLDEN: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is 2 + 2?"}],
    [
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": "Blue."},
        {"role": "user", "content": "Another one, s'il te plaît!"},
    ],
    [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "2\n\nlines"},
        {"role": "user", "content": "Three"},
        {"role": "assistant", "content": "Four"},
        {"role": "user", "content": "Five {} <b>"},
    ],
)
SYSTEM = {"role": "system", "content": "Answer in one word."}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How conversations are written: what stands around each role's words."""

    start: str
    """Before everything."""
    around: dict[str, tuple[str, str]]
    answer: str
    """After everything, where the model is to speak."""
    system: str | None = None
    """What the system says if a conversation does not; None: it says nothing."""

    @property
    def template(self) -> str:
        """The Go template, for conversations in which the system has spoken."""
        branches = [
            f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ '
            for role, (before, after) in self.around.items()
        ]
        body = "else ".join(branches)
        return (
            f"{self.start}{{{{ range .Messages }}}}{{{{ {body}end }}}}"
            f"{{{{ end }}}}{self.answer}"
        )


def style_of(tokenizer: Any, *, start_is_added: bool) -> Style:
    """Return how a tokenizer's chat template writes conversations.

    With `start_is_added`, the program that renders it puts the start token before the
    text itself.

    Raises:
        ModelError: what it writes depends on more than who speaks.
    """
    start = tokenizer.bos_token or ""
    skipped = start if start_is_added else ""
    wanted = [
        (messages, _written(tokenizer, messages, skipped))
        for plain in GOLDEN
        for messages in (plain, [SYSTEM, *plain])
    ]
    marks = _marks(tokenizer, skipped)
    for style in _candidates(marks, ("", start)) if marks is not None else ():
        if _holds(style, wanted):
            return style
    raise ModelError(
        "The chat template writes turns in a way that depends on more than who speaks, "
        "so no Go template for Ollama is known to do the same, and no Modelfile was "
        "written. Export as gguf, whose file has the template as it is."
    )


def rendered(template: str, messages: Messages) -> str:
    """Return what a template of `Style` makes of a conversation, as Go renders it.

    Raises:
        ModelError: the template has an action that no `Style` writes.
    """
    parts = re.split(r"\{\{ (.*?) \}\}", template)
    opening = parts.index("range .Messages")
    closing = len(parts) - 2
    if parts[closing] != "end" or parts[closing - 2] != "end":
        raise ModelError(f"This is no template of a conversation: {template!r}.")
    branches = _branches(parts[opening + 1 : closing])
    text = "".join(_turn(branches, message) for message in messages)
    return "".join(parts[:opening]) + text + parts[closing + 1]


def _branches(parts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the role and the pieces of each branch of a chain of conditions."""
    branches: list[tuple[str, list[str]]] = []
    for number, part in enumerate(parts):
        condition = re.fullmatch(r'(?:else )?if eq \.Role "(\w+)"', part)
        if number % 2 and condition:
            branches.append((condition[1], []))
        elif number % 2 and part not in (".Content", "end"):
            raise ModelError(f"The action {part!r} is none that is written here.")
        elif branches and part != "end":
            branches[-1][1].append(part)
    return branches


def _turn(branches: Sequence[tuple[str, list[str]]], message: dict[str, str]) -> str:
    for role, pieces in branches:
        if role == message["role"]:
            before, _, after, *_ = [*pieces, "", "", ""]
            return before + message["content"] + after
    return ""


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """What stands between the words of a conversation of known turns."""

    before: str
    """Before the user's words, if the system does not speak."""
    to_answer: str
    to_user: str
    after: str
    opening: str = ""
    """Before the system's words."""
    to_first: str | None = None
    """From there to the user's; None: the system cannot speak."""


def _marks(tokenizer: Any, skipped: str) -> _Marks | None:
    """Return what the template puts between words; None: it refuses them."""
    system, *turns = (
        {"role": role, "content": word}
        for role, word in zip(SPEAKERS, WORDS, strict=True)
    )
    alone = _written(tokenizer, turns, skipped)
    if alone is None:
        return None
    before, to_answer, to_user, after = _between(alone, turns)
    marks = _Marks(before=before, to_answer=to_answer, to_user=to_user, after=after)
    asked = _written(tokenizer, [system, *turns], skipped)
    if asked is None or system["content"] not in asked:
        return marks
    opening, to_first, *_ = _between(asked, [system, *turns])
    return replace(marks, opening=opening, to_first=to_first)


def _candidates(marks: _Marks, starts: Sequence[str]) -> Iterator[Style]:
    """Yield the ways to divide what stands between two speakers' words.

    Those come first in which all turns begin alike.
    """
    for start in starts:
        opening = marks.opening.removeprefix(start)
        for ask, upto in product(
            _by_likeness(marks.to_user, opening), _by_likeness(marks.to_answer, opening)
        ):
            user = marks.to_user[ask:], marks.to_answer[:upto]
            assistant = marks.to_answer[upto:], marks.to_user[:ask]
            if not marks.after.startswith(user[1]):
                continue
            style = Style(
                start=start,
                around={"user": user, "assistant": assistant},
                answer=marks.after.removeprefix(user[1]),
            )
            if marks.to_first is None:
                yield style
            elif marks.to_first.endswith(user[0]):
                system = opening, marks.to_first.removesuffix(user[0])
                before = marks.before.removeprefix(start)
                yield replace(
                    style,
                    around={"system": system, **style.around},
                    system=_default(before, opening, marks.to_first, user[0]),
                )


def _by_likeness(text: str, opening: str) -> list[int]:
    """Return where a text can be cut, first where it goes on like `opening`."""
    return sorted(range(len(text) + 1), key=lambda at: -_alike(opening, text[at:]))


def _alike(first: str, second: str) -> int:
    """Return how many characters two texts begin alike with."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _default(before: str, opening: str, closing: str, ask: str) -> str | None:
    """Return what the system says before a conversation in which it does not speak."""
    if before == ask:
        return None
    return before.removeprefix(opening).removesuffix(closing)


def _between(text: str, messages: Messages) -> list[str]:
    """Return what stands before, between and after the words of a conversation."""
    parts = []
    for message in messages:
        before, _, text = text.partition(message["content"])
        parts.append(before)
    return [*parts, text]


def _holds(style: Style, wanted: Sequence[tuple[Messages, str | None]]) -> bool:
    """Tell whether a style writes conversations as is wanted."""
    if any("{{" in text or "}}" in text or '"""' in text for text in _texts(style)):
        return False
    for messages, text in wanted:
        has_system = messages[0]["role"] == "system"
        if has_system and "system" not in style.around:
            continue
        said = [{"role": "system", "content": style.system}] if style.system else []
        if text != rendered(style.template, [*([] if has_system else said), *messages]):
            return False
    return True


def _texts(style: Style) -> Iterator[str]:
    yield from (style.start, style.answer, style.system or "")
    for before, after in style.around.values():
        yield from (before, after)


def _written(tokenizer: Any, messages: Messages, skipped: str) -> str | None:
    """Return what the tokenizer's template makes of it; None: it refuses."""
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
    except TemplateError:
        return None
    return text.removeprefix(skipped)
