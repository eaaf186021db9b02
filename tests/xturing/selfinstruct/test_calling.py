import asyncio

import pytest
from asked import Asked, Slept, ask, caller, reply, request

from xturing.core.errors import SettingsError
from xturing.selfinstruct import CallError, Caps, Limits, Usage
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.limits import Throttle
from xturing.selfinstruct.prices import Price, price_of

BUSY = CallError("busy", status=429)


def many(count):
    return [request(f"number {at}") for at in range(count)]


def test_answers_come_in_the_order_of_the_requests():
    client = Asked(lambda request: reply(request.prompt))
    found = ask(caller(client, concurrency=3), *many(20))
    assert [each.text for each in found] == [each.prompt for each in many(20)]


def test_no_more_are_on_their_way_than_allowed():
    client = Asked()
    ask(caller(client, concurrency=3), *many(20))
    assert client.most_flying == 3


def test_what_was_answered_is_not_asked_again(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = ask(caller(Asked(), Journal(path)), *many(4))
    silent = Asked([AssertionError("asked again")])
    assert ask(caller(silent, Journal(path)), *many(4)) == first


def test_equal_requests_are_asked_once():
    client = Asked()
    ask(caller(client), request(), request())
    assert len(client.requests) == 1


def test_other_samples_of_a_request_are_asked_for():
    client = Asked()
    ask(caller(client), request(sample=0), request(sample=1))
    assert len(client.requests) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529, None])
def test_what_may_help_is_tried_again(status):
    client = Asked([CallError("no", status=status), reply("at last")])
    assert ask(caller(client), request()) == [reply("at last")]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_help_is_not_tried_again(status):
    client = Asked([CallError("no", status=status), reply()])
    with pytest.raises(CallError, match="no"):
        ask(caller(client), request())
    assert len(client.requests) == 1


def test_the_wait_that_a_service_asks_for_is_honoured():
    slept = Slept()
    asked = CallError("busy", status=429, retry_after=7.0)
    ask(caller(Asked([asked, reply()]), sleep=slept), request())
    (wait,) = slept.waits
    assert 7.0 <= wait <= 10.5


def test_waits_have_an_end():
    slept = Slept()
    asked = CallError("busy", status=429, retry_after=86400.0)
    client = Asked([asked, reply()])
    ask(caller(client, sleep=slept, longest_wait=30.0), request())
    assert slept.waits == [30.0]


def test_waits_grow_where_a_service_names_none():
    slept = Slept()
    client = Asked([BUSY] * 5 + [reply()])
    ask(caller(client, sleep=slept), request())
    bounds = [(0.5 * 2**at, 1.5 * 2**at) for at in range(5)]
    assert all(a <= w <= b for w, (a, b) in zip(slept.waits, bounds, strict=True))


def test_the_last_attempt_says_that_nothing_is_lost():
    client = Asked([BUSY])
    with pytest.raises(CallError, match="attempt 3.*goes on from here"):
        ask(caller(client, attempts=3), request())
    assert len(client.requests) == 3


def test_answers_on_their_way_are_kept_when_another_request_fails():
    journal = Journal(None)
    client = Asked(
        lambda request: (
            CallError("refused", status=400)
            if request.prompt == "number 0"
            else reply(request.prompt)
        )
    )
    with pytest.raises(CallError, match="refused"):
        ask(caller(client, journal, concurrency=4), *many(10))
    assert len(journal) == len(client.requests) - 1 > 0


def test_answers_on_their_way_are_kept_when_the_run_is_interrupted():
    journal, arrived = Journal(None), asyncio.Event()

    class Slow(Asked):
        async def complete(self, request):
            self.requests.append(request)
            await arrived.wait()
            return reply(request.prompt)

    async def interrupt(client):
        work = asyncio.create_task(
            caller(client, journal, concurrency=3).replies(many(10))
        )
        while len(client.requests) < 3:
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.sleep(0)
        arrived.set()
        with pytest.raises(asyncio.CancelledError):
            await work

    client = Slow()
    asyncio.run(interrupt(client))
    assert len(journal) == len(client.requests) == 3


def test_a_failure_ends_the_asking():
    client = Asked([CallError("refused", status=400)])
    with pytest.raises(CallError):
        ask(caller(client, concurrency=1), *many(10))
    assert len(client.requests) == 1


@pytest.mark.parametrize("concurrency", [1, 4, 32])
def test_a_cap_on_requests_is_reached_and_never_exceeded(concurrency):
    client = Asked()
    asking = caller(client, caps=Caps(max_requests=10), concurrency=concurrency)
    found = ask(asking, *many(25))
    assert len(client.requests) == 10
    assert [each is None for each in found] == [False] * 10 + [True] * 15
    assert "max_requests=10" in asking.stopped


def test_failed_attempts_count_for_the_cap():
    client = Asked([BUSY])
    asking = caller(client, caps=Caps(max_requests=3), attempts=9)
    assert ask(asking, request()) == [None]
    assert len(client.requests) == 3


def test_the_requests_of_earlier_processes_count_for_the_cap(tmp_path):
    path = tmp_path / "journal.jsonl"
    ask(caller(Asked(), Journal(path)), *many(4))
    client = Asked()
    ask(caller(client, Journal(path), caps=Caps(max_requests=6)), *many(20))
    assert len(client.requests) == 2


def test_no_request_at_all_still_gives_what_was_answered(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = ask(caller(Asked(), Journal(path)), *many(3))
    silent = Asked([AssertionError("asked again")])
    offline = caller(silent, Journal(path), caps=Caps(max_requests=0))
    assert ask(offline, *many(5)) == [*first, None, None]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_tokens_never_exceed_their_cap(concurrency):
    worst = lambda request: reply(tokens=0).__class__(  # noqa: E731
        text="x",
        finish_reason="length",
        usage=Usage(
            prompt_tokens=request.most_prompt_tokens(),
            completion_tokens=request.max_tokens,
        ),
    )
    asking = caller(Asked(worst), caps=Caps(max_tokens=500), concurrency=concurrency)
    ask(asking, *many(40))
    most = request("number 0").most_prompt_tokens() + 10
    assert 500 - most - 2 < asking.purse.spent.total <= 500


def test_what_is_set_aside_and_not_used_is_free_for_others():
    asking = caller(Asked([reply(tokens=1)]), caps=Caps(max_tokens=100), concurrency=8)
    found = ask(asking, *many(20))
    # Of 50 that a request may take, 2 are used: but for the last, all find room.
    assert None not in found


def test_costs_never_exceed_their_cap():
    price = Price(prompt=1e4, completion=1e4)
    asking = caller(Asked(), caps=Caps(max_cost=1.0), price=price)
    found = ask(asking, *many(40))
    assert asking.purse.cost == pytest.approx(0.1 * sum(x is not None for x in found))
    assert 0 < asking.purse.cost <= 1.0


def test_a_cap_on_costs_needs_a_price():
    with pytest.raises(SettingsError, match="price of this model is not known"):
        caller(Asked(), caps=Caps(max_cost=1.0))


def test_a_users_prices_go_before_the_bundled_ones(tmp_path):
    table = tmp_path / "prices.yaml"
    table.write_text("openai:gpt-4.1-mini: {prompt: 7, completion: 9}\n")
    assert price_of("openai", "gpt-4.1-mini", table) == Price(prompt=7, completion=9)
    assert price_of("openai", "gpt-4.1", table) is not None
    assert price_of("openai", "no-such-model", table) is None


@pytest.mark.parametrize("text", ["- 1", "a: 3", "a: {prompt: 1}", "a: {prompt: x"])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    table = tmp_path / "prices.yaml"
    table.write_text(text)
    with pytest.raises(SettingsError, match=r"prices\.yaml is no table of prices"):
        price_of("openai", "m", table)


def passed(limits, requests):
    """Return when each of the requests passes, by a clock that sleeping moves."""
    now = 0.0
    times = []

    async def sleep(seconds):
        nonlocal now
        now += seconds

    async def run():
        throttle = Throttle(limits, clock=lambda: now, sleep=sleep)
        for each in requests:
            await throttle.pass_through(each)
            times.append(now)

    asyncio.run(run())
    return times


def test_no_minute_has_more_requests_than_allowed():
    times = passed(Limits(requests_per_minute=3), many(10))
    assert all(
        late - early >= 60 for early, late in zip(times, times[3:], strict=False)
    )
    assert times[-1] == 180


def test_no_minute_has_more_tokens_than_allowed():
    tokens = many(1)[0].most_prompt_tokens() // 3 + 10
    times = passed(Limits(tokens_per_minute=2 * tokens), many(6))
    assert times == [0, 0, 60, 60, 120, 120]


def test_a_request_that_is_larger_than_a_minute_allows_passes_alone():
    assert passed(Limits(tokens_per_minute=1), many(3)) == [0, 60, 120]


@pytest.mark.parametrize("name", ["concurrency", "attempts", "requests_per_minute"])
def test_limits_of_nothing_are_refused(name):
    with pytest.raises(SettingsError, match=f"{name} is 0"):
        Limits(**{name: 0})
