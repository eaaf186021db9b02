"""What reports are made of: comparisons, suspects and answers."""

import math

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from xturing.data import InstructionDataset, TextDataset, encode
from xturing.models.generation import Answer
from xturing.train.observed import Observed
from xturing.train.reporting.card import name_of
from xturing.train.reporting.forensics import examine
from xturing.train.reporting.samples import choose
from xturing.train.reporting.verdict import FEWEST_ROWS, Verdict, judge
from xturing.train.row_losses import RowHistory, RowLosses

losses = st.floats(0.0, 30.0)


def row_losses(nats, tokens) -> RowLosses:
    return RowLosses(np.array(nats, dtype=float), np.array(tokens))


def judged(base, tuned, *, seed=0) -> Verdict:
    return judge(base, tuned, measure="token", seed=seed)


@st.composite
def pairs(draw):
    """Draw the losses of two models on the same rows."""
    count = draw(st.integers(1, 12))
    tokens = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    both = [
        draw(st.lists(losses, min_size=count, max_size=count))
        for _ in ("base", "tuned")
    ]
    return tuple(row_losses(np.multiply(one, tokens), tokens) for one in both)


@given(pairs(), st.integers(0, 5))
def test_the_interval_covers_the_mean(pair, seed):
    found = judged(*pair, seed=seed)
    assert found.low <= found.difference <= found.high


@given(pairs())
def test_one_seed_gives_one_interval(pair):
    assert judged(*pair, seed=3) == judged(*pair, seed=3)


@given(losses, losses, losses, losses, st.integers(1, 100))
def test_the_verdict_follows_the_interval(base, tuned, below, above, rows):
    change = tuned - base
    found = Verdict(
        measure="token",
        rows=rows,
        base=base,
        tuned=tuned,
        low=change - below,
        high=change + above,
    )
    assert (found.outcome == "better") == (found.high < 0 and rows >= FEWEST_ROWS)
    assert (found.outcome == "worse") == (found.low > 0 and rows >= FEWEST_ROWS)
    assert found.outcome in found.sentence.lower()


def test_rows_that_all_gain_alike_leave_no_doubt():
    base = row_losses([10.0] * 8, [5] * 8)
    found = judged(base, row_losses([5.0] * 8, [5] * 8), seed=0)
    assert (found.low, found.high) == pytest.approx((-1.0, -1.0))
    assert found.outcome == "better"


def test_a_model_is_not_better_than_itself__peer_theme_14():
    same = row_losses([1.0, 9.0, 4.0, 2.0, 6.0], [3, 4, 5, 6, 7])
    assert judged(same, same, seed=0).outcome == "no difference shown"


def test_the_means_of_a_comparison_weigh_every_token_the_same():
    base = row_losses([1.0, 30.0], [1, 10])
    assert judged(base, base, seed=0).base == pytest.approx(31 / 11)


def test_the_interval_is_as_wide_as_theory_says():
    # Of 400 rows with one token each and changes of variance 1, it is 2 x 1.96 / 20.
    changes = np.random.default_rng(0).normal(size=400)
    base = row_losses(np.full(400, 5.0), np.ones(400, dtype=int))
    tuned = row_losses(5.0 + changes, np.ones(400, dtype=int))
    found = judged(base, tuned, seed=0)
    width = 2 * 1.96 * changes.std() / math.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("/home/ann lee/my, data/rows.jsonl", "rows.jsonl"),
        (r"C:\Users\ann\rows.csv", "rows.csv"),
        ("~/x/rows.json, field 'data'", "rows.json, field 'data'"),
        ("data/folder/", "folder"),
        ("the list", "the list"),
        ("the hub's org/name, split 'train'", "the hub's org/name, split 'train'"),
        ("the hub's org/name, /home/ann/rows.jsonl", "rows.jsonl"),
    ],
)
def test_a_dataset_is_named_without_its_folders(origin, name):
    assert name_of(origin) == name


COUNT = 4


@pytest.fixture
def dataset() -> InstructionDataset:
    return InstructionDataset(tiny.ROWS[:COUNT])


def courses(*rows: list[float]) -> np.ndarray:
    """Return the losses of rows, each over its epochs, as examine takes them."""
    return np.array([*rows, *[[2.0] * len(rows[0])] * (COUNT - len(rows))]).T


def test_a_row_that_never_gets_below_its_first_loss_never_improves(dataset):
    found = examine(courses([2.0, 2.5, 2.0], [2.0, 1.9, 2.5], [2.0, 1.0, 0.9]), dataset)
    assert [row.row for row in found.never_improving.rows] == [0, 3]


def test_the_worst_row_that_never_improves_comes_first(dataset):
    means = courses([2.0, 2.1], [2.0, 7.0], [2.0, 1.0], [2.0, 1.0])
    found = examine(means, dataset).never_improving
    assert [row.place for row in found.rows] == [dataset.place(1), dataset.place(0)]


def test_one_epoch_says_nothing_of_improving(dataset):
    assert examine(courses([3.0]), dataset).never_improving.count == 0


def test_a_row_that_is_known_by_its_second_time_was_learnt_at_once(dataset):
    means = courses([3.0, 0.05, 0.2], [0.01, 0.01, 0.01], [3.0, 1.0, 0.0])
    assert [row.row for row in examine(means, dataset).learnt_at_once.rows] == [1, 0]


def test_rows_that_were_not_seen_are_no_suspects(dataset):
    unseen = np.full((2, COUNT), np.nan)
    found = examine(unseen, dataset)
    assert found.never_improving.count == found.learnt_at_once.count == 0


def test_contradictory_rows_are_named_with_a_place_of_each_answer():
    asked = {"instruction": "how much?", "text": ""}
    rows = [{**asked, "target": "one"}, *tiny.ROWS[:2], {**asked, "target": "two"}]
    dataset = InstructionDataset(rows)
    found = examine(np.full((1, 4), 2.0), dataset)
    assert found.contradictions == 1
    assert found.contradictory[0].places == (dataset.place(0), dataset.place(3))


@pytest.fixture
def examples(tokenizer):
    return encode(InstructionDataset(tiny.ROWS), tokenizer, max_length=128).examples


def test_row_losses_add_up_to_those_that_were_given():
    generator = np.random.default_rng(0)
    found, total = RowLosses.of(7), 0.0
    for rows, counts in (([0, 6], [3, 1]), ([2], [4]), ([6, 2], [5, 2])):
        losses = generator.random(sum(counts))
        found.add(rows, counts, losses)
        total += losses.sum()
    assert found.nats.sum() == pytest.approx(total)
    assert found.counts.tolist() == [3, 0, 6, 0, 0, 0, 6]


def test_losses_belong_to_rows_in_the_order_of_the_counts():
    found = RowLosses.of(3)
    found.add([2, 0], [2, 1], np.array([1.0, 3.0, 7.0]))
    assert found.means()[[2, 0]].tolist() == [2.0, 7.0]
    assert np.isnan(found.means()[1])


def test_losses_that_are_no_row_s_are_an_error():
    with pytest.raises(ValueError, match="5 losses were due, 1 came"):
        RowLosses.of(2).add([0, 1], [2, 3], np.ones(1))


def test_a_history_has_no_number_for_rows_that_were_not_seen():
    history = RowHistory(4)
    history.epoch(1).add([2], [3], np.full(3, 0.5))
    means = history.means()
    assert means.shape == (2, 4)
    assert means[1, 2] == 0.5
    assert np.isnan(means).sum() == 7


def test_a_history_of_no_epoch_has_a_shape():
    assert RowHistory(4).means().shape == (0, 4)


def test_what_was_observed_is_the_same_after_a_checkpoint():
    one, other = Observed(3), Observed(3)
    one.history.epoch(1).add([0, 2], [1, 2], np.array([0.1, 0.2, 0.3]))
    one.score(RowLosses(np.array([1.0, 2.0]), np.array([3, 4])))
    one.score(RowLosses(np.array([0.5, 1.0]), np.array([3, 4])))
    one.answers = (Answer(text="a", tokens=1, stopped=True),)
    other.restore(one.tensors(one.history), one.answers)
    assert other.history.means().tobytes() == one.history.means().tobytes()
    assert other.base.nats.tolist() == [1.0, 2.0]
    assert other.base.counts.tolist() == [3, 4]
    assert other.answers == one.answers


def test_only_the_first_score_is_the_base_s():
    observed = Observed(1)
    for nats in (3.0, 2.0, 1.0):
        observed.score(RowLosses(np.array([nats]), np.array([1])))
    assert (observed.base.nats[0], observed.latest.nats[0]) == (3.0, 1.0)


def test_smoothed_losses_do_not_tell_what_is_known(dataset):
    means = courses([0.01, 0.01], [2.0, 2.5])
    found = examine(means, dataset, is_smoothed=True)
    assert found.learnt_at_once.count == 0
    assert found.never_improving.count > 0


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_a_question_and_its_reference_are_a_row(examples, count):
    asked = choose(examples, count, context_length=512, seed=0)
    # After an answer's end, the template may have more.
    whole = {
        tuple(example.ids[: example.parts.nonzero()[0][-1] + 1].tolist())
        for example in examples
    }
    assert len(asked) == min(count, len(examples))
    assert all(one.prompt + one.reference in whole for one in asked)


def test_a_question_ends_where_the_model_begins_to_speak(examples, tokenizer):
    (asked,) = choose(examples, 1, context_length=512, seed=0)
    assert tokenizer.decode(asked.prompt).endswith("<|im_start|>assistant\n")


def test_a_text_is_divided_in_the_middle(tokenizer):
    texts = TextDataset({"text": ["the quick brown fox jumps over the lazy dog"]})
    (example,) = encode(texts, tokenizer, max_length=64).examples
    (asked,) = choose([example], 1, context_length=None, seed=0)
    assert len(asked.prompt) == len(example) // 2


def test_no_question_leads_beyond_what_the_model_reads(examples):
    longest = max(map(len, examples)) + 16
    for asked in choose(examples, 50, context_length=longest, seed=0):
        assert len(asked.prompt) + asked.limit <= longest
