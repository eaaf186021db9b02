"""An evaluation as strict JSON: report.json with its figures, rows.jsonl with its rows.

Both follow from the evaluation alone, so equal evaluations give the same bytes. A
number that is not defined or infinite, for which JSON has no word, is null.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from xturing.core.files import new_file
from xturing.eval.questions import Outcome
from xturing.eval.reporting.rows import Row, rows_of
from xturing.eval.results import (
    SCHEMA_VERSION,
    Compared,
    Comparison,
    Evaluation,
    Result,
    Score,
)

REPORT_FILE = "report.json"
ROWS_FILE = "rows.jsonl"


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation for a JSON file, without its rows.

    `undefined` names the figures of which a number is null, and whose they are.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "task": evaluation.task,
        "version": evaluation.version,
        "data": evaluation.data,
        "rows": plain(evaluation.rows),
        "seed": plain(evaluation.seed),
        "results": [_result(result) for result in evaluation.results],
        "compared": [_compared(compared) for compared in evaluation.compared],
        "failures": plain(evaluation.failures),
        "undefined": _undefined(evaluation),
        "settings": plain(evaluation.settings),
        "environment": plain(evaluation.environment),
    }


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Write the evaluation without its rows, or leave `path` as it was.

    Raises:
        OutputError: the disk is full.
    """
    with new_file(path) as draft:
        draft.write_bytes(_encoded(as_dict(evaluation), indent=2) + b"\n")


def write_rows(path: Path, evaluation: Evaluation) -> None:
    """Write what each question is and what the models made of it, a question a line.

    Raises:
        OutputError: the disk is full.
    """
    names = [result.model for result in evaluation.results]
    with new_file(path) as draft, draft.open("wb") as file:
        for row in rows_of(evaluation):
            file.write(_encoded(_row(names, row)) + b"\n")


def plain(value: Any) -> Any:
    """Return a value as JSON has it; what it has no word for, in words.

    Mappings are sorted: equal ones may differ in their order.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value)


def _encoded(value: object, *, indent: int | None = None) -> bytes:
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # Halves of characters, which rows may hold and UTF-8 may not, become the escapes
    # that JSON has for them.
    return text.encode("utf-8", errors="backslashreplace")


def _result(result: Result) -> dict[str, Any]:
    return {
        "model": result.model,
        "fingerprint": result.fingerprint,
        "scores": plain(result.scores),
        "forgetting": plain(result.forgetting),
        "contamination": plain(result.contamination),
    }


def _compared(compared: Compared) -> dict[str, Any]:
    forgetting = compared.forgetting
    return {
        "base": compared.base,
        "other": compared.other,
        "verdict": compared.verdict,
        "sentence": compared.sentence,
        "comparisons": [_comparison(found) for found in compared.comparisons],
        "forgetting": None if forgetting is None else _comparison(forgetting),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        **plain(found),
        "difference": plain(found.difference),
        "verdict": found.verdict,
    }


def _undefined(evaluation: Evaluation) -> list[str]:
    figures: list[tuple[str, Score | Comparison | None]] = []
    for result in evaluation.results:
        every = (*result.scores, result.forgetting)
        figures += [(result.model, figure) for figure in every]
    for compared in evaluation.compared:
        whose = f"{compared.other} against {compared.base}"
        every = (*compared.comparisons, compared.forgetting)
        figures += [(whose, figure) for figure in every]
    return [
        f"{whose}: {figure.name}"
        for whose, figure in figures
        if figure is not None and not _is_finite(figure)
    ]


def _is_finite(figure: Score | Comparison) -> bool:
    numbers = [getattr(figure, each.name) for each in fields(figure)]
    return all(math.isfinite(each) for each in numbers if isinstance(each, float))


def _row(names: Sequence[str], row: Row) -> dict[str, Any]:
    question = row[0].question
    return {
        "row": plain(question.row),
        "place": question.place,
        "prompt": plain(question.prompt),
        "reference": question.reference,
        "choices": plain(question.choices),
        "right": plain(question.right),
        "fields": plain(question.fields),
        "models": [
            _outcome(name, outcome) for name, outcome in zip(names, row, strict=True)
        ],
    }


def _outcome(model: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "model": model,
        "answers": plain(outcome.answers),
        "reference": plain(outcome.reference),
        "choices": plain(outcome.choices),
    }
