"""Reference: what generation says of an answer's end."""

from dataclasses import replace

from evaluating import made, outcome, value, written


def test_answers_that_were_cut_off_do_not_count():
    ended, cut = (
        outcome("a"),
        replace(outcome(), answers=(written("a", stopped=False),)),
    )
    rows = [ended, cut, cut, cut]
    assert value(made("self_stopping", rows), rows) == 0.25


def test_the_first_answer_of_a_question_counts():
    both = written("a"), written("a", stopped=False)
    rows = [replace(outcome(), answers=both)]
    assert value(made("self_stopping", rows), rows) == 1
