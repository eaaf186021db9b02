from curated import chat, law, row_lists, rows_of
from hypothesis import given

from xturing.data.curation import find_contradictions
from xturing.data.records import Conversation, Document, Judgement, Message, Preference

QUESTION = (Message("user", "hi"),)
YES, NO = (Message("assistant", "yes"),), (Message("assistant", "no"),)


def test_the_same_question_with_other_answers_is_a_contradiction():
    rows = rows_of([chat("Why?", "a"), chat("Who?", "a"), chat("why? ", "b")])
    (found,) = find_contradictions(rows)
    assert [version.places for version in found.versions] == [("row 1",), ("row 3",)]


def test_the_same_answer_twice_is_none():
    assert find_contradictions(rows_of([chat("Why?", "a"), chat("Why?", "a")])) == ()


def test_another_system_prompt_makes_another_question():
    rows = rows_of([chat("Why?", "a", "Be kind."), chat("Why?", "b", "Be curt.")])
    assert find_contradictions(rows) == ()


def test_texts_without_a_prompt_contradict_nothing():
    assert find_contradictions(rows_of([Document("a"), Document("b")])) == ()


def test_preferences_contradict_if_each_prefers_what_the_other_rejects():
    rows = rows_of([Preference(QUESTION, YES, NO), Preference(QUESTION, NO, YES)])
    (found,) = find_contradictions(rows)
    assert found.rows == (0, 1)


def test_preferences_between_other_answers_do_not_contradict():
    other = (Message("assistant", "perhaps"),)
    rows = rows_of([Preference(QUESTION, YES, NO), Preference(QUESTION, other, YES)])
    assert find_contradictions(rows) == ()


def test_judgements_contradict_if_one_wants_what_the_other_does_not():
    said = Conversation(QUESTION + YES)
    rows = rows_of([Judgement(said, is_wanted=True), Judgement(said, is_wanted=False)])
    (found,) = find_contradictions(rows)
    assert found.rows == (0, 1)


@law
@given(rows=row_lists)
def test_no_row_is_in_two_groups(rows):
    listed = [row for found in find_contradictions(rows) for row in found.rows]
    assert len(listed) == len(set(listed))


@law
@given(rows=row_lists)
def test_with_one_version_of_each_group_there_are_none(rows):
    wrong = {
        row
        for found in find_contradictions(rows)
        for version in found.versions[1:]
        for row in version.rows
    }
    assert not find_contradictions([r for n, r in enumerate(rows) if n not in wrong])
