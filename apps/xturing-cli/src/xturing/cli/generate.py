"""`xturing generate`: answers to prompts, for use in scripts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.model_options import (
    LengthOption,
    ModelOption,
    WeightsOption,
    open_chosen,
)
from xturing.core.errors import DataError, SettingsError


def generate(
    model: ModelOption,
    prompt: Annotated[
        str | None, typer.Option("-p", "--prompt", help="The question to answer.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="One prompt a line; answers come as JSON lines."),
    ] = None,
    max_new_tokens: LengthOption = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Prompts answered at once.")
    ] = 8,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text, without a chat template.")
    ] = False,
    weights: WeightsOption = None,
) -> None:
    """Answer one prompt, or each line of a file.

    Example: xturing generate -m smollm2 -p "What is the capital of France?"
    """
    if (prompt is None) == (file is None):
        raise SettingsError("Give either a prompt (-p) or a file of prompts (--file).")
    prompts = [prompt] if prompt is not None else _prompts(file)
    opened = open_chosen(model, weights, max_new_tokens)
    answers = opened.generate(texts=prompts, batch_size=batch_size, raw=raw)
    if prompt is not None:
        render.say(answers[0])
        return
    for question, answer in zip(prompts, answers, strict=True):
        line = {"prompt": question, "answer": answer}
        render.say(json.dumps(line, ensure_ascii=False))


def _prompts(file: Path | None) -> list[str]:
    if file is None or not file.is_file():
        raise DataError(f"There is no file {file}.")
    lines = file.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise DataError(f"{file} is empty; write one prompt a line.")
    return prompts
