import asyncio
import json
import logging
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from provider_server import (
    BreakOff,
    Refuse,
    Say,
    SayNothing,
    Send,
    Trickle,
    nobody,
    provider_server,
)

from xturing.core.errors import MissingDependencyError, SettingsError
from xturing.selfinstruct.clients import CallError, doors
from xturing.selfinstruct.clients import openai as openai_client
from xturing.selfinstruct.clients.ai21 import AI21
from xturing.selfinstruct.clients.cohere import Cohere
from xturing.selfinstruct.clients.openai import OpenAI
from xturing.selfinstruct.clients.waiting import seconds_to_wait
from xturing.selfinstruct.exchange import Reply, Request, Turn, Usage

CLIENTS = {"openai": OpenAI, "cohere": Cohere, "ai21": AI21}
VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "cohere": "COHERE_API_KEY",
    "ai21": "AI21_API_KEY",
}
KEY = "sk-secret-0123456789abcdef"
SERVICES = {
    "cohere": "The service at {address}",
    "ai21": "The service at {address}/studio/v1",
    "openai": "The service at {address}/v1",
}
each_provider = pytest.mark.parametrize("provider", CLIENTS)
each_door = pytest.mark.parametrize(
    "door", [doors.Davinci, doors.ChatGPT, doors.Medium, doors.J2Grande]
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    names = "CO_API_KEY OPENAI_BASE_URL AZURE_OPENAI_API_KEY AZURE_OPENAI_ENDPOINT"
    for name in (*VARIABLES.values(), *names.split(), "AI21_NUM_RETRIES"):
        monkeypatch.delenv(name, raising=False)


def request_of(text="hi", **options):
    turns = (Turn("user", text),)
    return Request(**{"stage": "s", "messages": turns, "max_tokens": 9} | options)


def ask_all(client, requests):
    async def run():
        try:
            return await asyncio.gather(*map(client.complete, requests))
        finally:
            await client.close()

    return asyncio.run(run())


def ask(client, request=None):
    return ask_all(client, [request or request_of()])[0]


def client_of(provider, server, **options):
    given = {"api_key": KEY, "base_url": server.base_url(provider)}
    return CLIENTS[provider]("m", **given | options)


def answer(provider, *behaviours, request=None, **options):
    with provider_server(*behaviours) as server:
        return ask(client_of(provider, server, **options), request)


def failure(provider, *behaviours, **options):
    with pytest.raises(CallError) as caught:
        answer(provider, *behaviours, **options)
    return caught.value


def body_sent(provider, request, **options):
    with provider_server() as server:
        ask(client_of(provider, server, **options), request)
    return server.requests[0].body


def all_that_is_told(error):
    seen, todo = [], [error]
    while todo:
        each = todo.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        todo += [each.__cause__, each.__context__]
    texts = [f"{each} {each!r} {each.args} {vars(each)}" for each in seen]
    return "\n".join([*texts, *traceback.format_exception(error)])


@each_provider
def test_an_answer_comes_with_its_text_its_end_and_its_tokens(provider):
    reply = answer(provider, Say("Paris.", usage=(12, 5)))
    assert (reply.text, reply.finish_reason, reply.usage) == (
        "Paris.",
        "stop",
        Usage(prompt_tokens=12, completion_tokens=5),
    )


@each_provider
def test_the_raw_answer_is_what_the_service_said_and_can_be_written(provider):
    raw = answer(provider, Say("Paris.")).raw
    assert raw["id"] == "chat-1"
    assert json.loads(json.dumps(raw)) == raw


@each_provider
def test_tokens_that_are_not_told_are_zero(provider):
    assert answer(provider, Say(usage=None)).usage == Usage()


@each_provider
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_end_of_an_answer_is_told_in_our_words(provider, reason):
    assert answer(provider, Say(finish_reason=reason)).finish_reason == reason


@each_provider
@pytest.mark.parametrize("reason", ["other", "TOOL_CALL", "tool_calls", None])
def test_an_unknown_end_is_another_one(provider, reason):
    assert answer(provider, Say(finish_reason=reason)).finish_reason == "other"


def test_a_stop_text_of_cohere_is_an_end():
    assert answer("cohere", Say(finish_reason="STOP_SEQUENCE")).finish_reason == "stop"


@each_provider
def test_no_text_is_an_empty_one(provider):
    assert answer(provider, Say(None)).text == ""


@each_provider
def test_no_answer_to_choose_is_an_empty_reply(provider):
    reply = answer(provider, SayNothing())
    assert (reply.text, reply.finish_reason) == ("", "other")


@each_provider
def test_a_text_of_a_million_letters_is_whole(provider):
    text = "ä long tale " * 90_000
    assert answer(provider, Say(text)).text == text


@each_provider
def test_half_a_character_in_an_answer_is_none_that_cannot_be_kept(provider):
    reply = answer(provider, Say("so \ud83d"))
    assert reply.text == "so ?"
    assert json.dumps(reply.as_dict(), ensure_ascii=False).encode()


@each_provider
def test_half_a_character_in_a_prompt_can_be_sent(provider):
    assert body_sent(provider, request_of("so \ud83d"))["messages"][0] == {
        "role": "user",
        "content": "so ?",
    }


def test_a_text_in_parts_is_put_together_without_what_was_thought():
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]
    told = {"finish_reason": "COMPLETE", "message": {"content": content}}
    assert answer("cohere", Send(told)).text == "so"


@each_provider
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_tells_its_status_and_the_seconds_to_wait(provider, status):
    error = failure(provider, Refuse(status, headers={"Retry-After": "17"}))
    assert (error.status, error.retry_after) == (status, 17.0)
    assert error.is_temporary


@each_provider
def test_the_time_to_wait_may_be_a_date(provider):
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=3), usegmt=True)
    error = failure(provider, Refuse(429, headers={"Retry-After": date}))
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 180


@each_provider
def test_a_refusal_without_a_time_tells_none(provider):
    assert failure(provider, Refuse(429)).retry_after is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 -0000"}, 0.0),
        ({"x-ratelimit-reset": "20"}, 20.0),
        ({"x-ratelimit-reset": "1000000001"}, 0.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m2s",
                "x-ratelimit-remaining-tokens": "10",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            62.0,
        ),
        (
            {
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "120ms",
            },
            0.12,
        ),
        ({"x-ratelimit-reset-requests": "1s"}, None),
        ({}, None),
    ],
)
def test_headers_tell_how_long_to_wait(headers, seconds):
    assert seconds_to_wait(headers) == seconds


@each_provider
def test_a_refusal_quotes_the_service(provider):
    message = str(failure(provider, Refuse(500, "the cat\nsat on the cable")))
    assert message.endswith("answered with status 500: the cat sat on the cable")


@each_provider
def test_long_words_of_a_service_are_cut(provider):
    assert len(str(failure(provider, Refuse(500, "no " * 10_000)))) < 400


@each_provider
def test_a_refusal_that_is_a_page_is_quoted_too(provider):
    error = failure(provider, Send("<html>Bad gateway</html>", status=502))
    assert error.status == 502
    assert "Bad gateway" in str(error)


@each_provider
@pytest.mark.parametrize("behaviour", [Say(after=30), Trickle()], ids=["late", "slow"])
def test_a_service_that_takes_too_long_is_told_as_such(provider, behaviour):
    error = failure(provider, behaviour, timeout=0.3)
    assert str(error).endswith("did not answer within 0.3 seconds.")
    assert error.is_temporary


@each_provider
@pytest.mark.parametrize("status", [200, 500])
def test_a_connection_that_breaks_off_is_told_as_such(provider, status):
    error = failure(provider, BreakOff(status))
    assert "gave no whole answer: " in str(error)
    assert error.status is None


@each_provider
def test_a_service_that_is_not_there_is_named(provider):
    address = nobody()
    client = CLIENTS[provider]("m", api_key=KEY, base_url=address)
    with pytest.raises(CallError, match=f"{address}.* gave no whole answer: .*conn"):
        ask(client)


@each_provider
@pytest.mark.parametrize("body", ['{"choices": [', "<html></html>", "", "null"])
def test_an_answer_that_is_not_json_may_be_tried_again(provider, body):
    error = failure(provider, Send(body))
    assert "answered what is not JSON" in str(error)
    assert error.status is None


@each_provider
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        7,
        '"words"',
        {"choices": 3, "message": 3},
        {"choices": [{}], "message": "words"},
        {"choices": [{"message": 4}], "message": [4]},
        {"choices": [{"message": {"content": 4}}], "message": {"content": 4}},
        {"choices": [{"message": {"content": ["a"]}}], "message": {"content": ["a"]}},
    ],
    ids=str,
)
def test_an_answer_of_another_form_is_refused_for_good(provider, body):
    error = failure(provider, Send(body))
    assert "answered what is no reply" in str(error)
    assert not error.is_temporary


@each_provider
def test_a_field_that_an_sdk_does_not_know_costs_no_answer(provider):
    def odd(asked):
        told = json.loads(Say("fine")(asked).data)
        return Send(told | {"id": None, "created": "yesterday"})(asked)

    assert answer(provider, odd).text == "fine"


def test_a_status_inside_an_answer_counts():
    error = failure("openai", Send({"error": {"code": 502, "message": "no provider"}}))
    assert error.status == 502
    assert str(error).endswith("answered with status 502: no provider")


@pytest.mark.parametrize(
    "error",
    [
        {"code": "content_filter"},
        {"code": "content_policy_violation"},
        {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ],
    ids=str,
)
def test_a_prompt_that_a_filter_refuses_has_an_empty_reply(error):
    reply = answer("openai", Refuse(400, error=error))
    assert (reply.text, reply.finish_reason) == ("", "content_filter")


@each_provider
def test_another_bad_request_is_refused_for_good(provider):
    error = failure(provider, Refuse(400, "too long", error={"code": "context"}))
    assert (error.status, error.is_temporary) == (400, False)


@each_provider
def test_what_is_not_found_is_told_with_its_model_and_address(provider):
    with provider_server(Refuse(404)) as server:
        client = client_of(provider, server)
        with pytest.raises(CallError, match="has no model 'm', or http://.*/chat"):
            ask(client)


@each_provider
@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_in_a_sentence_that_names_where_it_is_from(
    provider, status, monkeypatch
):
    variable = VARIABLES[provider]
    monkeypatch.setenv(variable, KEY)
    with provider_server(Refuse(status, f"Incorrect key: {KEY[:8]}***")) as server:
        with pytest.raises(CallError) as caught:
            ask(client_of(provider, server, api_key=None))
        who = SERVICES[provider].format(address=server.address)
    assert str(caught.value) == (
        f"{who} refused the key in {variable} (status {status}): replace it by one "
        "that is right."
    )
    assert caught.value.status == status


@each_provider
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_the_key_is_shown_nowhere(provider, status, caplog, capfd):
    words = f"the key {KEY} is wrong"
    behaviour = Refuse(status, words) if status >= 400 else Send(words)
    with caplog.at_level(logging.DEBUG):
        error = failure(provider, behaviour)
    printed = capfd.readouterr()
    shown = [all_that_is_told(error), caplog.text, printed.out, printed.err]
    assert not [text for text in shown if KEY in text]


@each_provider
def test_the_key_is_not_in_the_words_of_a_service(provider):
    assert "key *** is" in str(failure(provider, Refuse(500, f"key {KEY} is")))


@each_provider
def test_a_client_does_not_show_its_key(provider):
    assert KEY not in repr(CLIENTS[provider]("m", api_key=KEY))


@each_provider
def test_a_missing_key_is_told_in_a_sentence_that_names_the_variable(provider):
    client = CLIENTS[provider]("m")
    with pytest.raises(SettingsError) as caught:
        ask(client)
    assert str(caught.value) == (
        f"{client.title} needs a key: set {VARIABLES[provider]}, or pass api_key."
    )


@each_provider
@pytest.mark.parametrize("key", ["sk\nsecret", "sk-séchet", "sk\x00"])
def test_a_key_that_cannot_be_one_is_not_sent(provider, key):
    client = CLIENTS[provider]("m", api_key=key)
    with pytest.raises(SettingsError, match="The key that was given has characters"):
        ask(client)


@each_provider
def test_a_line_break_after_a_key_does_no_harm(provider, monkeypatch):
    monkeypatch.setenv(VARIABLES[provider], f"{KEY}\n")
    with provider_server() as server:
        ask(client_of(provider, server, api_key=None))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_sdks_own_name_of_coheres_key_counts(monkeypatch):
    monkeypatch.setenv("CO_API_KEY", KEY)
    with provider_server() as server:
        ask(client_of("cohere", server, api_key=None))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@each_provider
@pytest.mark.parametrize(
    "behaviour", [Refuse(429), Refuse(500), Refuse(503), BreakOff()], ids=str
)
def test_an_attempt_is_a_single_request(provider, behaviour, monkeypatch):
    monkeypatch.setenv("AI21_NUM_RETRIES", "3")
    with provider_server(behaviour) as server, pytest.raises(CallError):
        ask(client_of(provider, server))
    assert len(server.requests) == 1


@each_provider
def test_a_request_has_what_was_chosen(provider):
    turns = (Turn("system", "be brief"), Turn("user", "a"), Turn("assistant", "b"))
    body = body_sent(
        provider,
        request_of(messages=turns, temperature=0.0, top_p=0.5, stop=("x", "y")),
    )
    names = {"cohere": {"p": 0.5, "stop_sequences": ["x", "y"]}}
    wanted = {
        "model": "m",
        "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
        "max_tokens": 9,
        "temperature": 0.0,
        **names.get(provider, {"top_p": 0.5, "stop": ["x", "y"]}),
    }
    assert {name: body.get(name) for name in wanted} == wanted


@each_provider
def test_what_was_not_chosen_is_not_sent(provider):
    body = body_sent(provider, request_of())
    assert body.keys() - {"stream"} == {"model", "messages", "max_tokens"}


def test_cohere_is_not_sent_a_probability_that_it_refuses():
    assert body_sent("cohere", request_of(top_p=1.0))["p"] == 0.99


def test_openai_itself_takes_the_newer_name_of_the_limit(monkeypatch):
    monkeypatch.setattr(openai_client, "OWN_HOST", "127.0.0.1")
    body = body_sent("openai", request_of())
    assert body.keys() == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.evil.org/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_openais_own_address_is_known(address, is_own):
    assert OpenAI("m", base_url=address)._is_openais_own == is_own


def test_the_older_api_gets_the_messages_as_a_text():
    turns = (Turn("system", "be brief"), Turn("user", "a"))
    body = body_sent("openai", request_of(messages=turns), api="completions")
    assert body == {"model": "m", "prompt": "be brief\n\na", "max_tokens": 9}


def test_the_older_api_answers_likewise():
    reply = answer("openai", Say("Paris."), api="completions")
    assert (reply.text, reply.finish_reason) == ("Paris.", "stop")


def test_a_server_of_azure_is_asked_as_azure_wants_it():
    with provider_server() as server:
        client = OpenAI(
            "gpt", api_key=KEY, base_url=server.address, api_version="2024-10-21"
        )
        ask(client)
    asked = server.requests[0]
    assert asked.path == (
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    )
    assert asked.headers["api-key"] == KEY


def test_the_key_of_azure_is_shown_nowhere(caplog):
    with provider_server(Refuse(401, KEY)) as server, caplog.at_level(logging.DEBUG):
        client = OpenAI("gpt", api_key=KEY, base_url=server.address, api_version="1")
        with pytest.raises(CallError) as caught:
            ask(client)
    assert KEY not in all_that_is_told(caught.value) + caplog.text


def test_a_server_of_azure_has_to_be_named():
    with pytest.raises(SettingsError, match="set AZURE_OPENAI_ENDPOINT"):
        ask(OpenAI("gpt", api_key=KEY, api_version="2024-10-21"))


def test_an_organization_is_told():
    with provider_server() as server:
        ask(client_of("openai", server, organization="org-1"))
    assert server.requests[0].headers["openai-organization"] == "org-1"


def test_another_server_than_openais_may_need_no_key():
    with provider_server() as server:
        ask(client_of("openai", server, api_key=None))
    assert server.requests[0].headers["authorization"] == "Bearer none"


def test_another_server_that_does_need_a_key_is_told_as_such():
    error = failure("openai", Refuse(401), api_key=None)
    assert "wants a key (status 401): set OPENAI_API_KEY" in str(error)


def test_the_sdks_variable_for_the_address_counts(monkeypatch):
    with provider_server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url("openai"))
        ask(OpenAI("m"))
    assert server.requests[0].path == "/v1/chat/completions"


@each_provider
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8000", "ftp://a.org", "https://", "http://[::1", "http://a:99999", ""],
)
def test_what_is_no_address_is_refused(provider, address):
    with pytest.raises(SettingsError, match="base_url is no address"):
        CLIENTS[provider]("m", base_url=address)


def test_a_password_in_an_address_is_not_shown():
    address = nobody().replace("http://", "http://me:word@")
    with pytest.raises(CallError) as caught:
        ask(OpenAI("m", base_url=address))
    assert "word" not in str(caught.value)


@each_provider
def test_a_time_of_nothing_is_refused(provider):
    with pytest.raises(SettingsError, match="timeout is 0"):
        CLIENTS[provider]("m", timeout=0)


def test_an_api_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="'chat' or 'completions'"):
        OpenAI("m", api="responses")


@each_provider
def test_a_client_can_be_used_again_after_it_was_closed(provider):
    with provider_server() as server:
        client = client_of(provider, server)
        assert [ask(client).text, ask(client).text] == ["fine", "fine"]


@each_provider
def test_answers_go_to_those_who_asked(provider):
    requests = [request_of(f"number {index}") for index in range(20)]
    with provider_server(Say(lambda prompt: f"{prompt}!")) as server:
        replies = ask_all(client_of(provider, server), requests)
    assert [reply.text for reply in replies] == [f"{r.prompt}!" for r in requests]


@each_provider
def test_a_failure_does_not_touch_others_that_are_on_their_way(provider):
    def fail_for_two(asked):
        return (Refuse(500) if asked.prompt == "2" else Say(asked.prompt))(asked)

    async def run(client):
        try:
            return await asyncio.gather(
                *(client.complete(request_of(text)) for text in "1234"),
                return_exceptions=True,
            )
        finally:
            await client.close()

    with provider_server(fail_for_two) as server:
        outcomes = asyncio.run(run(client_of(provider, server)))
    texts = [each.text if isinstance(each, Reply) else each.status for each in outcomes]
    assert texts == ["1", 500, "3", "4"]


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )


def test_making_clients_imports_no_sdk():
    code = """
import sys
from xturing.selfinstruct.clients.ai21 import AI21
from xturing.selfinstruct.clients.cohere import Cohere
from xturing.selfinstruct.clients.local import Local
from xturing.selfinstruct.clients.openai import OpenAI
for client in (AI21, Cohere, Local, OpenAI):
    client("m")
heavy = {"ai21", "cohere", "httpx", "httpx2", "openai", "torch", "xturing.models"}
print(sorted(heavy & sys.modules.keys()))
"""
    assert run_python(code).stdout == "[]\n"


def test_ai21s_sdk_prints_nothing_and_leaves_the_programs_log_alone():
    code = """
import asyncio, logging
from xturing.selfinstruct.clients import CallError
from xturing.selfinstruct.clients.ai21 import AI21
from xturing.selfinstruct.exchange import Request, Turn
async def run():
    client = AI21("m", api_key="k", base_url="{}")
    try:
        await client.complete(
            Request(stage="s", messages=(Turn("user", "a"),), max_tokens=1)
        )
    except CallError as error:
        print(error.status, logging.getLogger().handlers)
    finally:
        await client.close()
asyncio.run(run())
"""
    with provider_server(Refuse(500)) as server:
        done = run_python(code.format(server.base_url("ai21")))
    assert (done.stdout, done.stderr) == ("500 []\n", "")


@each_provider
def test_a_missing_sdk_is_told_with_its_extra(provider, monkeypatch):
    monkeypatch.setitem(sys.modules, provider, None)
    client = CLIENTS[provider]("m", api_key=KEY)
    with pytest.raises(MissingDependencyError) as caught:
        ask(client)
    assert f"xturing-selfinstruct[{provider}]" in str(caught.value)


def test_ai21_returns_the_answer_and_not_the_prompt_predecessor_fault_9():
    with provider_server(Say("the answer")) as server:
        reply = ask(client_of("ai21", server), request_of("the prompt"))
    assert reply.text == "the answer"


def test_chatgpt_asks_in_a_chat_for_each_prompt_predecessor_fault_9(monkeypatch):
    with provider_server(Say(lambda prompt: f"{prompt}!")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url("openai"))
        with pytest.warns(DeprecationWarning, match="in its place"):
            client = doors.ChatGPT(api_key=KEY)
        ask_all(client, [request_of("a"), request_of("b")])
    chats = [asked.body["messages"] for asked in server.requests]
    assert [len(chat) for chat in chats] == [1, 1]


def test_chatgpt_returns_the_end_of_its_answer_too_predecessor_fault_9(monkeypatch):
    with provider_server(Say("cut", finish_reason="length")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url("openai"))
        with pytest.warns(DeprecationWarning, match="in its place"):
            client = doors.ChatGPT(api_key=KEY)
        reply = ask(client)
    assert (reply.text, reply.finish_reason) == ("cut", "length")


@each_door
def test_an_old_class_names_its_successor(door):
    with pytest.warns(DeprecationWarning, match=r"Write \w+\('[\w.-]+'\), or the eng"):
        client = door(KEY)
    assert client.model


@each_door
def test_an_old_class_still_takes_the_size_of_a_batch(door):
    with pytest.warns(DeprecationWarning, match="in its place"):
        assert door(KEY, request_batch_size=4).request_batch_size == 4
