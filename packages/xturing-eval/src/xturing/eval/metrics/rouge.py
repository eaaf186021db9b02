"""How much of the reference's words and their order an answer has."""

from collections.abc import Sequence

from xturing.core.errors import DataError
from xturing.eval.metrics import Need, average, pair, references
from xturing.eval.questions import Outcome, Question

KINDS = "rouge1", "rouge2", "rougeL"


class Rouge:
    """Mean F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, by the library rouge-score.

    Its words are runs of a-z and 0-9, upper case read as lower; with `use_stemmer`,
    endings are cut off. (Lin 2004, ROUGE: A Package for Automatic Evaluation of
    Summaries.)
    """

    name = "rouge"
    needs: Need = "answers"
    figures = (average("rouge1"), average("rouge2", 2), average("rougeL", 3))

    def __init__(
        self, questions: Sequence[Question], *, use_stemmer: bool = False
    ) -> None:
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.tokenizers import DefaultTokenizer

        words = DefaultTokenizer(use_stemmer)
        for question, reference in zip(
            questions, references(questions, self.name), strict=True
        ):
            if not words.tokenize(reference):
                raise DataError(
                    f"The reference of {question.place} has no word of the letters a-z "
                    "and digits, which are all that the metric 'rouge' reads, so that "
                    "even a perfect answer would score 0. Use the metric 'chrf'."
                )
        self._scorer = RougeScorer(list(KINDS), tokenizer=words)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return ROUGE-1, 1, ROUGE-2 and ROUGE-L."""
        answer, reference = pair(outcome, self.name)
        scores = self._scorer.score(reference, answer)
        first, *others = (float(scores[kind].fmeasure) for kind in KINDS)
        return first, 1.0, *others
