import pytest
from curated import chat, law, row_lists, rows_of
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.data.curation import find_contamination
from xturing.data.records import Document

WORDS = " ".join(f"w{n}" for n in range(20))


@law
@given(rows=row_lists, run=st.integers(1, 13))
def test_a_set_is_wholly_contaminated_by_itself(rows, run):
    assert set(find_contamination(rows, rows, run=run).fractions) <= {1.0}


@law
@given(rows=row_lists, run=st.integers(1, 13))
def test_other_words_do_not_contaminate(rows, run):
    others = rows_of([Document("eight nine ten eleven"), chat("eight?", "nine")])
    assert set(find_contamination(rows, others, run=run).fractions) <= {0.0}


@law
@given(rows=row_lists, training=row_lists, more=row_lists, run=st.integers(1, 4))
def test_more_training_rows_never_contaminate_less(rows, training, more, run):
    few = find_contamination(rows, training, run=run).fractions
    many = find_contamination(rows, training + more, run=run).fractions
    assert all(a <= b for a, b in zip(few, many, strict=True))


@law
@given(rows=row_lists, training=row_lists, run=st.integers(1, 4))
def test_what_is_clean_has_nothing_found(rows, training, run):
    found = find_contamination(rows, training, run=run)
    listed = {row.row for row in found.found}
    assert set(found.clean()) == set(range(len(rows))) - listed


def test_the_fraction_is_that_of_the_runs_found():
    # 20 words have 8 runs of 13; the first 15 words hold 3 of them.
    training = rows_of([Document("other"), Document(" ".join(WORDS.split()[:15]))])
    found = find_contamination(rows_of([Document(WORDS)]), training)
    assert found.fractions == (3 / 8,)
    assert (found.found[0].place, found.found[0].source) == ("row 1", "row 2")


def test_case_and_signs_do_not_hide_a_copy():
    loud = WORDS.upper().replace(" ", ", ")
    found = find_contamination(rows_of([Document(WORDS)]), rows_of([Document(loud)]))
    assert found.fractions == (1,)


def test_a_short_text_is_found_only_as_a_whole_row():
    held_out = rows_of([Document("yes of course")])
    inside = rows_of([Document(f"yes of course {WORDS}")])
    assert find_contamination(held_out, inside).fractions == (0,)
    whole = rows_of([Document("Yes, of course!")])
    assert find_contamination(held_out, whole).fractions == (1,)


def test_a_shared_system_prompt_is_no_contamination():
    held_out, training = (
        rows_of([chat("a", "b", WORDS)]),
        rows_of([chat("c", "d", WORDS)]),
    )
    assert find_contamination(held_out, training).fractions == (0,)


def test_a_run_without_words_is_refused():
    with pytest.raises(SettingsError, match="13 is usual"):
        find_contamination([], [], run=0)
