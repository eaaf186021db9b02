"""Reference: what scikit-learn makes of the same answers."""

import pytest
from evaluating import made, measured, outcomes, value
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

from xturing.core.errors import DataError

LABELS = ["bad", "good", "neutral"]
OTHER = "something else"
pairs = st.tuples(st.sampled_from([*LABELS, OTHER]), st.sampled_from(LABELS))
tables = st.lists(pairs, min_size=4, max_size=20)


def known(rows: list[tuple[str, str]]) -> list[str]:
    return sorted({reference for _, reference in rows})


@given(tables)
def test_figures_are_those_of_scikit_learn(pairs):
    rows = outcomes(pairs)
    metric = made("labels", rows)
    answers, references = zip(*pairs, strict=True)
    precision, recall, f1, _ = precision_recall_fscore_support(
        references, answers, labels=known(pairs), average="macro", zero_division=0
    )
    found = {figure.name: value(metric, rows, figure.name) for figure in metric.figures}
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(references, answers),
            "macro_precision": precision,
            "macro_recall": recall,
            "macro_f1": f1,
        }
    )


@given(tables)
def test_the_confusion_is_that_of_scikit_learn(pairs):
    rows = outcomes(pairs)
    metric = made("labels", rows)
    found = metric.confusion(measured(metric, rows).sum(axis=0))
    folded = [
        (answer if answer in known(pairs) else "~", reference)
        for answer, reference in pairs
    ]
    answers, references = zip(*folded, strict=True)
    wanted = confusion_matrix(references, answers, labels=[*known(pairs), "~"])[:-1]
    assert list(found.labels) == known(pairs)
    assert found.counts.tolist() == wanted.tolist()


def test_case_and_a_full_stop_do_not_count():
    rows = outcomes([(" YES.\n", "Yes"), ("yes", "Yes"), ("no", "No.")])
    metric = made("labels", rows)
    assert value(metric, rows) == 1
    assert metric.labels == ("No.", "Yes")


def test_case_counts_if_it_is_to():
    rows = outcomes([("yes", "Yes"), ("Yes", "Yes"), ("No", "No")])
    assert value(made("labels", rows, normalise="spaces"), rows) == pytest.approx(2 / 3)


def test_an_answer_that_is_no_label_is_no_right_answer_for_any():
    rows = outcomes([("maybe", "yes"), ("yes", "yes"), ("no", "no")])
    metric = made("labels", rows)
    found = metric.confusion(measured(metric, rows).sum(axis=0))
    assert found.counts.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_references_that_all_differ_are_no_labels():
    with pytest.raises(DataError, match="line 1 on, are all different.*'exact_match'"):
        made("labels", outcomes([("", "one text"), ("", "another text")]))


def test_too_many_labels_are_refused_with_how_many_there_are():
    rows = outcomes([("", str(number)) for number in [*range(51), *range(51)]])
    with pytest.raises(DataError, match="51 different.*50 are the most"):
        made("labels", rows)
