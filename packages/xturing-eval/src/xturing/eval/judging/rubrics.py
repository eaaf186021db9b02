"""A model's answers one by one: a judge marks each by a rubric."""

from pathlib import Path
from typing import Any

from xturing.core.errors import SettingsError
from xturing.eval.judging.answers import answered, question_text
from xturing.eval.judging.intervals import mean_interval
from xturing.eval.judging.judge import Asker, Engine, Judge
from xturing.eval.judging.replies import score_in
from xturing.eval.judging.rubric_judgement import RubricJudgement, ScoredAnswer
from xturing.eval.judging.wording import rubric_prompt
from xturing.eval.questions import Outcome
from xturing.eval.results import Result


def judge_scores(
    result: Result,
    *,
    engine: str | Engine,
    folder: str | Path | None,
    rubric: str,
    scale: int = 5,
    seed: int = 0,
    asker: Asker | None = None,
    **terms: Any,
) -> RubricJudgement:
    """Return how a judge marks a model's answers, from 1 to `scale`.

    `rubric` says in words what a score is for. Everything else is as in `judge_pairs`.

    Raises:
        SettingsError: the rubric is empty, or the scale has one score only.
        DataError: there are no answers, or the judge decided nothing.
        MissingDependencyError: xturing-selfinstruct is not installed.
        XTuringError: as `xturing.selfinstruct.ask` does.
    """
    _refuse_vague(rubric, scale)
    outcomes = answered(result)
    judge = Judge(engine=engine, folder=folder, asker=asker, terms=terms)
    replies = judge.replies([_asked(outcome, rubric, scale) for outcome in outcomes])
    answers = tuple(
        ScoredAnswer(
            row=outcome.question.row,
            place=outcome.question.place,
            score=score_in(reply, scale),
        )
        for outcome, reply in zip(outcomes, replies, strict=True)
    )
    scores = [each.score for each in answers if each.score is not None]
    if not scores:
        raise judge.nothing_decided(replies, f"Score: {scale}")
    low, high = mean_interval(scores, seed=seed)
    return RubricJudgement(
        judge=judge.name,
        model=result.model,
        rubric=rubric,
        scale=scale,
        answers=answers,
        low=low,
        high=high,
    )


def _asked(outcome: Outcome, rubric: str, scale: int) -> str:
    question = outcome.question
    return rubric_prompt(
        question_text(question),
        outcome.answer,
        rubric=rubric,
        scale=scale,
        reference=question.reference,
    )


def _refuse_vague(rubric: str, scale: int) -> None:
    if not rubric.strip():
        raise SettingsError(
            "The rubric is empty. Say in words what the worst score is for, and what "
            "the best."
        )
    if scale < 2:
        raise SettingsError(
            f"scale is {scale}, but scores go from 1 to 2 or more; 5 is usual."
        )
