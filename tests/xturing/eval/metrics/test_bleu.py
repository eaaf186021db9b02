"""Reference: `corpus_bleu` of sacrebleu."""

import numpy as np
import pytest
import sacrebleu
from evaluating import made, measured, outcomes, scored, value
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.resampling import resampled

words = st.sampled_from(["the", "cat", "sat", "on", "a", "mat.", "It's", "3.5", ","])
texts = st.lists(words, max_size=12).map(" ".join)
corpora = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)
REAL = [
    (
        "The cat sat on the mat, looking at the birds outside.",
        "The cat was sitting on the mat and looked at the birds outside.",
    ),
    ("Paris is the capital of France.", "The capital of France is Paris."),
    ("", "An answer was expected here, but the model said nothing."),
    ("It costs $1,000.50 (or so)!", "It costs $1,000.50, or so."),
]
CHINESE = [
    ("巴黎是法国的首都。", "法国的首都是巴黎。"),
    ("今天天气很好", "今天天气真好"),
]


def library(rows: list[tuple[str, str]], **options) -> float:
    answers, references = zip(*rows, strict=True)
    return sacrebleu.corpus_bleu(list(answers), [list(references)], **options).score


@given(corpora)
def test_bleu_is_that_of_sacrebleu(rows):
    assert scored("bleu", rows) == pytest.approx(library(rows), abs=1e-9)


def test_bleu_of_real_sentences_is_that_of_sacrebleu():
    assert scored("bleu", REAL) == pytest.approx(library(REAL), abs=1e-9)
    assert 20 < scored("bleu", REAL) < 60


def test_runs_without_a_match_are_smoothed_as_sacrebleu_does():
    rows = [("a b x c d", "a b y c d")]
    assert scored("bleu", rows) == pytest.approx(library(rows), abs=1e-9)
    assert scored("bleu", rows) > 0


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_words_are_found_as_sacrebleu_finds_them(tokenize):
    rows = outcomes(CHINESE)
    found = value(made("bleu", rows, tokenize=tokenize), rows)
    assert found == pytest.approx(library(CHINESE, tokenize=tokenize), abs=1e-9)


def test_rows_drawn_anew_have_the_bleu_of_the_corpus_they_make():
    rows = outcomes(REAL)
    metric = made("bleu", rows)
    found = resampled(
        measured(metric, rows), metric.figures[0].of, seed=3, resamples=20
    )
    drawn = np.random.default_rng(3).integers(len(rows), size=(20, len(rows)))
    wanted = [library([REAL[index] for index in each]) for each in drawn]
    assert found == pytest.approx(wanted, abs=1e-9)
