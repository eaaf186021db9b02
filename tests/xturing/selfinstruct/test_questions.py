"""Questions that other packages ask through the clients."""

import pytest
import scripts
from asked import Asked, reply

from xturing.core.errors import DataError, OutputError, SettingsError
from xturing.core.events import Notice, listening
from xturing.selfinstruct import ask

PROMPTS = [f"number {at}" for at in range(6)]


def echo():
    return Asked(lambda request: reply(request.prompt.upper()))


def silent():
    return Asked([AssertionError("asked again")])


def test_answers_come_in_the_order_of_the_prompts():
    assert ask(echo(), PROMPTS) == [prompt.upper() for prompt in PROMPTS]


def test_an_engine_is_named_as_for_generation(tmp_path):
    script = scripts.write_lines(tmp_path / "replies.jsonl", [{"text": "yes"}])
    assert ask(f"scripted:{script}", PROMPTS[:2], tmp_path / "run") == ["yes", "yes"]


def test_the_same_call_again_asks_nothing(tmp_path):
    first = ask(echo(), PROMPTS, tmp_path / "run")
    assert ask(silent(), PROMPTS, tmp_path / "run") == first


def test_more_prompts_in_the_same_folder_ask_for_the_new_ones_only(tmp_path):
    ask(echo(), PROMPTS[:4], tmp_path / "run")
    client = echo()
    ask(client, PROMPTS, tmp_path / "run")
    assert [request.prompt for request in client.requests] == PROMPTS[4:]


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(echo(), PROMPTS)
    assert not list(tmp_path.iterdir())


def test_prompts_that_are_equal_are_asked_once():
    client = echo()
    assert ask(client, ["same", "same", "other"]) == ["SAME", "SAME", "OTHER"]
    assert len(client.requests) == 2


def test_a_text_is_what_a_user_says():
    client = echo()
    ask(client, ["same", [{"role": "user", "content": "same"}]])
    assert len(client.requests) == 1


def test_messages_reach_the_model_with_their_roles():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    client = echo()
    ask(client, [messages])
    assert client.requests[0].as_dict()["messages"] == messages


def test_the_likeliest_answer_is_asked_for_unless_told_otherwise():
    client = echo()
    ask(client, PROMPTS[:1])
    ask(client, PROMPTS[:1], temperature=None)
    assert [request.temperature for request in client.requests] == [0.0, None]


def test_an_answer_is_no_longer_than_told():
    client = echo()
    ask(client, PROMPTS[:1], max_answer_tokens=7)
    assert client.requests[0].max_tokens == 7


def test_a_cap_leaves_none():
    assert ask(echo(), PROMPTS, max_requests=2)[1:4] == ["NUMBER 1", None, None]


def test_a_cap_on_tokens_is_not_one_on_an_answer():
    # A prompt counts for its bytes and 32 more, and an answer for what it may take.
    most = len(PROMPTS[0]) + 32 + 10
    found = ask(echo(), PROMPTS, max_answer_tokens=10, max_tokens=most)
    assert [each is None for each in found] == [False] + [True] * 5


def test_a_cap_that_was_reached_is_told():
    told = []
    with listening(told.append):
        ask(echo(), PROMPTS, max_requests=2)
    (notice,) = (event for event in told if isinstance(event, Notice))
    assert "4 of 6 prompts, as max_requests=2 is reached" in notice.text


def test_a_higher_cap_goes_on(tmp_path):
    ask(echo(), PROMPTS, tmp_path / "run", max_requests=2)
    client = echo()
    assert None not in ask(client, PROMPTS, tmp_path / "run", max_requests=6)
    assert len(client.requests) == 4


def test_a_term_that_is_none_is_as_if_left_out():
    assert None not in ask(echo(), PROMPTS, max_requests=None, concurrency=None)


def test_a_limit_holds():
    client = echo()
    ask(client, PROMPTS, concurrency=2)
    assert client.most_flying == 2


def test_a_cap_on_costs_goes_by_the_prices_given(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("asked:model: {prompt: 1000000, completion: 1000000}\n")
    found = ask(echo(), PROMPTS, prices=str(prices), max_cost=1.0)
    assert found == [None] * 6


def test_a_term_that_is_none_of_ours_is_refused():
    with pytest.raises(SettingsError, match="Did you mean 'max_requests'"):
        ask(echo(), PROMPTS, max_request=3)


def test_an_answer_of_no_tokens_is_refused():
    with pytest.raises(SettingsError, match="max_answer_tokens is 0"):
        ask(echo(), PROMPTS, max_answer_tokens=0)


@pytest.mark.parametrize(
    "message", [{}, {"role": "judge", "content": "x"}, {"role": "user", "content": 3}]
)
def test_a_message_that_is_none_is_named(message):
    with pytest.raises(DataError, match=r"prompt 2 has the message .* 'role'"):
        ask(echo(), ["fine", [message]])


def test_a_prompt_without_messages_is_refused():
    with pytest.raises(DataError, match="prompt 1 has no messages"):
        ask(echo(), [[]])


def test_a_folder_is_for_one_engine(tmp_path):
    ask(echo(), PROMPTS, tmp_path / "run")
    other = echo()
    other.model = "another"
    with pytest.raises(SettingsError, match="engine was 'asked:model'"):
        ask(other, PROMPTS, tmp_path / "run")


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other things"):
        ask(echo(), PROMPTS, tmp_path)
