"""Reference: `corpus_chrf` of sacrebleu."""

import numpy as np
import pytest
import sacrebleu
from evaluating import made, measured, outcomes, scored
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.resampling import resampled

texts = st.text(alphabet="abc é巴\n", max_size=14)
corpora = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)
REAL = [
    ("The cat sat on the mat.", "The cat was sitting on the mat."),
    ("Paris is the capital of France.", "The capital of France is Paris."),
    ("", "An answer was expected here."),
    ("巴黎是法国的首都。", "法国的首都是巴黎。"),
]


def library(rows: list[tuple[str, str]]) -> float:
    answers, references = zip(*rows, strict=True)
    return sacrebleu.corpus_chrf(list(answers), [list(references)]).score


@given(corpora)
def test_chrf_is_that_of_sacrebleu(rows):
    assert scored("chrf", rows) == pytest.approx(library(rows), abs=1e-9)


def test_chrf_of_real_sentences_is_that_of_sacrebleu():
    assert scored("chrf", REAL) == pytest.approx(library(REAL), abs=1e-9)
    assert 30 < scored("chrf", REAL) < 80


def test_rows_drawn_anew_have_the_chrf_of_the_corpus_they_make():
    rows = outcomes(REAL)
    metric = made("chrf", rows)
    found = resampled(
        measured(metric, rows), metric.figures[0].of, seed=3, resamples=20
    )
    drawn = np.random.default_rng(3).integers(len(rows), size=(20, len(rows)))
    wanted = [library([REAL[index] for index in each]) for each in drawn]
    assert found == pytest.approx(wanted, abs=1e-9)
