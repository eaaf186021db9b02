import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from xturing.core.errors import SettingsError
from xturing.selfinstruct import novelty
from xturing.selfinstruct.novelty import Match, NoveltyFilter, tokens

THRESHOLDS = [0.0, 1e-9, 0.3, 0.5, 2 / 3, 0.7, 0.8, 1.0]
SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
SPLITTER = tokenizers.DefaultTokenizer(use_stemmer=False)

law = settings(deadline=None, max_examples=150)
words = st.sampled_from("a b c d e f g".split())
sentences = st.lists(words, max_size=12).map(" ".join)
text_lists = st.lists(sentences, max_size=20)
"""Few words and many texts, so that scores lie on the thresholds, too."""


def rouge(first, second):
    return SCORER.score(first, second)["rougeL"].fmeasure


def kept_of(texts, threshold=0.7):
    kept = NoveltyFilter(threshold)
    for text in texts:
        kept.add(text)
    return kept


def closest_by_rouge(text, texts, threshold):
    matches = [Match(other, rouge(other, text)) for other in texts]
    found = [match for match in matches if match.score > threshold]
    # The first of those with the highest score.
    return max(found, key=lambda match: match.score, default=None)


@law
@given(text=st.text())
def test_tokens_are_those_of_rouge_score(text):
    assert tokens(text) == SPLITTER.tokenize(text)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@law
@given(texts=text_lists)
def test_the_closest_text_is_that_of_rouge_score(threshold, texts):
    kept = NoveltyFilter(threshold)
    for text in texts:
        expected = closest_by_rouge(text, kept.texts, threshold)
        assert kept.closest(text) == expected
        kept.add(text)


@law
@given(texts=text_lists, text=sentences)
def test_similarities_are_those_of_rouge_score_to_the_last_bit(texts, text):
    kept = kept_of(texts)
    assert kept.similarities(text).tolist() == [rouge(other, text) for other in texts]


@pytest.mark.parametrize(
    "first_number",
    [novelty.SURROGATES.start - 3, 0x110000 - 3, 0x110000],
    ids=["surrogates", "the last character", "beyond the last character"],
)
@law
@given(texts=text_lists)
def test_there_may_be_more_words_than_characters(first_number, texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "FIRST_NUMBER", first_number)
        kept = NoveltyFilter(0.7)
        for text in texts:
            assert kept.closest(text) == closest_by_rouge(text, kept.texts, 0.7)
            kept.add(text)


@pytest.mark.parametrize("length", [10, 20, 30, 40])
def test_a_score_on_the_threshold_is_decided_as_rouge_score_does(length):
    same = length * 7 // 10
    first = [f"w{at}" for at in range(length)]
    second = first[:same] + [f"v{at}" for at in range(length - same)]
    first, second = " ".join(first), " ".join(second)
    is_over = rouge(first, second) > 0.7
    assert (kept_of([first]).closest(second) is not None) == is_over


def test_of_equally_close_texts_the_earliest_is_told():
    kept = kept_of(["one two three four", "ONE two three four!", "one two three four"])
    assert kept.closest("one two three four") == Match("one two three four", 1.0)
    assert kept.closest("one two three five") == Match("one two three four", 0.75)


def test_the_order_of_words_counts():
    kept = kept_of(["write a poem about the sea"])
    assert kept.closest("sea the about poem a write") is None


def test_what_is_like_nothing_is_new():
    kept = kept_of(["write a poem about the sea", "name three rivers of asia"])
    assert kept.closest("translate this sentence into french") is None


def test_an_empty_filter_finds_everything_new():
    assert NoveltyFilter(0.0).closest("anything") is None
    assert NoveltyFilter().similarities("anything").shape == (0,)


def test_texts_are_kept_in_their_order_however_alike():
    kept = kept_of(["b", "a", "b"])
    assert list(kept.texts) == ["b", "a", "b"]
    assert len(kept) == 3


def test_to_ask_changes_nothing():
    kept = kept_of(["a b c"])
    kept.closest("x y z")
    kept.similarities("x y z")
    assert kept.similarities("x y z").tolist() == [0.0]
    assert len(kept) == 1


def test_a_text_without_latin_letters_is_like_no_other():
    assert kept_of(["写一首诗"], 0.0).closest("写一首诗") is None


def test_similarities_are_float64():
    assert kept_of(["a"]).similarities("a").dtype == np.float64


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(SettingsError, match=r"between 0 and 1"):
        NoveltyFilter(threshold)


@pytest.fixture(scope="module")
def scored():
    """Return rouge-score's F1 of two lists of its own tokens."""

    def score(first, second):
        return rouge_scorer._score_lcs(first, second).fmeasure

    return score


def real_texts(folder):
    """Return instructions, questions and prompts that people wrote."""
    for line in (folder / "seed_tasks.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)["instruction"]
    for row in json.loads((folder / "alpaca_en.json").read_text("utf-8")):
        yield row["instruction"]
    for line in (folder / "gsm8k_300.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)["question"]
    for name in ("preference_en.json", "toolcall_sharegpt_en.json"):
        for row in json.loads((folder / name).read_text("utf-8")):
            for turn in row["conversations"]:
                if turn["from"] == "human":
                    yield turn["value"]


def may_be_over(first, second, words):
    """Return whether two lists of tokens have enough in common in any order.

    `words` are the second's. Without this rouge-score alone would take minutes.
    """
    needed = 0.699 * (len(first) + len(second)) / 2
    if min(len(first), len(second)) < needed:
        return False
    return sum(map(words.__contains__, first)) >= needed


@pytest.mark.slow
def test_every_decision_on_real_texts_is_that_of_rouge_score(alpaca, scored):
    kept, others, decisions = NoveltyFilter(0.7), [], []
    for text in real_texts(alpaca.parent):
        own = SPLITTER.tokenize(text)
        words = set(own)
        scores = [scored(one, own) for one in others if may_be_over(one, own, words)]
        expected = max(scores, default=0.0)
        found = kept.closest(text)
        decisions.append((found.score if found else 0.0, expected))
        if found is None:
            kept.add(text)
            others.append(own)
    wrong = [pair for pair in decisions if pair[0] != (pair[1] if pair[1] > 0.7 else 0)]
    assert len(decisions) > 2000
    assert len(others) < len(decisions)
    assert wrong == []


@pytest.mark.slow
def test_all_scores_of_some_real_texts_are_those_of_rouge_score(alpaca):
    texts = list(real_texts(alpaca.parent))
    kept = kept_of(texts[:1000])
    for text in texts[1000::75]:
        expected = [rouge(other, text) for other in texts[:1000]]
        assert kept.similarities(text).tolist() == expected


def test_most_real_texts_are_never_compared(alpaca, monkeypatch):
    kept, counts = NoveltyFilter(0.7), []
    score = novelty._scores

    def counting(own, others):
        counts.append(len(others))
        return score(own, others)

    monkeypatch.setattr(novelty, "_scores", counting)
    pairs = 0
    for text in real_texts(alpaca.parent):
        pairs += len(kept)
        if kept.closest(text) is None:
            kept.add(text)
    assert sum(counts) < pairs / 50
