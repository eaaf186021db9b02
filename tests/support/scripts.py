"""Seed tasks, and replies for the scripted engine, in words of our own."""

import json
from pathlib import Path
from random import Random

VERBS = """Describe Compare Invent Summarise Rewrite Explain List Correct Judge Suggest
Translate Plan Rank Outline Name Defend Question Shorten Expand Answer""".split()
THINGS = """harbour violin glacier kitchen parliament orchard telescope backpack novel
bridge candle dentist elevator festival garden hospital island jacket kingdom lantern
market notebook ocean passport quarry railway saddle theatre umbrella village""".split()
REASONS = """beginners sailors teachers children nurses farmers tourists engineers
musicians judges bakers runners gardeners pilots painters readers drivers cooks
students hikers""".split()


def instructions(count: int, seed: int = 0) -> list[str]:
    """Return instructions of which few are alike."""
    chosen = Random(seed)
    return [
        f"{chosen.choice(VERBS)} {first} beside {second} for "
        f"{chosen.choice(REASONS)}, mentioning {third}."
        for first, second, third in (chosen.sample(THINGS, 3) for _ in range(count))
    ]


def write_seeds(path: Path, count: int = 12) -> Path:
    lines = [
        {
            "id": f"seed_task_{at}",
            "name": f"task {at}",
            "instruction": text,
            "instances": [{"input": "", "output": f"This is answer {at}."}],
            "is_classification": at % 3 == 0,
        }
        for at, text in enumerate(instructions(count, seed=1))
    ]
    return write_lines(path, lines)


def write_script(path: Path, answers: int = 60, listed: int = 8) -> Path:
    """Write replies that suffice for `answers` requests for instructions."""
    texts = instructions(answers * listed, seed=2)
    lists = [texts[at : at + listed] for at in range(0, len(texts), listed)]
    lines = [
        {
            "stage": "instructions",
            "text": "\n".join(f"{at}. {text}" for at, text in enumerate(part, start=9)),
            "usage": {"prompt_tokens": 300, "completion_tokens": 120},
        }
        for part in lists
    ]
    lines += [
        {"stage": "classification", "text": "Yes", "when": "Task: Judge"},
        {"stage": "classification", "text": "No"},
        {
            "stage": "instances",
            "text": "Class label: good\nInput: The sea is calm.\n"
            "Class label: bad\nInput: The rope is torn.",
            "when": "Class label",
        },
        {
            "stage": "instances",
            "text": "Example 1\nInput: none\nOutput: It is done.",
        },
    ]
    return write_lines(path, lines)


def write_lines(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
