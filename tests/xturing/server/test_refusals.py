"""What is refused, with which status, and in which shape."""

import json
import tracemalloc
from contextlib import contextmanager

import pytest
import serving
from fastapi.testclient import TestClient

from xturing.models.inference import Capabilities

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
MESSAGES = [{"role": "user", "content": "the fox"}]
LONG = "fox " * 99
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(scope="module")
def engine():
    return serving.ScriptedEngine(context_length=64)


@pytest.fixture(scope="module")
def client(engine):
    app = serving.app_for(engine, max_new_tokens=32, max_body_bytes=20_000)
    with TestClient(app) as client:
        yield client


@contextmanager
def tracing():
    """Yield a function that tells the most bytes that were taken in the block."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chat(**fields) -> dict:
    return {"model": "tuned", "messages": MESSAGES, **fields}


def text(**fields) -> dict:
    return {"model": "tuned", "prompt": "the fox", **fields}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (CHAT, chat(temperature="hot"), 400, "temperature"),
        (CHAT, chat(temperature=101), 400, "temperature"),
        (CHAT, chat(top_p=0), 400, "top_p"),
        (CHAT, chat(n=17), 400, "n"),
        (CHAT, chat(n=True), 400, "n"),
        (CHAT, chat(stop=["a"] * 17), 400, "stop"),
        (CHAT, chat(stop=""), 400, "stop"),
        (CHAT, chat(max_tokens=33), 400, "max_tokens"),
        (CHAT, chat(seed=2**64), 400, "seed"),
        (CHAT, chat(messages=[]), 400, "messages"),
        (CHAT, chat(messages=[{"role": "fox", "content": ""}]), 400, "messages.0.role"),
        (CHAT, chat(logit_bias={"5": 1}), 400, "logit_bias"),
        (CHAT, chat(top_logprobs=2), 400, None),
        (CHAT, chat(stream_options={}), 400, None),
        (CHAT, chat(temprature=1), 400, "temprature"),
        (CHAT, chat(tools=[TOOL]), 400, "tools"),
        (CHAT, chat(model="other"), 404, "model"),
        (CHAT, chat(penalty_alpha=0.6), 400, None),
        (CHAT, chat(messages=[{"role": "user", "content": LONG}]), 422, "messages"),
        (TEXT, text(prompt=LONG), 422, "prompt"),
        (TEXT, text(prompt="a" * 15_000), 422, "prompt"),
        (TEXT, text(prompt=[5] * 64), 422, "prompt"),
        (TEXT, text(prompt=""), 422, "prompt"),
        (TEXT, text(prompt=[10**9]), 400, "prompt"),
        (TEXT, text(prompt=[-1]), 400, "prompt"),
        (TEXT, text(prompt=["a", 3]), 400, "prompt"),
        (TEXT, text(suffix="end"), 400, "suffix"),
        (TEXT, text(best_of=4), 400, None),
        (TEXT, text(max_tokens=0), 400, None),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met_says_which_field_is_wrong(
    client, path, body, status, param
):
    reply = client.post(path, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith((".", "?"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"model": "tuned", "temperature": NaN}', 400),
        (b'{"model": "tuned", "temperature": 1e999}', 400),
        (b'{"model": "tuned", "seed": ' + b"9" * 5000 + b"}", 400),
        (b"[" * 10_000, 400),
        (b'{"model": "tuned", "metadata": ' + b"[" * 90 + b"]" * 90 + b"}", 400),
        (b'{"model": "tuned", "user": "\\ud800"}', 422),
        (b'{"model": "tuned", "prompt": "' + b"a" * 20_000 + b'"}', 413),
        (json.dumps(text(stop=["a"] * 10_000)).encode(), 413),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_is_no_proper_json_is_refused(client, body, status):
    reply = client.post(
        TEXT, content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["messages", "prompt", "stop", "tools", "modalities"])
def test_of_a_million_faults_the_first_is_told_and_none_kept(client, name):
    path = TEXT if name == "prompt" else CHAT
    body = (chat() if path == CHAT else text()) | {name: [{}] * 5_000}
    with tracing() as traced:
        reply = client.post(path, json=body)
        peak = traced()
    assert reply.status_code == 400
    assert len(reply.content) < 500
    assert peak < 5_000_000


def test_a_body_in_parts_is_counted_too(client):
    parts = (b" " * 1000 for _ in range(30))
    headers = {"content-type": "application/json"}
    assert client.post(TEXT, content=parts, headers=headers).status_code == 413


def test_a_form_of_another_page_is_refused(client):
    headers = {"content-type": "text/plain"}
    reply = client.post(TEXT, content=json.dumps(text()), headers=headers)
    assert reply.status_code == 415


def test_routes_and_methods_that_are_not_there_are_refused_alike(client):
    assert client.get("/nowhere").status_code == 404
    reply = client.get(CHAT)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["error"]["message"].startswith("The route does not")


def test_what_openai_has_and_the_server_does_without_is_passed_over(client):
    ignored = chat(user="ada", metadata={"a": "b"}, store=False, service_tier="auto")
    assert client.post(CHAT, json=ignored).status_code == 200


def test_every_reply_has_a_number(client):
    numbers = {client.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(numbers) == 3


@pytest.mark.parametrize("said", [None, "Bearer", "Bearer other", "Basic key", "é"])
def test_without_the_key_nothing_but_health_is_told(said):
    app = serving.app_for(serving.ScriptedEngine(), api_key="key")
    headers = {} if said is None else {"Authorization": said.encode()}
    with TestClient(app) as client:
        reply = client.post(CHAT, json=chat(), headers=headers)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get("/openapi.json").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/health").status_code == 200


def test_a_busy_engine_tells_when_to_come_again():
    engine = serving.ScriptedEngine(max_running=0, max_waiting=0)
    with TestClient(serving.app_for(engine, retry_after_seconds=3)) as client:
        for body in (chat(), chat(stream=True)):
            reply = client.post(CHAT, json=body)
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "3")
            assert reply.json()["error"]["type"] == "rate_limit_error"


def test_more_prompts_than_there_is_room_for_are_answered_one_after_another():
    engine = serving.ScriptedEngine(max_running=1, max_waiting=1)
    with TestClient(serving.app_for(engine)) as client:
        reply = client.post(TEXT, json=text(prompt=["the fox"] * 12))
    assert len(reply.json()["choices"]) == 12


def test_a_request_whose_time_is_over_ends_as_at_a_limit():
    engine = serving.ScriptedEngine(pause=0.1)
    with TestClient(serving.app_for(engine, request_seconds=0.25)) as client:
        choice = client.post(CHAT, json=chat()).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert serving.ANYTHING.startswith(choice["message"]["content"])


def test_a_request_whose_time_is_over_before_its_turn_may_come_again():
    engine = serving.ScriptedEngine(pause=0.2)
    with TestClient(serving.app_for(engine, request_seconds=0.1)) as client:
        reply = client.post(CHAT, json=chat())
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


def test_an_unexpected_error_is_logged_and_not_shown(caplog):
    engine = serving.ScriptedEngine()
    engine.submit = lambda *_: 1 / 0
    with TestClient(serving.app_for(engine)) as client:
        reply = client.post(CHAT, json=chat())
    assert reply.status_code == 500
    assert "ZeroDivisionError" not in reply.text
    assert reply.headers["x-request-id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_template_that_refuses_a_conversation_is_not_the_servers_fault():
    template = "{{ raise_exception('Roles must alternate') }}"
    engine = serving.ScriptedEngine(chat_template=template)
    with TestClient(serving.app_for(engine)) as client:
        reply = client.post(CHAT, json=chat())
    assert reply.status_code == 422
    assert "Roles must alternate" in reply.json()["error"]["message"]


def test_browsers_of_other_origins_are_let_in_only_if_asked():
    engine = serving.ScriptedEngine()
    headers = {"Origin": "http://page", "Access-Control-Request-Method": "POST"}
    for origins, status in (((), 401), (("http://page",), 200)):
        app = serving.app_for(engine, api_key="key", cors_origins=origins)
        with TestClient(app) as client:
            reply = client.options(CHAT, headers=headers)
        assert reply.status_code == status
        allowed = reply.headers.get("access-control-allow-origin")
        assert allowed == ("http://page" if origins else None)


def test_what_an_engine_cannot_do_is_said():
    capabilities = Capabilities(json_schema=False, log_probabilities=False)
    engine = serving.ScriptedEngine(capabilities=capabilities)
    with TestClient(serving.app_for(engine)) as client:
        for fields in (
            {"response_format": {"type": "json_object"}},
            {"logprobs": True},
        ):
            reply = client.post(CHAT, json=chat(**fields))
            assert reply.status_code == 400, fields
            assert "scripted" in reply.json()["error"]["message"]
