"""Questions of any kind, asked as generation asks: written down, capped, and once.

Other packages find this by the entry point group `xturing.askers`. What the questions
are for, and what is made of the answers, is not known here.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from xturing.core.errors import DataError, SettingsError
from xturing.core.events import Notice, tell
from xturing.core.names import suggestion
from xturing.data.wording import brief
from xturing.selfinstruct.clients import Client, open_client
from xturing.selfinstruct.exchange import Request, Turn
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.limits import Caps, Limits
from xturing.selfinstruct.runs import opened
from xturing.selfinstruct.terms import Terms, caller_of, carry_out

STAGE = "questions"
ROLES = get_args(get_type_hints(Turn)["role"])

Prompt = str | Sequence[Mapping[str, Any]]
"""What a user says, or messages of which each has a `role` and a `content`."""


def ask(
    engine: str | Client,
    prompts: Sequence[Prompt],
    folder: str | Path | None = None,
    *,
    max_answer_tokens: int = 1024,
    temperature: float | None = 0.0,
    **terms: Any,
) -> list[str | None]:
    """Return a model's answers in order; None from where a cap was reached.

    `engine` is written as PROVIDER:MODEL, such as `openai:gpt-4.1-mini`. What was asked
    and answered stands in `folder`, so that no call asks again what another was told
    there; without one, nothing is kept. A temperature of 0 is for the likeliest answer,
    and None for what the service chooses.

    `terms` are the fields of `Caps` and `Limits`, and `prices`, a file. Those that are
    None are left out. Caps count all that was asked in the folder.

    Raises:
        DataError: a prompt cannot be asked; the message has its number.
        SettingsError: a setting is wrong, a key is missing, or the folder has answers
            of another engine.
        OutputError: the folder is in use, or holds other things.
        RemoteError: the service refused for good, or too often; what was answered is
            kept.
    """
    if max_answer_tokens < 1:
        raise SettingsError(
            f"max_answer_tokens is {max_answer_tokens}, but an answer has 1 or more."
        )
    agreed = _terms(terms)
    requests = [
        Request(
            stage=STAGE,
            messages=_turns(prompt, f"prompt {number}"),
            max_tokens=max_answer_tokens,
            temperature=temperature,
        )
        for number, prompt in enumerate(prompts, start=1)
    ]
    client = open_client(engine) if isinstance(engine, str) else engine
    with _journal(client, folder) as journal:
        caller = caller_of(client, journal, agreed)
        replies = carry_out(client, caller.replies(requests))
    if caller.stopped:
        left = f"{replies.count(None)} of {len(replies)} prompts"
        tell(Notice(text=f"Left without an answer: {left}, as {caller.stopped}."))
    return [None if reply is None else reply.text for reply in replies]


def _journal(
    client: Client, folder: str | Path | None
) -> AbstractContextManager[Journal]:
    if folder is None:
        return nullcontext(Journal(None))
    # One engine a folder: what was spent there is counted at its price.
    identity = {"kind": STAGE, "engine": f"{client.name}:{client.model}"}
    return opened(Path(folder).expanduser(), identity)


def _terms(given: Mapping[str, Any]) -> Terms:
    caps, limits = ({field.name for field in fields(kind)} for kind in (Caps, Limits))
    known = {*caps, *limits, "prices"}
    for name in given:
        if name not in known:
            raise SettingsError(
                f"ask takes no term '{name}'. {suggestion(name, known)}"
            )
    values = {name: value for name, value in given.items() if value is not None}
    return Terms(
        caps=Caps(**{name: values[name] for name in caps & values.keys()}),
        limits=Limits(**{name: values[name] for name in limits & values.keys()}),
        prices=Path(values["prices"]).expanduser() if "prices" in values else None,
    )


def _turns(prompt: Prompt, place: str) -> tuple[Turn, ...]:
    if isinstance(prompt, str):
        return (Turn("user", prompt),)
    if not prompt:
        raise DataError(f"{place} has no messages. Give a text, or one or more.")
    return tuple(_turn(message, place) for message in prompt)


def _turn(message: Mapping[str, Any], place: str) -> Turn:
    is_text = isinstance(message.get("content"), str)
    if not is_text or message.get("role") not in ROLES:
        raise DataError(
            f"{place} has the message {brief(message)}. A message has a 'role', which "
            f"is one of {', '.join(ROLES)}, and a text as its 'content'."
        )
    return Turn(message["role"], message["content"])
