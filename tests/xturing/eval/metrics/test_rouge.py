"""Reference: the library rouge-score, Google's own."""

import pytest
from evaluating import made, outcomes, value
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from xturing.core.errors import DataError
from xturing.eval.metrics.rouge import KINDS

words = st.sampled_from("The quick foxes foxes jump, jumping over 12 dogs".split())
texts = st.lists(words, max_size=8).map(" ".join)
references = st.lists(words, min_size=1, max_size=8).map(" ".join)


@pytest.mark.parametrize("use_stemmer", [False, True])
@given(st.lists(st.tuples(texts, references), min_size=1, max_size=4))
def test_figures_are_means_of_what_the_library_finds(use_stemmer, pairs):
    rows = outcomes(pairs)
    metric = made("rouge", rows, use_stemmer=use_stemmer)
    library = RougeScorer(list(KINDS), use_stemmer=use_stemmer)
    for kind in KINDS:
        wanted = [library.score(right, left)[kind].fmeasure for left, right in pairs]
        assert value(metric, rows, kind) == pytest.approx(sum(wanted) / len(wanted))


def test_the_librarys_own_example_comes_out():
    # README of rouge-score: "precision=0.75, recall=0.6666666666666666" for rouge1 and
    # 0.625 and 0.5555555555555556 for rougeL.
    rows = outcomes(
        [
            (
                "The quick brown dog jumps on the log.",
                "The quick brown fox jumps over the lazy dog",
            )
        ]
    )
    metric = made("rouge", rows)
    assert value(metric, rows, "rouge1") == pytest.approx(
        2 * 0.75 * (2 / 3) / (17 / 12)
    )
    assert value(metric, rows, "rougeL") == pytest.approx(
        2 * 0.625 * (5 / 9) / (0.625 + 5 / 9)
    )


def test_a_reference_that_rouge_cannot_read_is_refused__rivals_score_it_zero():
    rows = outcomes([("ok", "ok"), ("巴黎", "巴黎")])
    with pytest.raises(DataError, match="line 2 has no word of the letters a-z.*chrf"):
        made("rouge", rows)
