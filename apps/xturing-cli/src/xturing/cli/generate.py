"""`xturing generate`: answers to prompts, for use in scripts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import (
    LengthOption,
    ModelOption,
    WeightsOption,
    open_chosen,
)
from xturing.cli.setting_options import ConfigOption, SetOption, generation_layers
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
        int,
        typer.Option("--batch-size", min=1, help="Rows at once: prompts to answer."),
    ] = 8,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text, without a chat template.")
    ] = False,
    weights: WeightsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer one prompt, or each line of a file.

    Example: xturing generate -m smollm2 -p "What is the capital of France?"
    """
    if (prompt is None) == (file is None):
        raise SettingsError("Give either a prompt (-p) or a file of prompts (--file).")
    prompts = [prompt] if prompt is not None else _prompts(file)
    layers = generation_layers(config, settings)
    opened = open_chosen(model, weights, max_new_tokens, layers=layers)
    answers = opened.generate(texts=prompts, batch_size=batch_size, raw=raw)
    pairs = [
        {"prompt": question, "answer": written}
        for question, written in zip(prompts, answers, strict=True)
    ]
    if as_json:
        answer(pairs)
    elif prompt is not None:
        render.say(answers[0])
    else:
        for pair in pairs:
            render.say(json.dumps(pair, ensure_ascii=False))


def _prompts(file: Path | None) -> list[str]:
    if file is None or not file.is_file():
        raise DataError(f"There is no file {file}.")
    lines = file.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise DataError(f"{file} is empty; write one prompt a line.")
    return prompts
