"""Two models' answers side by side: a judge says which is better, in both orders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xturing.eval.judging.answers import paired, question_text
from xturing.eval.judging.intervals import mean_interval
from xturing.eval.judging.judge import Asker, Engine, Judge
from xturing.eval.judging.pairwise_judgement import (
    POINTS,
    PairwiseJudgement,
    TwiceJudged,
)
from xturing.eval.judging.replies import Choice, verdict_in
from xturing.eval.judging.wording import pairwise_prompt
from xturing.eval.questions import Outcome
from xturing.eval.results import Result


def judge_pairs(
    base: Result,
    other: Result,
    *,
    engine: str | Engine,
    folder: str | Path | None,
    criteria: str | None = None,
    seed: int = 0,
    asker: Asker | None = None,
    **terms: Any,
) -> PairwiseJudgement:
    """Return how often a judge prefers the other model's answers to the base's.

    Judges tend to prefer what stands first, so each pair is asked about in both orders,
    and only who is better in both has won; where the orders disagree, it is a tie
    (Zheng et al. 2023, arXiv 2306.05685, section 3.4). Of several answers to a question
    the first is judged.

    The judge is an `engine` PROVIDER:MODEL, or a client of xturing-selfinstruct. Its
    replies are kept in `folder`, and the same call goes on there. `criteria` say in
    words what makes an answer better. `terms` are those of `xturing.selfinstruct.ask`,
    such as `max_cost`; what a cap leaves out is undecided. `seed` draws the interval.

    Raises:
        DataError: there are no answers, they are to different questions, or the judge
            decided nothing.
        MissingDependencyError: xturing-selfinstruct is not installed.
        XTuringError: as `xturing.selfinstruct.ask` does.
    """
    matched = paired(base, other)
    judge = Judge(engine=engine, folder=folder, asker=asker, terms=terms)
    # Both orders of a pair follow each other, so that a cap leaves few pairs halfway.
    replies = judge.replies(
        [prompt for pair in matched for prompt in _both_orders(*pair, criteria)]
    )
    verdicts: list[Choice | None] = [verdict_in(reply) for reply in replies]
    pairs = _judged(matched, verdicts)
    points = [POINTS[pair.ruling] for pair in pairs if pair.ruling in POINTS]
    if not points:
        both = zip(replies, verdicts, strict=True)
        unread = [reply for reply, verdict in both if verdict is None]
        raise judge.nothing_decided(unread, "Verdict: A")
    low, high = mean_interval(points, seed=seed)
    return PairwiseJudgement(
        judge=judge.name,
        base=base.model,
        other=other.model,
        pairs=pairs,
        low=low,
        high=high,
    )


def _both_orders(ours: Outcome, theirs: Outcome, criteria: str | None) -> list[str]:
    question = ours.question
    return [
        pairwise_prompt(
            question_text(question),
            first.answer,
            second.answer,
            reference=question.reference,
            criteria=criteria,
        )
        for first, second in ((ours, theirs), (theirs, ours))
    ]


def _judged(
    matched: Sequence[tuple[Outcome, Outcome]], verdicts: Sequence[Choice | None]
) -> tuple[TwiceJudged, ...]:
    return tuple(
        TwiceJudged(
            row=ours.question.row,
            place=ours.question.place,
            base_first=base_first,
            other_first=other_first,
        )
        for (ours, _), base_first, other_first in zip(
            matched, verdicts[::2], verdicts[1::2], strict=True
        )
    )
