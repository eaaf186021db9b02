"""Evaluations that were written before: read, and measured anew without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError
from xturing.core.files import read_json, read_jsonl
from xturing.data.records import Document
from xturing.eval.questions import Likelihood, Outcome, Question, Written
from xturing.eval.reporting.report_json import REPORT_FILE, ROWS_FILE
from xturing.eval.results import (
    SCHEMA_VERSION,
    Contaminated,
    Contamination,
    Result,
    Score,
)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An evaluation as its folder has it; each model has its outcomes, but no model."""

    folder: Path
    report: Mapping[str, Any]
    questions: tuple[Question, ...]
    results: tuple[Result, ...]
    """Of the models in their order; their scores are to be computed anew."""

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The metrics of that time with their options, the foremost first."""
        options = self.report["settings"]["metrics"]
        scores = self.report["results"][0]["scores"]
        return {score["metric"]: options[score["metric"]] for score in scores}

    def refuse_other(self, questions: Sequence[Question]) -> None:
        """Raise `DataError` unless the very same was asked."""
        if [_asked(each) for each in self.questions] != [_asked(q) for q in questions]:
            raise DataError(
                f"{self.folder} holds answers to other questions "
                f"({self.report['task']}, version {self.report['version']}, "
                f"{len(self.questions)} rows), so they cannot be compared row by row. "
                "Evaluate that model on these rows, too."
            )


def is_evaluation(folder: str | Path) -> bool:
    """Tell whether a folder holds an evaluation."""
    place = Path(folder).expanduser()
    return (place / ROWS_FILE).is_file() and (place / REPORT_FILE).is_file()


def read_evaluation(folder: str | Path) -> Earlier:
    """Return what a folder holds of an evaluation.

    Raises:
        DataError: there is none, it is damaged, or a later version wrote it.
    """
    place = Path(folder).expanduser()
    if not is_evaluation(place):
        raise DataError(
            f"There is no evaluation in {place}: it has no {REPORT_FILE} and "
            f"{ROWS_FILE}. Name the folder that `xturing eval -o` wrote."
        )
    report: Any = read_json(place / REPORT_FILE)
    if report.get("schema_version", 0) > SCHEMA_VERSION:
        raise DataError(
            f"{place / REPORT_FILE} was written by a later version of xTuring. Upgrade "
            "with: pip install --upgrade xturing-eval"
        )
    lines: list[Any] = [line for _, line in read_jsonl(place / ROWS_FILE)]
    try:
        questions = tuple(map(_question, lines))
        results = tuple(
            _result(told, number, questions, lines)
            for number, told in enumerate(report["results"])
        )
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{place} is damaged: {error!r} is missing from a line of {ROWS_FILE} or "
            f"from {REPORT_FILE}. Run the evaluation again."
        ) from error
    return Earlier(folder=place, report=report, questions=questions, results=results)


def _asked(question: Question) -> tuple[object, ...]:
    return question.prompt, question.reference, question.choices, question.right


def _question(line: Mapping[str, Any]) -> Question:
    bare = Question(
        row=line["row"],
        place=line["place"],
        prompt=line["prompt"],
        reference=line["reference"],
        choices=tuple(line["choices"]),
        right=line["right"],
        fields=line["fields"],
    )
    if bare.reference is not None:
        return replace(bare, record=bare.answered(bare.reference))
    is_text = any(told["reference"] for told in line["models"])
    return replace(bare, record=Document("")) if is_text else bare


def _result(
    told: Mapping[str, Any],
    number: int,
    questions: Sequence[Question],
    lines: Sequence[Mapping[str, Any]],
) -> Result:
    pairs = zip(questions, lines, strict=True)
    outcomes = tuple(_outcome(q, line["models"][number]) for q, line in pairs)
    forgetting, contamination = told["forgetting"], told["contamination"]
    return Result(
        model=told["model"],
        fingerprint=told["fingerprint"],
        scores=(),
        outcomes=outcomes,
        forgetting=Score(**forgetting) if forgetting else None,
        contamination=_contamination(contamination) if contamination else None,
    )


def _outcome(question: Question, told: Mapping[str, Any]) -> Outcome:
    reference = told["reference"]
    return Outcome(
        question=question,
        answers=tuple(Written(**each) for each in told["answers"]),
        reference=Likelihood(**reference) if reference else None,
        choices=tuple(Likelihood(**each) for each in told["choices"]),
    )


def _contamination(told: Mapping[str, Any]) -> Contamination:
    found = tuple(Contaminated(**each) for each in told["found"])
    return Contamination(**{**told, "found": found})
