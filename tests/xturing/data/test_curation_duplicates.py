from itertools import combinations

import pytest
from curated import FEW, chat, law, row_lists, rows_of
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.data import InstructionDataset
from xturing.data.curation import (
    Nearness,
    Normalisation,
    find_duplicates,
    find_near_duplicates,
    near,
)
from xturing.data.curation.near import near_pairs
from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Message,
    Preference,
    ToolCall,
)

FINDERS = [find_duplicates, find_near_duplicates]
each_finder = pytest.mark.parametrize("find", FINDERS, ids=lambda find: find.__name__)
LONG = "the cat sat on the mat and looked at the dog that slept by the old warm stove"


def take(rows, found):
    return [rows[index] for index in found.kept]


@each_finder
@law
@given(rows=row_lists)
def test_every_row_is_kept_or_dropped_and_none_is_both(find, rows):
    found = find(rows)
    assert sorted(found.kept + found.dropped) == list(range(len(rows)))


@each_finder
@law
@given(rows=row_lists)
def test_finding_again_in_what_is_kept_finds_nothing(find, rows):
    kept = take(rows, find(rows))
    assert find(kept).dropped == ()


@each_finder
@law
@given(rows=row_lists)
def test_the_first_of_the_rows_that_are_alike_is_kept(find, rows):
    for cluster in find(rows).clusters:
        assert all(cluster.row < copy.row for copy in cluster.copies)


@each_finder
@law
@given(rows=row_lists)
def test_places_are_those_of_the_rows(find, rows):
    for cluster in find(rows).clusters:
        for found in (cluster, *cluster.copies):
            assert found.place == rows[found.row].place


@each_finder
@law
@given(rows=row_lists)
def test_rows_that_can_be_read_only_once_give_the_same(find, rows):
    assert find(iter(rows)) == find(rows)


@law
@given(rows=row_lists)
def test_near_duplicates_are_never_fewer_than_duplicates(rows):
    exact, near = find_duplicates(rows), find_near_duplicates(rows)
    assert set(exact.dropped) <= set(near.dropped)


@law
@given(rows=row_lists, threshold=st.sampled_from([0.3, 0.6, 0.8, 1.0]))
def test_every_near_duplicate_is_as_like_as_counting_says(rows, threshold):
    nearness = Nearness(threshold=threshold, shingle=2)
    for cluster in find_near_duplicates(rows, nearness).clusters:
        for copy in cluster.copies:
            counted = jaccard(rows[cluster.row].record, rows[copy.row].record, 2)
            assert copy.similarity == pytest.approx(counted)
            assert copy.similarity >= threshold


def jaccard(first, second, size):
    """Return the share of common shingles, counted the simple way."""
    first, second = shingles(first, size), shingles(second, size)
    return len(first & second) / len(first | second)


def shingles(record, size):
    texts = (
        [(m.role, m.content) for m in record.messages if m.role != "system"]
        if isinstance(record, Conversation)
        else [("prompt", record.prompt), ("text", record.text)]
    )
    found = set()
    for role, text in texts:
        words = text.split()
        starts = range(max(len(words) - size + 1, min(len(words), 1)))
        found |= {(role, *words[start : start + size]) for start in starts}
    return found


def test_hardly_any_pair_at_the_threshold_is_missed():
    # 20 shingles, of which a pair has 16 in common: 16 / 24 = 2/3.
    pairs = 300
    rows = rows_of(
        Document(" ".join(f"{pair}{word}" for word in words))
        for pair in range(pairs)
        for words in ("abcdefghijklmnopqrst", "abcdefghijklmnopwxyz")
    )
    found = find_near_duplicates(rows, Nearness(threshold=2 / 3, shingle=1))
    assert len(found.dropped) >= 0.98 * pairs


def compared(monkeypatch, rows, run):
    """Return how many pairs of rows were counted on the way."""
    counts = []
    count = near._similarities

    def counting(own, others):
        counts.append(len(others))
        return count(own, others)

    monkeypatch.setattr(near, "_similarities", counting)
    run(rows)
    return sum(counts)


ALIKE = [f"{LONG} {number}" for number in range(1000)]
# Alike enough to share a band, and not enough to be near-duplicates.
HARDLY = [
    " ".join(f"w{number * place if place % 4 == 0 else place}" for place in range(60))
    for number in range(1000)
]


@pytest.mark.parametrize("texts", [ALIKE, HARDLY], ids=["alike", "hardly alike"])
@pytest.mark.parametrize(
    "run",
    [find_near_duplicates, lambda rows: list(near_pairs(rows, Nearness()))],
    ids=["duplicates", "pairs"],
)
def test_a_row_is_compared_with_few_others_however_many_are_alike(
    run, texts, monkeypatch
):
    monkeypatch.setattr(near, "HELD", 4)
    rows = rows_of(map(Document, texts))
    bands, _ = Nearness().bands
    assert compared(monkeypatch, rows, run) <= bands * 4 * len(rows)


def test_of_many_rows_that_are_alike_one_is_kept(monkeypatch):
    monkeypatch.setattr(near, "HELD", 4)
    rows = rows_of(map(Document, ALIKE))
    assert find_near_duplicates(rows).kept == (0,)


def test_results_follow_from_the_seed_alone():
    rows = rows_of(chat(" ".join(p), " ".join(p)) for p in combinations(FEW, 4))
    nearness = Nearness(threshold=0.5, shingle=1, seed=3)
    assert find_near_duplicates(rows, nearness) == find_near_duplicates(rows, nearness)


def test_one_changed_word_in_a_long_row_is_a_near_duplicate():
    rows = rows_of([chat("tell", LONG), chat("tell", LONG.replace("stove", "fire"))])
    (cluster,) = find_near_duplicates(rows).clusters
    assert [copy.row for copy in cluster.copies] == [1]


def test_a_changed_sign_is_not_overlooked():
    rows = rows_of([chat("3 + 4 =", "7"), chat("3 - 4 =", "-1")])
    assert find_near_duplicates(rows).dropped == ()


def test_a_likeness_does_not_pass_from_row_to_row():
    # Each is near the next one; the first and the third are not near one another.
    texts = ["a b c d e f g h", "c d e f g h i j", "e f g h i j k l"]
    found = find_near_duplicates(
        rows_of(map(Document, texts)), Nearness(threshold=0.6, shingle=1)
    )
    assert found.kept == (0, 2)


def test_a_shared_system_prompt_makes_no_near_duplicates():
    rows = rows_of([chat("one", "two", LONG), chat("three", "four", LONG)])
    assert find_near_duplicates(rows).dropped == ()


@pytest.mark.parametrize(
    ("field", "other"),
    [("whitespace", " the  cat\n"), ("case", "The Cat"), ("unicode", "the cat")],
)
def test_what_normalisation_covers_does_not_count(field, other):
    texts = ["the cat", other] if field != "unicode" else ["caf\u00e9", "cafe\u0301"]
    rows = rows_of(map(Document, texts))
    strict = Normalisation(unicode=False, whitespace=False)
    loose = Normalisation(**{"unicode": False, "whitespace": False, field: True})
    assert find_duplicates(rows, strict).dropped == ()
    assert find_duplicates(rows, loose).dropped == (1,)


@law
@given(text=st.text())
def test_normalising_twice_changes_nothing_more(text):
    for same in (Normalisation(), Normalisation(case=True)):
        assert same(same(text)) == same(text)


QUESTION = Message("user", "hi")
YES, NO = Message("assistant", "yes"), Message("assistant", "no")
DIFFERENT = {
    "roles": (
        chat("a", "b"),
        Conversation((Message("user", "a"), Message("tool", "b"))),
    ),
    "what is learnt": (
        Conversation((QUESTION, YES)),
        Conversation((QUESTION, Message("assistant", "yes", is_learnt=False))),
    ),
    "tools": (
        Conversation((QUESTION, YES)),
        Conversation((QUESTION, YES), tools=({"name": "f"},)),
    ),
    "tool calls": (
        Conversation((QUESTION, YES)),
        Conversation((QUESTION, Message("assistant", "yes", (ToolCall("f", {}),)))),
    ),
    "the limits of turns": (chat("a b", "c"), chat("a", "b c")),
    "verdicts": (
        Judgement(Conversation((QUESTION, YES)), is_wanted=True),
        Judgement(Conversation((QUESTION, YES)), is_wanted=False),
    ),
    "preferences": (
        Preference((QUESTION,), (YES,), (NO,)),
        Preference((QUESTION,), (NO,), (YES,)),
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_rows_that_differ_only_in_one_of_these_are_no_duplicates(pair):
    assert find_duplicates(rows_of(pair)).dropped == ()


def test_rows_of_a_dataset_are_found_and_selected(tmp_path):
    dataset = InstructionDataset({"instruction": ["a", "b", "a"], "target": ["x"] * 3})
    found = find_duplicates(dataset)
    kept = dataset.select(found.kept)
    assert [row["instruction"] for row in kept] == ["a", "b"]
    assert found.clusters[0].copies[0].place == dataset.place(2)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0}, {"threshold": 1.1}, {"shingle": 0}]
)
def test_a_nearness_that_means_nothing_is_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Nearness(**wrong)


def test_lone_surrogates_are_text_like_any_other():
    rows = rows_of([Document("\ud800 a"), Document("\ud800 a")])
    assert find_duplicates(rows).dropped == find_near_duplicates(rows).dropped == (1,)
