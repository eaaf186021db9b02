"""Whom a server may be open to, and how answers are written by default."""

import pytest
import serving
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.models.inference import Capabilities, Decoding
from xturing.server import ServerSettings

CHAT = "/v1/chat/completions"
BODY = {"model": "tuned", "messages": [{"role": "user", "content": "the fox"}]}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_other_machines_need_a_key_or_a_word(host):
    with pytest.raises(SettingsError, match=r"(?s)--api-key.*--no-auth"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, api_key="key").host == host
    assert ServerSettings(host=host, no_auth=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_none(host):
    assert ServerSettings(host=host).api_key is None


def test_a_key_is_never_shown():
    assert "secret" not in repr(ServerSettings(api_key="secret"))


@pytest.mark.parametrize(
    "values",
    [
        {"api_key": ""},
        {"api_key": "two words"},
        {"api_key": "é"},
        {"api_key": "key", "no_auth": True},
        {"port": 2**16},
        {"max_body_bytes": 0},
        {"request_seconds": float("nan")},
        {"max_new_tokens": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(SettingsError):
        ServerSettings(**values)


def asked_of(model, engine=None, path=CHAT, body=BODY) -> Decoding:
    """Return what the engine is asked for a request."""
    engine = engine or serving.ScriptedEngine()
    with TestClient(serving.app_for(engine, model)) as client:
        assert client.post(path, json=body).status_code == 200
    return engine.requests[-1].decoding


def test_what_a_request_leaves_out_is_as_the_model_says():
    model = serving.Model(do_sample=True, top_k=5, max_new_tokens=9, stop=("zebra",))
    decoding = asked_of(model)
    assert decoding == Decoding.of(model.config)


def test_what_a_request_says_goes_before_the_model():
    model = serving.Model(do_sample=True, top_k=5, max_new_tokens=9)
    body = BODY | {"temperature": 0, "top_k": 2, "max_tokens": 3, "stop": "x"}
    decoding = asked_of(model, body=body)
    assert decoding.is_greedy
    assert (decoding.top_k, decoding.max_new_tokens, decoding.stop) == (2, 3, ("x",))


def test_who_says_among_what_to_draw_wants_to_draw():
    assert asked_of(serving.Model(), body=BODY | {"top_p": 0.9}).temperature == 1
    assert asked_of(serving.Model(), body=BODY | {"top_p": 1}).is_greedy


def test_a_models_contrastive_search_is_left_out_where_the_engine_has_none():
    model = serving.Model(penalty_alpha=0.6, top_k=4)
    assert asked_of(model).penalty_alpha is None
    engine = serving.ScriptedEngine(capabilities=Capabilities(contrastive_search=True))
    assert asked_of(model, engine).penalty_alpha == 0.6


@settings(max_examples=30)
@given(
    temperature=st.floats(0, 100),
    top_k=st.integers(0, 1000),
    seed=st.integers(-(2**63), 2**64 - 1),
)
def test_no_request_changes_what_the_next_one_gets__predecessor_fault_42(
    shared, temperature, top_k, seed
):
    client, engine, model = shared
    before = model.config.model_dump()
    changing = {"temperature": temperature, "top_k": top_k, "seed": seed, "n": 2}
    assert client.post(CHAT, json=BODY | changing).status_code == 200
    old = {"prompt": "the fox", "params": {"do_sample": True, "max_new_tokens": 3}}
    assert client.post("/api", json=old).status_code == 200
    assert client.post(CHAT, json=BODY).status_code == 200
    assert engine.requests[-1].decoding == Decoding.of(model.config)
    assert model.config.model_dump() == before


@pytest.fixture(scope="module")
def shared():
    engine = serving.ScriptedEngine()
    model = serving.Model(max_new_tokens=9)
    with TestClient(serving.app_for(engine, model)) as client:
        yield client, engine, model
