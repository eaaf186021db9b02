"""Scores of language models that can be trusted: intervals, verdicts and gates."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.eval.doors import (
        check_sampled_text,
        completion_query,
        eval_all_samples,
        eval_sample,
    )
    from xturing.eval.evaluating import evaluate, rescore
    from xturing.eval.events import Advanced, ModelOpened
    from xturing.eval.examination import Examination, examination
    from xturing.eval.gates import Bound, Gates
    from xturing.eval.harness import run_harness
    from xturing.eval.judging import (
        PairwiseJudgement,
        RubricJudgement,
        judge_pairs,
        judge_scores,
    )
    from xturing.eval.metrics import METRICS, Figure, Metric
    from xturing.eval.passages import Passage
    from xturing.eval.perplexity import TextLikelihood, perplexity, text_likelihood
    from xturing.eval.questions import Likelihood, Outcome, Question, Written
    from xturing.eval.rescoring import read_evaluation
    from xturing.eval.results import Compared, Comparison, Evaluation, Result, Score
    from xturing.eval.scoring import Scored, Scorer
    from xturing.eval.settings import EvalConfig
    from xturing.eval.tasks import Task, bundled_tasks, open_task

__all__ = [
    "METRICS",
    "Advanced",
    "Bound",
    "Compared",
    "Comparison",
    "EvalConfig",
    "Evaluation",
    "Examination",
    "Figure",
    "Gates",
    "Likelihood",
    "Metric",
    "ModelOpened",
    "Outcome",
    "PairwiseJudgement",
    "Passage",
    "Question",
    "Result",
    "RubricJudgement",
    "Score",
    "Scored",
    "Scorer",
    "Task",
    "TextLikelihood",
    "Written",
    "bundled_tasks",
    "check_sampled_text",
    "completion_query",
    "eval_all_samples",
    "eval_sample",
    "evaluate",
    "examination",
    "judge_pairs",
    "judge_scores",
    "open_task",
    "perplexity",
    "read_evaluation",
    "rescore",
    "run_harness",
    "text_likelihood",
]

__getattr__ = exports(
    __name__,
    METRICS="metrics",
    Advanced="events",
    Bound="gates",
    Compared="results",
    Comparison="results",
    EvalConfig="settings",
    Evaluation="results",
    Examination="examination",
    Figure="metrics",
    Gates="gates",
    Likelihood="questions",
    Metric="metrics",
    ModelOpened="events",
    Outcome="questions",
    PairwiseJudgement="judging",
    Passage="passages",
    Question="questions",
    Result="results",
    RubricJudgement="judging",
    Score="results",
    Scored="scoring",
    Scorer="scoring",
    Task="tasks",
    TextLikelihood="perplexity",
    Written="questions",
    bundled_tasks="tasks",
    check_sampled_text="doors",
    completion_query="doors",
    eval_all_samples="doors",
    eval_sample="doors",
    evaluate="evaluating",
    examination="examination",
    judge_pairs="judging",
    judge_scores="judging",
    open_task="tasks",
    perplexity="perplexity",
    read_evaluation="rescoring",
    rescore="evaluating",
    run_harness="harness",
    text_likelihood="perplexity",
)
