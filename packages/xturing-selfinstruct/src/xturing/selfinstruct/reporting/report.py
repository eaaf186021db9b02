"""The report of a run: report.md, and pictures beside it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from xturing.core.files import write_text
from xturing.data.curation.text import words
from xturing.selfinstruct.novelty import NoveltyFilter
from xturing.selfinstruct.reporting.diversity import Diversity, diversity_of
from xturing.selfinstruct.reporting.made import Made, Row, number, text
from xturing.selfinstruct.reporting.markdown import (
    counted,
    escaped,
    share,
    shortened,
    table,
)
from xturing.selfinstruct.reporting.pictures import (
    OBJECTS_SHOWN,
    VERBS_SHOWN,
    draw_lengths,
    draw_novelty,
    draw_verbs,
)

REPORT_FILE = "report.md"
VERBS_FILE = "verbs.png"
LENGTHS_FILE = "lengths.png"
NOVELTY_FILE = "novelty.png"
EXAMPLES_SHOWN = 2
"""Of what was left out for a reason."""


def write_report(folder: Path) -> Path:
    """Write what a run made, left out and took, and return the report's file.

    Files of the run that are missing are left out of it.

    Raises:
        DataError: a file of the run is damaged.
    """
    made = Made(folder)
    parts = [
        f"# {_title(made)}",
        *_opening(made),
        *_stages(made),
        *_rejections(made),
        *_sources(made),
        *_verbs(made),
        *_lengths(made),
        *_novelty(made),
        *_usage(made),
    ]
    path = folder / REPORT_FILE
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _title(made: Made) -> str:
    kinds = {
        "self-instruct": "Instructions from seed tasks",
        "documents": "Questions and answers from documents",
    }
    return kinds.get(text(made.summary, "kind"), "Generated data")


def _opening(made: Made) -> list[str]:
    by = f", made by {escaped(made.engine)}" if made.engine else ""
    different = len({example.instruction for example in made.examples})
    rows = counted(len(made.rows), "row")
    said = f"{rows} with {counted(different, 'different instruction')}{by}."
    if not made.rows:
        said = f"No rows{by}."
    stopped = made.summary.get("stopped")
    if not stopped:
        return [said]
    return [said, f"The run ended early: {escaped(str(stopped)).rstrip('.')}."]


def _stages(made: Made) -> list[str]:
    stages = made.summary.get("stages")
    if not isinstance(stages, list) or not stages:
        return []
    rows = [
        (
            text(stage, "name"),
            *(f"{number(stage, name):,}" for name in ("requests", "found", "accepted")),
            share(number(stage, "accepted"), number(stage, "found")),
        )
        for stage in stages
    ]
    parts = ["## Stages", table(("", "requests", "found", "accepted", "kept"), rows)]
    if made.kinds:
        parts.append(
            f"{made.kinds['Yes']:,} of {made.kinds.total():,} instructions are "
            "classification tasks, as the model told."
        )
    return parts


def _rejections(made: Made) -> list[str]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in made.rejected:
        groups[text(row, "stage"), text(row, "reason")].append(row)
    if not groups:
        return []
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    counts = [
        (*named, f"{len(rows):,}", share(len(rows), len(made.rejected)))
        for named, rows in ranked
    ]
    examples = [
        (*named, shortened(text(row, "text")), shortened(text(row, "detail")))
        for named, rows in ranked
        for row in rows[:EXAMPLES_SHOWN]
    ]
    return [
        "## What was left out",
        table(("stage", "reason", "texts", "of all"), counts),
        "The first of each:",
        table(("stage", "reason", "text", "detail"), examples),
    ]


def _sources(made: Made) -> list[str]:
    if not made.sources:
        return []
    rows = [
        (source, f"{count:,}", share(count, len(made.rows)))
        for source, count in sorted(made.sources.items())
    ]
    return ["## Files", table(("file", "rows", "of all"), rows)]


def _verbs(made: Made) -> list[str]:
    diversity = diversity_of(made.instructions)
    named = [verb for verb in diversity.verbs if verb.objects][:VERBS_SHOWN]
    if not named:
        return []
    draw_verbs(diversity, made.folder / VERBS_FILE)
    return [
        "## What is asked for",
        _said_of_verbs(diversity),
        f"![The most frequent verbs, and their objects around them]({VERBS_FILE})",
        table(
            ("verb", "instructions", "objects"),
            [
                (
                    verb.name,
                    f"{verb.count:,}",
                    ", ".join(
                        f"{name} {count:,}"
                        for name, count in verb.objects[:OBJECTS_SHOWN]
                    ),
                )
                for verb in named
            ],
        ),
    ]


def _said_of_verbs(diversity: Diversity) -> str:
    found = diversity.with_verb
    return (
        f"In {found:,} of {diversity.instructions:,} instructions "
        f"({share(found, diversity.instructions)}) a verb was found, in "
        f"{diversity.with_object:,} of them with a direct object: "
        f"{len(diversity.verbs):,} different verbs and {diversity.pairs:,} different "
        "pairs of both. They are found by a rule of thumb on English words, without a "
        "parser."
    )


def _lengths(made: Made) -> list[str]:
    examples = made.examples
    texts = {
        "instructions": made.instructions,
        "inputs": [example.input for example in examples if example.input],
        "outputs": [example.output for example in examples],
    }
    lengths = {
        name: [len(words(each)) for each in found]
        for name, found in texts.items()
        if found
    }
    if not lengths:
        return []
    draw_lengths(lengths, made.folder / LENGTHS_FILE)
    empty = sum(not example.input for example in examples)
    without = f"{empty:,} of {len(examples):,} rows have no input."
    return [
        "## Lengths",
        f"In words; what is written without spaces counts by character. {without}",
        f"![How many texts are how long]({LENGTHS_FILE})",
        table(
            ("", "texts", "mean", "shortest", "half up to", "95 % up to", "longest"),
            [(name, *_spread(counts)) for name, counts in lengths.items()],
        ),
    ]


def _spread(counts: Sequence[int]) -> tuple[str, ...]:
    middle, most = np.percentile(counts, (50, 95), method="higher")
    whole = (min(counts), int(middle), int(most), max(counts))
    numbers = [f"{number:,}" for number in whole]
    return f"{len(counts):,}", f"{fmean(counts):,.1f}", *numbers


def _novelty(made: Made) -> list[str]:
    if not made.seeds or not made.instructions:
        return []
    known = NoveltyFilter()
    for seed in made.seeds:
        known.add(seed)
    nearest = [float(known.similarities(each).max()) for each in made.instructions]
    seeds = counted(len(made.seeds), "seed task")
    draw_novelty(nearest, made.threshold, made.folder / NOVELTY_FILE)
    said = (
        f"ROUGE-L F1 of each instruction with the nearest of {seeds}: "
        f"{fmean(nearest):.2f} on average, {max(nearest):.2f} at most."
    )
    return [
        "## Likeness to the seed tasks",
        said,
        f"![How like its nearest seed task each instruction is]({NOVELTY_FILE})",
    ]


def _usage(made: Made) -> list[str]:
    summary = made.summary
    usage = summary.get("usage")
    if not isinstance(usage, dict):
        return []
    cost = summary.get("cost")
    rows = [
        ("requests", f"{number(summary, 'requests'):,}"),
        ("prompt tokens", f"{number(usage, 'prompt_tokens'):,}"),
        ("completion tokens", f"{number(usage, 'completion_tokens'):,}"),
        ("cost", "not known: no price" if cost is None else f"${cost:,.4f}"),
    ]
    return [
        "## What it took",
        "Requests that failed and those of earlier processes are counted.",
        table(("", ""), rows),
    ]
