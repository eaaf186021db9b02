"""What earlier requests have read is not read again, and what that changes: nothing."""

import numpy as np
import pytest
from engines import CountingRunner, counting_engine, listen
from hypothesis import given
from hypothesis import strategies as st

from xturing.models.inference.prefixes import MOST, SHORTEST, Prefixes

LONG = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]


@pytest.fixture
def runner():
    return CountingRunner()


@pytest.fixture
def prefixes(runner):
    return Prefixes(runner)


def keep(prefixes, runner, ids, adapter=None):
    cache = runner.open(len(ids), adapter)
    cache.length = len(ids)
    prefixes.keep(ids, cache)
    return cache


texts = st.lists(st.integers(0, 1), min_size=1, max_size=24)


@given(st.lists(texts, max_size=8), texts)
def test_what_is_reused_is_the_longest_beginning_there_is(known, prompt):
    runner = CountingRunner()
    prefixes = Prefixes(runner)
    for ids in known:
        keep(prefixes, runner, ids)
    cache, found = prefixes.begin(prompt, len(prompt) + 4, None)
    common = [_common(ids, prompt[:-1]) for ids in known]
    longest = max(common, default=0)
    assert found == (longest if longest >= SHORTEST else 0)
    assert (cache.length, cache.capacity) == (found, len(prompt) + 4)


def _common(a, b) -> int:
    differing = [place for place, (x, y) in enumerate(zip(a, b)) if x != y]  # noqa: B905
    return differing[0] if differing else min(len(a), len(b))


def test_the_last_token_is_always_read_anew(prefixes, runner):
    keep(prefixes, runner, LONG)
    assert prefixes.begin(LONG, 20, None)[1] == len(LONG) - 1


def test_another_adapters_caches_are_none_of_ones_own(prefixes, runner):
    keep(prefixes, runner, LONG, "law")
    assert prefixes.begin(LONG, 20, None)[1] == 0
    assert prefixes.begin(LONG, 20, "tax")[1] == 0
    assert prefixes.begin(LONG, 20, "law")[1] == len(LONG) - 1


def test_a_cache_that_another_goes_on_from_is_dropped(prefixes, runner):
    keep(prefixes, runner, LONG[:9])
    keep(prefixes, runner, LONG)
    assert prefixes.tokens == runner.held == len(LONG)


def test_the_cache_used_last_is_the_last_to_go(prefixes, runner):
    keep(prefixes, runner, [0] * 10)
    keep(prefixes, runner, [1] * 10)
    prefixes.begin([0] * 10, 12, None)
    prefixes.shrink(10)
    assert prefixes.begin([0] * 10, 12, None)[1] == 9
    assert prefixes.begin([1] * 10, 12, None)[1] == 0


def test_so_many_caches_are_kept_and_no_more(prefixes, runner):
    for number in range(MOST + 5):
        keep(prefixes, runner, [number] * 10)
    assert prefixes.tokens == runner.held == MOST * 10


def test_shrinking_to_nothing_gives_everything_back(prefixes, runner):
    keep(prefixes, runner, LONG)
    keep(prefixes, runner, [5] * 30)
    prefixes.shrink(0)
    assert prefixes.tokens == runner.held == 0


def test_what_is_switched_off_keeps_nothing(runner):
    prefixes = Prefixes(runner, is_on=False)
    keep(prefixes, runner, LONG)
    assert runner.held == 0
    assert prefixes.begin(LONG, 20, None)[1] == 0


def test_only_what_a_cache_has_read_is_known_of_it(prefixes, runner):
    cache = runner.open(20)
    cache.length = 9
    prefixes.keep(LONG, cache)
    assert prefixes.begin(LONG, 20, None)[1] == 9


# ---------------------------------------------------------------- in an engine


def test_a_conversation_goes_on_where_it_was(runner):
    engine = counting_engine(runner)
    first = listen(engine, LONG)
    conversation = [*LONG, *first.ids, 9, 9]
    second = listen(engine, conversation)
    fresh = counting_engine()
    assert second.ids == listen(fresh, conversation).ids
    assert first.last.cached_tokens == 0
    assert second.last.cached_tokens == len(LONG) + 7
    assert len(runner.steps[8][0]) == 3
    engine.close()
    fresh.close()


def test_a_cancelled_prompt_leaves_what_was_read_of_it(runner):
    engine = counting_engine(runner, prefill_tokens=9)
    found = listen(engine, LONG, deadline=None, max_new_tokens=40)
    assert found.has_begun.wait(20)
    found.handle.cancel()
    assert found.last.finish.reason in ("cancelled", "length")
    assert listen(engine, LONG).last.cached_tokens == len(LONG) - 1
    engine.close()


def test_wrong_guesses_are_no_part_of_what_is_kept(runner):
    engine = counting_engine(runner)
    misleading = [1, 2, 7, 7, 7, 7, 7, 7, 1, 2]
    first = listen(engine, misleading, lookup_tokens=4)
    again = listen(engine, [*misleading, *first.ids, 3], lookup_tokens=4)
    assert again.ids == [4, 5, 6, 7, 8, 9, 0, 1]
    assert again.last.cached_tokens == len(misleading) + 7
    engine.close()


def test_a_failed_answer_leaves_nothing_behind(runner):
    def stumble(work, logits):
        if logits.size and any(each.ids == [5] for each in work):
            logits[:] = np.nan

    runner.stumble = stumble
    engine = counting_engine(runner)
    assert "not a number" in str(listen(engine, LONG).last)
    assert runner.held == 0
    engine.close()


def test_models_that_carry_a_state_read_everything_anew(runner):
    engine = counting_engine(runner, parts={"can_rewind": False})
    for _ in range(2):
        found = listen(engine, LONG, lookup_tokens=3)
        assert found.ids == [3, 4, 5, 6, 7, 8, 9, 0]
        assert found.last.cached_tokens == 0
    engine.close()
