"""Rows of each kind: read into our own columns, and from those to what they mean.

Our columns are plain values that a table can hold, so that a dataset can be saved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from xturing.core.errors import DataError
from xturing.data.fields import Fields, Row, filled, parsed, string
from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Message,
    Preference,
    Role,
)
from xturing.data.turns import read_tools, read_turns, write_tools, write_turns
from xturing.data.wording import brief


def read_instruction(fields: Fields) -> dict[str, Any]:
    """Return a question and its answer, with what was said before if anything was."""
    row: dict[str, Any] = {
        "instruction": fields.filled("instruction"),
        "text": fields.optional("text"),
        "target": fields.filled("target"),
    }
    system = fields.optional("system")
    if system.strip():
        row["system"] = system
    history = _history(fields)
    if history:
        row["history"] = history
    return row


def read_seed_task(fields: Fields) -> dict[str, Any]:
    """Return the one instance of a Self-Instruct task.

    Raises:
        DataError: it has none or several, so it is not one row.
    """
    instances = parsed(fields.value("instances"), fields.place)
    if not isinstance(instances, list | tuple):
        raise fields.wrong("instances", "a list of inputs and outputs")
    if len(instances) != 1 or not isinstance(instances[0], Mapping):
        raise DataError(
            f"{fields.place} has the {len(instances)} instances {brief(instances)}; "
            "a row holds one, an object with 'input' and 'output'. Write each as a row "
            "of its own."
        )
    inner = {"instruction": "instruction", "text": "input", "target": "output"}
    row = {**instances[0], "instruction": fields.string("instruction")}
    return read_instruction(Fields(row, inner, f"{fields.place}, instance 1"))


def read_conversation(fields: Fields) -> dict[str, Any]:
    """Return the turns of a chat, of which the assistant's are learnt."""
    turns = read_turns(fields.value("messages"), fields.name("messages"), fields.place)
    return _conversation_row(_with_system(turns, fields), fields)


def read_completion(fields: Fields) -> dict[str, Any]:
    """Return a chat of which the completion alone is learnt."""
    prompt = _turns(fields, "prompt", "user")
    turns = *_unlearnt(_with_system(prompt, fields)), *_turns(fields, "completion")
    return _conversation_row(turns, fields)


def read_text(fields: Fields) -> dict[str, Any]:
    """Return a text, or what comes before a target and the target."""
    text, target = fields.string("text"), fields.optional("target")
    # An empty text before a target is how plain corpora used to be written.
    filled(target or text, fields.name("text"), fields.place)
    return {"text": text, "target": target}


def read_preference(fields: Fields) -> dict[str, Any]:
    """Return two answers to the same turns, which may stand before each answer too."""
    prompt, chosen, rejected = _apart(
        _asked(fields),
        _turns(fields, "chosen"),
        _turns(fields, "rejected"),
    )
    if chosen == rejected:
        raise DataError(
            f"{fields.place}: '{fields.name('chosen')}' and "
            f"'{fields.name('rejected')}' are the same, so there is nothing to prefer."
        )
    if not prompt:
        raise DataError(
            f"{fields.place} has no prompt, and the answers begin with no turns in "
            "common. Give the question as 'prompt'."
        )
    _check_answer(chosen, fields, "chosen")
    _check_answer(rejected, fields, "rejected")
    prompt = _with_system(prompt, fields)
    _check_prompt(prompt, fields)
    sides = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return _strings_or_turns(sides, fields) | _tools(fields)


def read_judgement(fields: Fields) -> dict[str, Any]:
    """Return an answer and whether it is wanted; the last one of a conversation."""
    if "messages" in fields.names:
        prompt, completion = _last_answered(fields)
    else:
        prompt, completion = _asked(fields), _turns(fields, "completion")
    if not prompt:
        raise fields.wrong("prompt", "a string or a list of messages")
    prompt = _unlearnt(_with_system(prompt, fields))
    _check_prompt(prompt, fields)
    _check_answer(completion, fields, "completion")
    sides = {"prompt": prompt, "completion": completion}
    label = {"label": _verdict(fields)}
    return _strings_or_turns(sides, fields) | label | _tools(fields)


def verdict(value: object) -> bool | None:
    """Return whether a label says that an answer is wanted; None if it says neither."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    return bool(value) if value in (True, False) else None


def to_question(row: Row) -> Conversation:
    """Return the conversation that an instruction, its text and its target are."""
    turns = [Message("system", row["system"])] if row.get("system") else []
    turns += _question(row["instruction"], row["text"], row.get("history", ()))
    return Conversation((*turns, Message("assistant", row["target"])))


def to_conversation(row: Row) -> Conversation:
    """Return the conversation that a row of messages is."""
    return Conversation(_saved(row["messages"]), _saved_tools(row))


def to_document(row: Row) -> Document:
    """Return the document that a row of text is."""
    if row["target"]:
        return Document(row["target"], prompt=row["text"])
    return Document(row["text"])


def to_preference(row: Row) -> Preference:
    """Return the preference that a row is."""
    prompt = _saved(row["prompt"], "user")
    answers = _saved(row["chosen"]), _saved(row["rejected"])
    return Preference(prompt, *answers, _saved_tools(row))


def to_judgement(row: Row) -> Judgement:
    """Return the judgement that a row is."""
    turns = (*_saved(row["prompt"], "user"), *_saved(row["completion"]))
    return Judgement(Conversation(turns, _saved_tools(row)), row["label"])


def _asked(fields: Fields) -> tuple[Message, ...]:
    """Return what an answer answers: a prompt if there is one, or an instruction."""
    if "instruction" in fields.names:
        instruction, text = fields.filled("instruction"), fields.optional("text")
        return _question(instruction, text, _history(fields))
    return () if fields.value("prompt") is None else _turns(fields, "prompt", "user")


def _question(
    instruction: str, text: str, history: Sequence[Sequence[str]]
) -> tuple[Message, ...]:
    """Return an instruction and its text as the user's turn, after earlier ones."""
    earlier = [
        turn
        for question, answer in history
        for turn in (Message("user", question), Message("assistant", answer))
    ]
    asked = "\n".join(part for part in (instruction, text) if part)
    return (*earlier, Message("user", asked))


def _last_answered(fields: Fields) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Return a conversation up to the assistant's last turn, and from there on."""
    turns = read_turns(fields.value("messages"), fields.name("messages"), fields.place)
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers or not answers[-1]:
        raise DataError(
            f"{fields.place}, field '{fields.name('messages')}': there is no answer of "
            "the assistant to a turn before it, so there is nothing to judge."
        )
    return turns[: answers[-1]], turns[answers[-1] :]


def _history(fields: Fields) -> list[list[str]]:
    pairs = parsed(fields.value("history"), fields.place) or []
    if not isinstance(pairs, list | tuple):
        raise fields.wrong("history", "a list of questions and answers")
    history = []
    for number, pair in enumerate(pairs, start=1):
        place = f"{fields.place}, field 'history', pair {number}"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DataError(
                f"{place} is {brief(pair)}, not a list of a question and its answer."
            )
        said: Row = {"question": pair[0], "answer": pair[1]}
        history.append([filled(string(said, key, place), key, place) for key in said])
    return history


def _strings_or_turns(
    sides: Mapping[str, tuple[Message, ...]], fields: Fields
) -> dict[str, Any]:
    given = [fields.value(ours) for ours in (*sides, "system")]
    if all(isinstance(value, str) for value in given[:-1]) and not given[-1]:
        return {ours: turns[0].content for ours, turns in sides.items()}
    return {ours: write_turns(turns) for ours, turns in sides.items()}


def _turns(
    fields: Fields, ours: str, speaker: Role = "assistant"
) -> tuple[Message, ...]:
    value = fields.value(ours)
    if value is None or isinstance(value, str):
        return (Message(speaker, fields.filled(ours)),)
    return read_turns(value, fields.name(ours), fields.place)


def _unlearnt(turns: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(
        replace(turn, is_learnt=False) if turn.learns else turn for turn in turns
    )


def _with_system(turns: Sequence[Message], fields: Fields) -> tuple[Message, ...]:
    system = fields.optional("system")
    if not system.strip() or turns[0] == Message("system", system):
        return tuple(turns)
    if turns[0].role == "system":
        raise DataError(
            f"{fields.place} has the field '{fields.name('system')}' and begins with "
            "a system message that differs from it. Keep one of them."
        )
    return (Message("system", system), *turns)


def _conversation_row(turns: Sequence[Message], fields: Fields) -> dict[str, Any]:
    _check_prompt(turns, fields)
    if not any(turn.role == "assistant" for turn in turns):
        raise DataError(
            f"{fields.place} has no message of the assistant, so there is nothing to "
            "learn."
        )
    if not any(turn.learns for turn in turns):
        raise DataError(
            f"{fields.place} has no message that is learnt: each is marked as not to "
            "be. Mark one, or leave the row out."
        )
    return {"messages": write_turns(turns), **_tools(fields)}


def _tools(fields: Fields) -> dict[str, str]:
    tools = read_tools(fields.value("tools"), fields.place)
    return {"tools": write_tools(tools)} if tools else {}


def _apart(
    prompt: tuple[Message, ...],
    chosen: tuple[Message, ...],
    rejected: tuple[Message, ...],
) -> tuple[tuple[Message, ...], ...]:
    """Return the three without what the answers repeat of the prompt."""
    both = zip(chosen, rejected, strict=False)
    shared = tuple(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both))
    if shared[len(shared) - len(prompt) :] == prompt:
        prompt = shared
    elif shared[: len(prompt)] != prompt:
        return prompt, chosen, rejected
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def _check_prompt(turns: Sequence[Message], fields: Fields) -> None:
    if turns[0].role == "assistant":
        raise DataError(
            f"{fields.place}, message 1 is the assistant's, so it answers nothing. "
            "Begin with what the user or the system said."
        )


def _check_answer(answer: Sequence[Message], fields: Fields, ours: str) -> None:
    if not answer or answer[0].role != "assistant":
        found = f"'{answer[0].role}' speaks first" if answer else "nothing is left"
        raise DataError(
            f"{fields.place}, field '{fields.name(ours)}': behind the prompt {found}. "
            "An answer begins with the assistant."
        )
    if not any(turn.learns for turn in answer):
        raise DataError(
            f"{fields.place}, field '{fields.name(ours)}' has no message that is "
            "learnt: each is marked as not to be. Mark one, or leave the row out."
        )


def _verdict(fields: Fields) -> bool:
    wanted = verdict(fields.value("label"))
    if wanted is None:
        raise fields.wrong(
            "label",
            "true or false for an answer that is wanted or not. If it says something "
            "else, leave the column out, or name a shape without it",
        )
    return wanted


def _saved(value: Any, speaker: Role = "assistant") -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message(speaker, value),)
    return read_turns(value, "messages", "the dataset")


def _saved_tools(row: Row) -> tuple[Mapping[str, Any], ...]:
    return read_tools(row.get("tools"), "the dataset")
