"""Helpers of xTuring 0.1: exact-match checks of single answers, as dictionaries.

They are thin: what an evaluation is made of has intervals, and is elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from xturing.core.errors import DataError, SettingsError
from xturing.core.events import tell
from xturing.eval.events import Advanced
from xturing.models.base import BaseModel
from xturing.models.generation import Prompt


def completion_query(model: BaseModel, prompt: Prompt) -> tuple[str, Prompt]:
    """Return the model's answer to a prompt, and the prompt."""
    (answer,) = _answers(model, [prompt])
    return answer, prompt


def check_sampled_text(
    model: BaseModel,
    prompt: Prompt,
    expected: str | Sequence[str],
    *,
    options: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return what the model answers, and whether that begins with what is expected.

    `options` are answers to pick from, by which of them the answer begins with and
    goes on with no letter or digit; without them they are what is expected. The result
    has `prompt`, `sampled`, `options`, `picked`, `expected` and `match`.

    Raises:
        SettingsError: what is expected is none of the options.
    """
    (answer,) = _answers(model, [prompt])
    return _checked(prompt, answer, expected, options)


def eval_sample(model: BaseModel, sample: Mapping[str, str]) -> dict[str, Any]:
    """Return what the model answers to a row, and whether that is its target.

    The row has an instruction, a text that may be empty, and a target.

    Raises:
        DataError: it has not.
    """
    (checked,) = eval_all_samples(model, [sample])
    return checked


def eval_all_samples(
    model: BaseModel,
    samples: Sequence[Mapping[str, str]],
    show_progress: bool = True,
    *,
    batch_size: int = 8,
) -> list[dict[str, Any]]:
    """Return for each row what `eval_sample` does, in order.

    With `show_progress`, how far it is is told as an event.

    Raises:
        DataError: a row has no instruction, text and target.
    """
    rows = list(samples)
    prompts = [_prompt(row, number) for number, row in enumerate(rows, start=1)]
    answers: list[str] = []
    total = -(-len(rows) // batch_size)
    for done, start in enumerate(range(0, len(rows), batch_size), start=1):
        answers += _answers(model, prompts[start : start + batch_size])
        if show_progress:
            tell(Advanced(work="answers", done=done, total=total))
    return [
        _checked(prompt, answer, row["target"], None)
        for prompt, answer, row in zip(prompts, answers, rows, strict=True)
    ]


def _answers(model: BaseModel, prompts: Sequence[Prompt]) -> list[str]:
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if len(texts) == len(prompts):
        return model.generate(texts=texts)
    chats = [
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        for prompt in prompts
    ]
    return model.generate(dataset=_Chats(chats))


class _Chats:
    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._prompts = prompts

    def prompts(self) -> Sequence[Prompt]:
        return self._prompts


def _checked(
    prompt: Prompt,
    answer: str,
    expected: str | Sequence[str],
    options: Sequence[str] | None,
) -> dict[str, Any]:
    wanted = [expected] if isinstance(expected, str) else list(expected)
    choices = wanted if options is None else list(options)
    lost = [each for each in wanted if each not in choices]
    if lost:
        raise SettingsError(
            f"{lost[0]!r} is expected, but is none of the options {choices}. Add it to "
            "them, or leave the options out."
        )
    picked = next((each for each in choices if _begins(answer, each)), None)
    return {
        "prompt": prompt,
        "sampled": answer,
        "options": choices,
        "picked": picked,
        "expected": wanted,
        "match": picked in wanted,
    }


def _begins(answer: str, option: str) -> bool:
    """Tell whether an answer begins with an option, and with no longer word."""
    said = answer.strip()
    if not said.startswith(option):
        return False
    return not (said[len(option) : len(option) + 1].isalnum() and option[-1:].isalnum())


def _prompt(row: Mapping[str, str], number: int) -> str:
    missing = [name for name in ("instruction", "target") if name not in row]
    if missing:
        raise DataError(
            f"Sample {number} has no '{missing[0]}' (it has {sorted(row)}). A sample "
            "has an instruction, a text that may be empty, and a target."
        )
    text = row.get("text", "")
    return f"{row['instruction']} {text}" if text else row["instruction"]
