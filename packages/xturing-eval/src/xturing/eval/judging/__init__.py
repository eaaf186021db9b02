"""Language models as judges: of two answers which is better, and how good one is.

Judges are asked by the package xturing-selfinstruct (the extra `judge`), which writes
every reply down and asks nothing twice.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.eval.judging.pairs import judge_pairs
    from xturing.eval.judging.pairwise_judgement import PairwiseJudgement, TwiceJudged
    from xturing.eval.judging.rubric_judgement import RubricJudgement, ScoredAnswer
    from xturing.eval.judging.rubrics import judge_scores

__all__ = [
    "PairwiseJudgement",
    "RubricJudgement",
    "ScoredAnswer",
    "TwiceJudged",
    "judge_pairs",
    "judge_scores",
]

__getattr__ = exports(
    __name__,
    PairwiseJudgement="pairwise_judgement",
    RubricJudgement="rubric_judgement",
    ScoredAnswer="rubric_judgement",
    TwiceJudged="pairwise_judgement",
    judge_pairs="pairs",
    judge_scores="rubrics",
)
