"""What the report of an evaluation says, section by section."""

import json

from xturing.core.papers.blocks import Block, Paragraph, Section, Table
from xturing.eval.reporting.figures import differences, forgetting, scores
from xturing.eval.reporting.remeasuring import confusions
from xturing.eval.reporting.report_json import plain
from xturing.eval.reporting.rows import by_length, side_by_side
from xturing.eval.reporting.troubles import troubles
from xturing.eval.reporting.verdict import contaminated, verdict
from xturing.eval.reporting.wording import MISSING, number
from xturing.eval.results import Evaluation


def sections(evaluation: Evaluation) -> list[Section]:
    """Return all that the report has to say, the verdict first."""
    answers = "Answers side by side" if len(evaluation.results) > 1 else "Answers"
    found = [
        Section("Verdict", verdict(evaluation)),
        Section("Scores", scores(evaluation)),
        Section("Differences", differences(evaluation)),
        Section("Forgetting", forgetting(evaluation)),
        Section("Loss by length of the answer", by_length(evaluation)),
        Section(answers, side_by_side(evaluation)),
        Section("Rows to look at", troubles(evaluation)),
        Section("Contamination", _contamination(evaluation)),
        Section("Confusions", confusions(evaluation)),
        Section("Settings and environment", _settings(evaluation)),
    ]
    return [section for section in found if section.blocks]


def _contamination(evaluation: Evaluation) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for result in evaluation.results:
        found = result.contamination
        if found is None:
            continue
        blocks.append(Paragraph(contaminated(result.model, found, evaluation.rows)))
        rows = tuple(
            (each.place, each.source, number(each.fraction, is_share=True))
            for each in found.found
        )
        if rows:
            columns = "row", "where the training data has it", "of its runs of words"
            blocks.append(Table(columns, rows))
    return tuple(blocks)


def _settings(evaluation: Evaluation) -> tuple[Block, ...]:
    asked = (
        ("task", evaluation.task),
        ("version", evaluation.version),
        ("data", evaluation.data),
        ("rows", f"{evaluation.rows:,}"),
        ("seed", str(evaluation.seed)),
    )
    models = tuple((result.model, result.fingerprint) for result in evaluation.results)
    tables = (
        (("evaluation", "value"), asked),
        (("model", "fingerprint"), models),
        (("setting", "value"), _pairs(plain(evaluation.settings))),
        (("environment", "value"), _pairs(plain(evaluation.environment))),
    )
    return tuple(Table(columns, rows) for columns, rows in tables if rows)


def _pairs(values: dict[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _said(value)) for name, value in values.items())


def _said(value: object) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
