"""Requests that share a running batch, and do not come in each other's way."""

import threading
import time

import numpy as np
import pytest
from engines import CountingRunner, Listener, counting_engine, listen, request
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.core.errors import BusyError, EngineError, SettingsError
from xturing.models.inference import Finish, complete, stream
from xturing.models.inference.engine import Capabilities

digits = st.lists(st.integers(0, 9), min_size=1, max_size=12)
PAST = 1.0
"""A deadline that is long over."""


def counted(prompt, count: int) -> list[int]:
    """Return what the runner that counts goes on with."""
    return [(prompt[-1] + step) % 10 for step in range(1, count + 1)]


@pytest.fixture
def runner():
    return CountingRunner()


@pytest.fixture
def engine(runner):
    made = counting_engine(runner, max_running=3, max_waiting=3)
    yield made
    runner.gate.set()
    made.close()


def held(runner: CountingRunner, engine, *prompts) -> list[Listener]:
    """Ask for answers, and return while the first step of them is being computed."""
    runner.gate.clear()
    runner.entered.clear()
    first = listen(engine, prompts[0])
    assert runner.entered.wait(20)
    return [first, *(listen(engine, prompt) for prompt in prompts[1:])]


# ---------------------------------------------------------------- laws


requests = st.lists(
    st.tuples(digits, st.integers(1, 12), st.integers(0, 5)), min_size=1, max_size=9
)


@settings(max_examples=60)
@given(
    requests,
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(26, 90),
    st.booleans(),
)
def test_whatever_is_asked_each_answer_is_its_own_and_memory_is_kept_to(
    wanted, max_running, prefill_tokens, cache_tokens, is_scoring
):
    runner = CountingRunner()
    engine = counting_engine(
        runner,
        max_running=max_running,
        prefill_tokens=prefill_tokens,
        cache_tokens=cache_tokens,
    )
    listeners = [
        listen(engine, prompt, max_new_tokens=count, lookup_tokens=guessed)
        for prompt, count, guessed in wanted
    ]
    if is_scoring:
        engine.score([prompt for prompt, _, _ in wanted])
    for listener, (prompt, count, _) in zip(listeners, wanted, strict=True):
        assert listener.ids == counted(prompt, count)
        assert listener.text == "".join(map(str, listener.ids))
        assert listener.last.finish == Finish("length")
    engine.close()
    assert runner.most_held <= cache_tokens
    assert runner.held == 0
    assert runner.is_closed


@given(digits, st.integers(1, 20), st.integers(1, 9), st.sampled_from([0.0, 3.0]))
def test_guessing_changes_nothing_that_is_written(prompt, count, guessed, temperature):
    engine = counting_engine()
    found = [
        listen(
            engine,
            prompt,
            max_new_tokens=count,
            temperature=temperature,
            seed=7,
            lookup_tokens=lookup,
        ).ids
        for lookup in (0, guessed)
    ]
    engine.close()
    assert found[0] == found[1]


def test_guesses_that_come_true_save_steps(runner, engine):
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert listen(engine, prompt, lookup_tokens=4).ids == counted(prompt, 8)
    assert len(runner.steps) < 8


@given(st.lists(digits, min_size=1, max_size=4), st.integers(0, 9))
def test_draws_with_a_seed_do_not_depend_on_what_is_beside_them(others, seed):
    drawn = {"temperature": 5.0, "seed": seed}
    alone = counting_engine()
    wanted = listen(alone, [3, 1], **drawn).ids
    alone.close()
    busy = counting_engine(max_running=5)
    for other in others:
        listen(busy, other, temperature=5.0)
    assert listen(busy, [3, 1], **drawn).ids == wanted
    busy.close()


# ---------------------------------------------------------------- coming and going


def test_a_request_joins_those_that_are_answered(runner, engine):
    first, second = held(runner, engine, [1], [5])
    runner.gate.set()
    assert second.ids == counted([5], 8)
    assert first.ids == counted([1], 8)
    assert [[3], [6]] in runner.steps


def test_a_request_leaves_and_the_others_go_on(runner, engine):
    runner.gate.clear()
    long, short = (
        listen(engine, [1], max_new_tokens=9),
        listen(engine, [5], max_new_tokens=2),
    )
    runner.gate.set()
    assert short.ids == counted([5], 2)
    assert long.ids == counted([1], 9)
    assert [len(step) for step in runner.steps][-5:] == [1] * 5


def test_nobody_is_overtaken_even_by_who_would_fit(runner):
    engine = counting_engine(runner, cache_tokens=20)
    runner.gate.clear()
    ended = []

    def noting(name):
        listener = Listener()

        def tell(event):
            if getattr(event, "finish", None):
                ended.append(name)
            listener(event)

        return listener, tell

    listeners = []
    for name, length, count in (("a", 4, 8), ("b", 8, 8), ("c", 1, 1)):
        listener, tell = noting(name)
        engine.submit(request([1] * length, max_new_tokens=count), tell)
        listeners.append(listener)
    runner.gate.set()
    for listener in listeners:
        assert listener.last.finish == Finish("length")
    assert ended[0] == "a"
    assert runner.steps[-1] != [[1]]
    first_of_c = runner.steps.index([[1] * 8, [1]])
    assert first_of_c > 7
    engine.close()


def test_a_first_token_is_told_before_others_are_computed_with(runner):
    engine = counting_engine(runner)
    (first,) = held(runner, engine, [1])
    second = listen(engine, [5])
    seen = []

    def note(work, logits):
        if len(work) == 2:
            seen.append(second.has_begun.is_set())

    runner.stumble = note
    runner.gate.set()
    assert (first.ids, second.ids) == (counted([1], 8), counted([5], 8))
    assert all(seen)
    assert seen
    engine.close()


def test_a_long_prompt_is_read_in_portions_beside_an_answer(runner):
    engine = counting_engine(runner, prefill_tokens=4)
    (first,) = held(runner, engine, [1])
    second = listen(engine, [2] * 10)
    runner.gate.set()
    assert second.ids == counted([2], 8)
    assert first.ids == counted([1], 8)
    sizes = [[len(ids) for ids in step] for step in runner.steps]
    assert sizes[2:8] == [[4], [1], [4], [1], [2], [1, 1]]
    engine.close()


def test_more_requests_than_wait_are_refused_and_later_ones_not(runner):
    engine = counting_engine(runner, max_running=1, max_waiting=1)
    first, second = held(runner, engine, [1], [2])
    with pytest.raises(BusyError, match="2 requests"):
        listen(engine, [3])
    runner.gate.set()
    assert first.ids == counted([1], 8)
    assert second.ids == counted([2], 8)
    assert listen(engine, [3]).ids == counted([3], 8)
    engine.close()


def test_the_load_counts_who_is_answered_and_who_waits(runner, engine):
    held(runner, engine, [1], [2], [3], [4], [5])
    load = engine.load()
    assert load.running + load.waiting == 5
    assert load.running <= 3
    assert load.cached_tokens >= 9


# ---------------------------------------------------------------- ending early


def test_who_is_cancelled_is_told_and_the_others_go_on(runner, engine):
    first, second = held(runner, engine, [1], [2])
    first.handle.cancel()
    first.handle.cancel()
    runner.gate.set()
    assert first.last.finish == Finish("cancelled")
    assert second.ids == counted([2], 8)


def test_who_waits_can_be_cancelled(runner):
    engine = counting_engine(runner, max_running=1)
    first, second = held(runner, engine, [1], [2])
    second.handle.cancel()
    runner.gate.set()
    assert second.last.finish == Finish("cancelled")
    assert second.ids == []
    assert first.ids == counted([1], 8)
    engine.close()


def test_a_deadline_ends_an_answer_with_what_there_is(runner, engine):
    runner.stumble = lambda work, logits: time.sleep(0.01)
    found = listen(engine, [1], max_new_tokens=60, deadline=time.monotonic() + 0.1)
    assert found.last.finish == Finish("deadline")
    assert found.ids == counted([1], len(found.ids))
    assert 0 < len(found.ids) < 60


def test_a_deadline_that_is_over_ends_an_answer_before_it_begins(runner, engine):
    found = listen(engine, [1], deadline=PAST)
    assert found.last.finish == Finish("deadline")
    assert runner.steps == []


def test_closing_ends_all_answers(runner, engine):
    listeners = held(runner, engine, [1], [2], [3], [4])
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._is_over:
        time.sleep(0.001)
    runner.gate.set()
    closing.join()
    assert {listener.last.finish for listener in listeners} == {Finish("cancelled")}
    assert runner.is_closed
    assert runner.held == 0


def test_draining_answers_what_was_taken_on(runner, engine):
    prompts = [[1], [2], [3], [4]]
    listeners = held(runner, engine, *prompts)
    threading.Timer(0.05, runner.gate.set).start()
    engine.close(drain=True)
    for prompt, listener in zip(prompts, listeners, strict=True):
        assert listener.ids == counted(prompt, 8)
    assert runner.is_closed
    assert runner.held == 0


def test_a_closed_engine_takes_nothing_on(engine):
    engine.close()
    engine.close(drain=True)
    with pytest.raises(EngineError, match="closed"):
        listen(engine, [1])
    with pytest.raises(EngineError, match="closed"):
        engine.score([[1, 2]])


def test_leaving_a_stream_stops_the_answer(engine):
    pieces = stream(engine, request([1], max_new_tokens=60))
    assert next(pieces).text == "2"
    pieces.close()
    while engine.load().running:
        time.sleep(0.001)


# ---------------------------------------------------------------- what goes wrong


class FailingConstraint:
    """Allows two tokens, and fails at the third."""

    is_complete = False

    def __init__(self, error: Exception) -> None:
        self.error, self.left = error, 2

    def mask(self, logits):
        return logits.copy()

    def advance(self, token_id):
        if not self.left:
            raise self.error
        self.left -= 1


@pytest.mark.parametrize(
    ("error", "told"),
    [(EngineError("held no more"), "held no more"), (ValueError("secret"), "its log")],
)
def test_an_answer_that_fails_fails_alone(runner, error, told):
    class Schemas:
        def constraint(self, schema):
            return FailingConstraint(error)

    parts = {"schemas": Schemas(), "capabilities": Capabilities(json_schema=True)}
    engine = counting_engine(runner, parts=parts)
    good = listen(engine, [1])
    bad = listen(engine, [5], json_schema="{}")
    assert isinstance(bad.last, EngineError)
    assert told in str(bad.last)
    assert "secret" not in str(bad.last)
    assert bad.ids == counted([5], 2)
    assert good.ids == counted([1], 8)
    engine.close()
    assert runner.held == 0


def test_logits_that_are_no_numbers_end_one_answer_alone(runner, engine):
    def stumble(work, logits):
        place = 0
        for each in work:
            if 7 in each.ids:
                logits[place : place + each.wanted] = np.nan
            place += each.wanted

    runner.stumble = stumble
    bad, good = listen(engine, [5]), listen(engine, [8])
    assert "not a number" in str(bad.last)
    assert bad.ids == [6, 7]
    assert good.ids == counted([8], 8)


def test_a_step_that_fails_is_told_to_all_in_it_and_the_engine_goes_on(runner, engine):
    def stumble(work, logits):
        if any(7 in each.ids for each in work):
            raise RuntimeError("secret")

    runner.stumble = stumble
    runner.gate.clear()
    bad, beside = listen(engine, [5]), listen(engine, [0])
    runner.gate.set()
    for listener in (bad, beside):
        assert "its log tells why" in str(listener.last)
        assert "secret" not in str(listener.last)
    assert listen(engine, [8]).ids == counted([8], 8)
    engine.close()
    assert runner.held == 0


def test_a_cache_that_cannot_be_had_ends_one_answer_alone(runner, engine):
    make = runner.open

    def open_cache(capacity, adapter=None):
        if capacity == 1 + 40:
            raise MemoryError
        return make(capacity, adapter)

    runner.open = open_cache
    good, bad = held(runner, engine, [1])[0], listen(engine, [5], max_new_tokens=40)
    runner.gate.set()
    assert isinstance(bad.last, EngineError)
    assert good.ids == counted([1], 8)


def test_who_fails_to_listen_harms_nobody(engine):
    def tell(event):
        raise ValueError("no ears")

    engine.submit(request([1], max_new_tokens=60), tell)
    assert listen(engine, [5]).ids == counted([5], 8)
    while engine.load().running:
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("prompt", "decoding", "reason"),
    [
        ([], {}, "prompt is empty"),
        ([1] * 64, {}, "64 tokens, and the model reads 64"),
        ([1, 10], {}, "no token 10; the model's are 0 to 9"),
        ([-1], {}, "no token -1"),
        ([1], {"adapter": "law"}, "no adapter 'law'. There are none"),
        ([1], {"json_schema": "{}"}, "'counting' cannot write by a JSON schema"),
        ([1], {"penalty_alpha": 0.5}, "'counting' has no contrastive search"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_at_once(engine, prompt, decoding, reason):
    with pytest.raises(SettingsError, match=reason):
        listen(engine, prompt, **decoding)


@pytest.mark.parametrize(
    "options",
    [
        {"max_running": 0},
        {"max_waiting": -1},
        {"prefill_tokens": 0},
        {"cache_tokens": 1},
        {"threads": 0},
    ],
)
def test_options_with_which_nothing_would_be_answered_are_refused(options):
    (name,) = options
    with pytest.raises(SettingsError, match=f"{name} is"):
        counting_engine(**options)


# ---------------------------------------------------------------- how answers end


def test_an_answer_ends_where_the_context_does(engine):
    found = listen(engine, [1] * 60, max_new_tokens=100)
    assert found.ids == counted([1], 4)
    assert found.last.finish == Finish("length")


def test_an_answer_ends_where_the_room_for_it_does(runner):
    engine = counting_engine(runner, cache_tokens=10)
    assert len(listen(engine, [1] * 6, max_new_tokens=100).ids) == 4
    engine.close()


def test_an_answer_ends_before_a_stop_text(engine):
    found = listen(engine, [1], stop=["45"], max_new_tokens=20)
    assert found.text == "23"
    assert found.last.finish == Finish("stop", "45")


@pytest.mark.parametrize("lookup_tokens", [0, 5])
def test_a_stop_text_is_found_however_many_tokens_come_at_once(engine, lookup_tokens):
    prompt = [2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    found = listen(engine, prompt, stop=["67"], lookup_tokens=lookup_tokens)
    assert found.text == "345"
    assert found.ids == [3, 4, 5, 6, 7]


def test_a_stop_text_that_waited_for_a_longer_one_counts_at_the_end(engine):
    found = listen(engine, [2], stop=["345678x", "5"], max_new_tokens=5)
    assert found.text == "34"
    assert found.last.finish == Finish("stop", "5")


def test_an_end_token_ends_an_answer_and_is_not_shown(runner):
    engine = counting_engine(runner, parts={"ends": frozenset([4])})
    found = listen(engine, [1])
    assert found.ids == [2, 3, 4]
    assert found.last.finish == Finish("stop")
    engine.close()


def test_pieces_put_together_are_the_answer(engine):
    pieces = list(stream(engine, request([1])))
    assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert "".join(piece.text for piece in pieces) == "23456789"


# ---------------------------------------------------------------- many at once


def test_many_more_answers_than_fit_come_in_order(runner):
    engine = counting_engine(runner, max_running=2, max_waiting=1, cache_tokens=24)
    prompts = [[number % 10, number // 10] for number in range(40)]
    found = complete(engine, [request(prompt) for prompt in prompts])
    wanted = ["".join(map(str, counted(prompt, 8))) for prompt in prompts]
    assert [each.text for each in found] == wanted
    assert {each.prompt_tokens for each in found} == {2}
    engine.close()
    assert runner.most_held <= 24


def test_many_are_answered_while_others_keep_the_engine_busy(runner):
    engine = counting_engine(runner, max_running=1, max_waiting=0)
    (other,) = held(runner, engine, [1])
    threading.Timer(0.1, runner.gate.set).start()
    assert complete(engine, [request([5])])[0].text == "67890123"
    assert other.ids == counted([1], 8)
    engine.close()


def test_an_error_among_many_is_raised_and_stops_the_rest(runner, engine):
    def stumble(work, logits):
        if any(each.ids == [7] for each in work):
            logits[:] = np.nan

    runner.stumble = stumble
    with pytest.raises(EngineError, match="not a number"):
        complete(engine, [request([6], max_new_tokens=60) for _ in range(20)])
    while engine.load().running or engine.load().waiting:
        time.sleep(0.001)


def test_none_are_answered_by_none(engine):
    assert complete(engine, []) == []


# ---------------------------------------------------------------- ways of their own


def writing_engine(runner, write):
    able = Capabilities(contrastive_search=True)
    return counting_engine(runner, parts={"contrastive": write, "capabilities": able})


def test_a_writer_of_its_own_writes_beside_the_others(runner):
    def write(request):
        yield from [4, 4, 2, 4]

    engine = writing_engine(runner, write)
    own = listen(engine, [1], penalty_alpha=0.5, max_new_tokens=3)
    other = listen(engine, [5])
    assert own.ids == [4, 4, 2]
    assert own.last.finish == Finish("length")
    assert other.ids == counted([5], 8)
    engine.close()
    assert runner.held == 0


def test_a_writer_that_fails_fails_alone(runner):
    def write(request):
        yield 4
        raise RuntimeError("secret")

    engine = writing_engine(runner, write)
    own = listen(engine, [1], penalty_alpha=0.5)
    other = listen(engine, [5])
    assert "its log tells why" in str(own.last)
    assert other.ids == counted([5], 8)
    engine.close()


def test_a_writer_is_let_go_when_its_answer_is_cancelled(runner):
    is_let_go = threading.Event()

    def write(request):
        try:
            while True:
                yield 4
        finally:
            is_let_go.set()

    engine = writing_engine(runner, write)
    own = listen(engine, [1], penalty_alpha=0.5, max_new_tokens=60)
    assert own.has_begun.wait(20)
    own.handle.cancel()
    assert own.last.finish.reason in ("cancelled", "length")
    assert is_let_go.wait(20)
    engine.close()


@pytest.mark.parametrize(
    ("decoding", "reason"),
    [
        ({"temperature": 1.0}, "no temperature"),
        ({"top_p": 0.5}, "no top_p"),
        ({"json_schema": "{}"}, "JSON schema"),
        ({"logprobs": 1}, "no logprobs"),
        ({"presence_penalty": 1.0}, "no presence_penalty"),
        ({"top_k": 1000}, "top_k is 1000"),
    ],
)
def test_contrastive_search_is_refused_beside_what_it_has_not(runner, decoding, reason):
    engine = writing_engine(runner, lambda request: iter(()))
    with pytest.raises(SettingsError, match=reason):
        listen(engine, [1], penalty_alpha=0.5, **decoding)
    engine.close()
