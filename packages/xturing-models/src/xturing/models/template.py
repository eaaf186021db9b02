"""The chat template: the one truth about how prompts are written.

Training, generation and every server go through the tokenizer's own template. A base
model that has none is given one, which is then saved with it. What two short
conversations look like is saved too, and checked when the model is loaded.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from xturing.core.errors import ModelError, UnknownNameError
from xturing.core.templates import CONTROL_TOKENS, chat_template

GOLDEN: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is 2 + 2?"}],
    [
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": "Blue."},
        {"role": "user", "content": "Another one, s'il te plaît!"},
    ],
)


def install(tokenizer: Any, template: str) -> None:
    """Give a tokenizer a chat template: the name of a bundled one, or a Jinja file.

    Raises:
        ModelError: there is no such template, or the tokenizer lacks tokens of it.
    """
    text = _template(template)
    missing = set(CONTROL_TOKENS.get(template, ())) - set(tokenizer.get_added_vocab())
    if missing:
        raise ModelError(
            f"The chat template '{template}' marks turns with {sorted(missing)[0]}, "
            "which is no token of this model's tokenizer, so the model would read it "
            "as words. Use a template without marks of its own ('alpaca', 'plain', "
            "'vicuna' or 'zephyr')."
        )
    if "bos_token" not in text and _adds_bos(tokenizer):
        text = "{{- bos_token -}}" + text
    tokenizer.chat_template = text


def prompt_ids(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Return the ids of a conversation, ready for the assistant to speak.

    Raises:
        ModelError: the template refuses the conversation.
    """
    try:
        encoded = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_dict=True
        )
    except TemplateError as error:
        raise ModelError(f"The chat template refuses this: {error}") from error
    return list(encoded["input_ids"])


def stop_ids(tokenizer: Any) -> list[int]:
    """Return the ids that end an answer: the end-of-text and end-of-turn tokens."""
    stops = {tokenizer.eos_token_id} - {None}
    # No end token is likely to hold this word.
    word = "zebra"
    messages = [*GOLDEN[0], {"role": "assistant", "content": word}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    after = text[text.rindex(word) + len(word) :]
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    special = [token for token in ids if token in tokenizer.added_tokens_decoder]
    return sorted(stops | set(special[:1]))


def fingerprint(tokenizer: Any) -> dict[str, object]:
    """Return the template's hash and what it makes of the golden conversations."""
    return {
        "sha256": _hash(tokenizer),
        "golden": [_golden(tokenizer, messages) for messages in GOLDEN],
    }


def verify(tokenizer: Any, saved: dict[str, Any]) -> None:
    """Check that prompts are written as they were when the model was saved.

    Raises:
        ModelError: they are not; the message shows the first that differs.
    """
    for golden in saved["golden"]:
        now = _golden(tokenizer, golden["messages"])
        if now != golden:
            raise ModelError(
                f"The model was saved with prompts like {golden['text']!r}, but its "
                f"tokenizer now writes {now['text']!r} ({len(now['ids'])} ids instead "
                f"of {len(golden['ids'])}). The tokenizer files or the chat template "
                "were changed; put the saved ones back."
            )
    if _hash(tokenizer) != saved["sha256"]:
        raise ModelError(
            "The chat template is not the one that the model was saved with, though it "
            "writes short conversations alike. Put the saved one back."
        )


def _hash(tokenizer: Any) -> str:
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()


def _golden(tokenizer: Any, messages: list[dict[str, str]]) -> dict[str, Any]:
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    return {"messages": messages, "text": text, "ids": prompt_ids(tokenizer, messages)}


def _template(name: str) -> str:
    path = Path(name)
    if path.suffix == ".jinja":
        if not path.is_file():
            raise ModelError(f"There is no chat template file {path}.")
        return path.read_text(encoding="utf-8")
    try:
        return chat_template(name)
    except UnknownNameError as error:
        raise ModelError(f"{error} Or give the path of a .jinja file.") from error


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("x")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
