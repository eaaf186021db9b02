"""Examples of tasks: which kind a task is, what is asked about it, what is taken.

Tasks with a few known answers are written from the answer to the input, all others from
the input to the output (Wang et al. 2022, section 2.2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.bootstrap import Instruction
from xturing.selfinstruct.exchange import Reply, Request
from xturing.selfinstruct.seeds import Instance
from xturing.selfinstruct.settings import SelfInstructConfig

KINDS = "classification"
STAGE = "instances"
KIND_TOKENS = 8
"""Longest answer to a question of yes or no."""

_EXAMPLE = re.compile(r"^[ \t*#]*Example\s*\d+[ \t*:.)]*", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r"^[ \t*]*Class label[ \t*]*:[ \t*]*", re.MULTILINE | re.IGNORECASE)
_INPUT = re.compile(
    r"^[ \t*]*Input(?:[ \t]+\d+)?[ \t*]*:[ \t*]*", re.MULTILINE | re.IGNORECASE
)
_OUTPUT = re.compile(
    r"^[ \t*]*Output(?:[ \t]+\d+)?[ \t*]*:[ \t*]*", re.MULTILINE | re.IGNORECASE
)
_YES = re.compile(r"\W*yes\b", re.IGNORECASE)
_NOTHING = re.compile(r"\W*(?:none|n/a|no ?input)\W*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Task:
    """An instruction, and what kind it is."""

    instruction: Instruction
    is_classification: bool
    said: str
    """What the model said of its kind."""

    def as_dict(self) -> dict[str, Any]:
        """Return the task for a file of JSON lines."""
        return {
            "instruction": self.instruction.text,
            "is_classification": "Yes" if self.is_classification else "No",
            "said": self.said,
        }


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task, and the examples of it that were taken."""

    task: Task
    reply: Reply
    instances: tuple[Instance, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the task and the whole answer for a file of JSON lines."""
        return {
            **self.task.instruction.as_dict(),
            "is_classification": self.task.is_classification,
            "raw_instances": self.reply.text,
            "instance_metadata": {"finish_reason": self.reply.finish_reason},
            "instruction_metadata": self.task.instruction.as_dict()["metadata"],
        }


async def tell_kinds(
    asking: Asking[SelfInstructConfig], instructions: Sequence[Instruction]
) -> list[Task]:
    """Ask of each instruction whether a few labels are all its answers."""
    asked = [(each, kind_request(asking, each.text)) for each in instructions]
    tasks: list[Task] = []
    async for instruction, reply in asking.each(KINDS, asked, tasks.__len__):
        kind = _YES.match(reply.text) is not None
        said = reply.text.strip()
        tasks.append(Task(instruction=instruction, is_classification=kind, said=said))
    return tasks


async def make_instances(
    asking: Asking[SelfInstructConfig], tasks: Sequence[Task]
) -> list[Exercise]:
    """Ask for examples of each task, and take those that can be used."""
    asked = [(task, _request(asking, task)) for task in tasks]
    exercises: list[Exercise] = []

    def accepted() -> int:
        return sum(bool(exercise.instances) for exercise in exercises)

    async for task, reply in asking.each(STAGE, asked, accepted):
        instances = _taken(asking, task, reply)
        exercises.append(Exercise(task=task, reply=reply, instances=instances))
    return exercises


def read_instances(text: str, *, is_classification: bool) -> list[Instance | None]:
    """Return the examples in an answer; None for one that cannot be made out."""
    if is_classification:
        return [_labelled(part) for part in _LABEL.split(text)[1:]] or [None]
    _, *parts = _EXAMPLE.split(text)
    return [_given(part) for part in parts or [text]]


def kind_request(asking: Asking[SelfInstructConfig], instruction: str) -> Request:
    """Return the question whether a few labels are all answers to an instruction."""
    return asking.request(
        KINDS, max_tokens=KIND_TOKENS, is_exact=True, instruction=instruction
    )


def instance_request(
    asking: Asking[SelfInstructConfig], instruction: str, *, is_classification: bool
) -> Request:
    """Return the request for examples of a task."""
    config = asking.config
    template = "outputs_first" if is_classification else "inputs_first"
    return asking.request(
        STAGE,
        max_tokens=config.max_instance_tokens,
        template="plain" if config.answers == "plain" else template,
        instruction=instruction,
        count=config.instances_per_instruction,
    )


def _request(asking: Asking[SelfInstructConfig], task: Task) -> Request:
    return instance_request(
        asking, task.instruction.text, is_classification=task.is_classification
    )


def _taken(
    asking: Asking[SelfInstructConfig], task: Task, reply: Reply
) -> tuple[Instance, ...]:
    add, about = asking.rejections.add, task.instruction.text
    if not reply.text.strip():
        add(STAGE, "no answer", about, reply.finish_reason)
        return ()
    if asking.config.answers == "plain":
        found: list[Instance | None] = [Instance(input="", output=reply.text.strip())]
    else:
        found = read_instances(reply.text, is_classification=task.is_classification)
    if reply.finish_reason == "length":
        add(STAGE, "cut off", about, _shown(found.pop()))
    usable: dict[Instance, None] = {}
    for instance in found:
        reason = "no example in the answer" if instance is None else _fault(instance)
        if instance is not None and reason is None:
            usable[instance] = None
        else:
            add(STAGE, str(reason), about, _shown(instance) or reply.text)
    if len({instance.input for instance in usable}) < len(usable):
        add(STAGE, "two outputs for one input", about, reply.text)
        return ()
    return tuple(usable)


def _fault(instance: Instance) -> str | None:
    if not instance.output:
        return "empty output"
    if instance.input == instance.output:
        return "output repeats the input"
    if instance.input.endswith(":") or instance.output.endswith(":"):
        return "ends with a colon"
    return None


def _labelled(part: str) -> Instance | None:
    part = _EXAMPLE.split(part)[0]
    label, _, rest = part.partition("\n")
    found = _INPUT.split(rest, maxsplit=1)
    return Instance(input=_input(found[-1]), output=_stripped(label))


def _given(part: str) -> Instance | None:
    before, *after = _OUTPUT.split(part, maxsplit=1)
    if not after:
        return None
    return Instance(input=_input(_INPUT.split(before)[-1]), output=_stripped(after[0]))


def _input(text: str) -> str:
    stripped = _stripped(text)
    return "" if _NOTHING.fullmatch(stripped) else stripped


def _stripped(text: str) -> str:
    return text.strip().removesuffix("**").strip()


def _shown(instance: Instance | None) -> str:
    return f"{instance.input} -> {instance.output}" if instance else ""
