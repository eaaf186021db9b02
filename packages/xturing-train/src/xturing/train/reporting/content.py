"""What the report of a run says. Every number in it is one of report.json's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xturing.core.papers.blocks import (
    Block,
    Curves,
    Paragraph,
    Quote,
    Section,
    Table,
)
from xturing.core.papers.curves import Line
from xturing.data.ledger import PARTS_SHOWN
from xturing.train.reporting.additions import Choice, Topic
from xturing.train.reporting.forensics import KNOWN, Forensics, Suspects

if TYPE_CHECKING:
    from xturing.data.ledger import Ledger
    from xturing.train.report import FinetuneReport

ROWS_SHOWN = 10


def sections(report: "FinetuneReport") -> list[Section]:
    """Return all that the report has to say, the verdict first."""
    found = [
        Section("Verdict", _verdict(report)),
        Section("Loss and learning rate", _curves(report)),
        Section("Wanted against unwanted answers", _comparisons(report)),
        Section("Answers before and after", _samples(report)),
        Section("Tokens", _ledgers(report)),
        Section("Speed and memory", (_costs(report),)),
        Section("What was chosen", _choices(report.choices)),
        *(Section(topic.title, _topic(topic)) for topic in report.topics),
        Section("Rows to look at", _forensics(report.forensics)),
        Section("Settings", (_settings(report),)),
    ]
    return [section for section in found if section.blocks]


def _verdict(report: "FinetuneReport") -> tuple[Block, ...]:
    if report.verdict is None:
        return (
            Paragraph(
                "No rows were held out, so it cannot be said whether the tuned model "
                "is better. Set validation_split, or pass rows for validation."
            ),
        )
    sentences = [report.verdict.sentence]
    if report.stopped_early:
        sentences.append(f"The run ended early, after {report.steps} steps.")
    stops = report.self_stopping
    if stops is not None:
        base, tuned = stops
        sentences.append(
            f"Of {len(report.samples)} sampled answers, {base:.0%} of the base's and "
            f"{tuned:.0%} of the tuned model's stop by themselves."
        )
    return tuple(Paragraph(sentence) for sentence in sentences)


def _curves(report: "FinetuneReport") -> tuple[Block, ...]:
    unit = f"nats a {report.measure}"
    losses = Line("training", tuple(enumerate(report.losses, start=1)))
    held_out = tuple((float(each.step), each.loss) for each in report.validations)
    rates = Line("learning rate", tuple(enumerate(report.learning_rates, start=1)))
    return (
        Curves("Loss", "step", unit, (losses, Line("held out", held_out))),
        Curves("Learning rate", "step", "learning rate", (rates,)),
    )


def _comparisons(report: "FinetuneReport") -> tuple[Block, ...]:
    before, after = report.comparison_before, report.comparison_after
    if before is None or after is None:
        return ()
    rows = [("told right", f"{before.accuracy:.1%}", f"{after.accuracy:.1%}")]
    for title, part in (
        ("margin of rewards", "margin"),
        ("log-probability of wanted answers", "chosen_log_probability"),
        ("log-probability of unwanted answers", "rejected_log_probability"),
    ):
        was, is_now = _number(getattr(before, part)), _number(getattr(after, part))
        rows.append((title, was, is_now))
    return (Table(("held-out rows", "before training", "after"), tuple(rows)),)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _choices(choices: Sequence[Choice]) -> tuple[Block, ...]:
    rows = tuple((choice.name, choice.value, choice.reason) for choice in choices)
    return (Table(("choice", "value", "why"), rows),) if rows else ()


def _topic(topic: Topic) -> tuple[Block, ...]:
    said = tuple(Paragraph(sentence) for sentence in topic.sentences)
    return (*said, Table(topic.columns, topic.rows)) if topic.columns else said


def _samples(report: "FinetuneReport") -> tuple[Block, ...]:
    blocks: list[Block] = []
    for sample in report.samples:
        blocks += [
            Paragraph(sample.place),
            Quote("Prompt", sample.prompt),
            Quote("Reference", sample.reference),
        ]
        for whose, answer in (("Base", sample.base), ("Tuned", sample.tuned)):
            end = "" if answer.stopped else f", cut after {answer.tokens} tokens"
            blocks.append(Quote(f"{whose}{end}", answer.text))
    return tuple(blocks)


def _ledgers(report: "FinetuneReport") -> tuple[Block, ...]:
    held_out, run = report.validation_ledger, report.run_ledger
    rows = [
        (title, _count(report.ledger, part), _count(held_out, part))
        for title, part in (("rows", "rows"), *PARTS_SHOWN)
    ]
    return (
        Table(("one pass", "to learn", "held out"), tuple(rows)),
        Paragraph(
            f"{run.in_loss:,} tokens entered the loss in {run.steps:,} steps; "
            f"{run.planned:,} were planned."
        ),
    )


def _count(ledger: "Ledger | None", part: str) -> str:
    return f"{getattr(ledger, part):,}" if ledger is not None else "-"


def _costs(report: "FinetuneReport") -> Table:
    share = report.trainable_parameters / report.parameters
    rows = [
        ("tokens a second, without padding", f"{report.tokens_per_second:,.1f}"),
        ("seconds in steps", f"{report.seconds:,.1f}"),
        ("steps", f"{report.steps:,}"),
        ("passes over the rows", f"{report.epochs:.2f}"),
        (
            "trained parameters",
            f"{report.trainable_parameters:,} of {report.parameters:,} ({share:.2%})",
        ),
    ]
    if report.peak_memory_bytes is not None:
        rows.append(
            ("peak memory of the process", _gigabytes(report.peak_memory_bytes))
        )
    return Table(("", ""), tuple(rows))


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def _settings(report: "FinetuneReport") -> Table:
    rows = [
        (name, str(value), report.sources[name])
        for name, value in report.settings.items()
    ]
    return Table(("setting", "value", "set by"), tuple(rows))


def _forensics(found: Forensics | None) -> tuple[Block, ...]:
    if found is None:
        return ()
    blocks: list[Block] = []
    if found.epochs == 0:
        return tuple(_contradictory(found))
    if found.epochs > 1:
        blocks += _suspects(
            "never improved: the loss was never below that of the first time",
            found.never_improving,
        )
    else:
        blocks.append(
            Paragraph("Which rows never improve shows only in two epochs or more.")
        )
    blocks += _suspects(
        f"were learnt at once: at most {KNOWN} nats a token by the second time",
        found.learnt_at_once,
    )
    blocks += _contradictory(found)
    return tuple(blocks)


def _suspects(what: str, suspects: Suspects) -> Sequence[Block]:
    said = Paragraph(f"{suspects.count:,} rows {what}.")
    rows = tuple(
        (row.place, ", ".join(f"{loss:.3f}" for loss in row.losses))
        for row in suspects.rows[:ROWS_SHOWN]
    )
    return [said, Table(("row", "loss, each time"), rows)] if rows else [said]


def _contradictory(found: Forensics) -> Sequence[Block]:
    said = Paragraph(
        f"{found.contradictions:,} questions are answered in several ways."
    )
    rows = tuple(("; ".join(g.places),) for g in found.contradictory[:ROWS_SHOWN])
    return (
        [said, Table(("rows that contradict one another",), rows)] if rows else [said]
    )
