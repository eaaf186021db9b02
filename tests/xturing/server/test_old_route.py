"""POST /api and GET /health, as scripts have used them since the first server."""

import pytest
import serving
from fastapi.testclient import TestClient

from xturing.models.inference import Capabilities

SCRIPT = {"capital": "paris is the capital of france."}


@pytest.fixture
def engine():
    capabilities = Capabilities(contrastive_search=True)
    return serving.ScriptedEngine(SCRIPT, capabilities=capabilities)


@pytest.fixture
def client(engine):
    with TestClient(serving.app_for(engine, max_new_tokens=300)) as client:
        yield client


def test_a_question_is_answered_by_a_list_of_one(client):
    reply = client.post("/api", json={"prompt": "the capital?", "params": {}})
    assert reply.json() == {"success": True, "response": list(SCRIPT.values())}


def test_questions_of_any_lengths_are_answered_in_order__predecessor_fault_42(client):
    questions = ["a dog", "the capital?", "write a short answer to the question"]
    reply = client.post("/api", json={"prompt": questions})
    expected = [serving.ANYTHING, SCRIPT["capital"], serving.ANYTHING]
    assert reply.json()["response"] == expected


def test_questions_go_through_the_chat_template(client, engine):
    client.post("/api", json={"prompt": "a dog"})
    prompt = engine.tokenizer.decode(engine.requests[0].prompt)
    assert prompt.endswith("a dog<|im_end|>\n<|im_start|>assistant\n")


def test_the_old_defaults_hold(client, engine):
    client.post("/api", json={"prompt": "a dog"})
    decoding = engine.requests[0].decoding
    assert (decoding.penalty_alpha, decoding.top_k) == (0.6, 50)
    assert decoding.max_new_tokens == 256


def test_draws_are_by_the_old_fields(client, engine):
    params = {"do_sample": True, "top_k": 7, "top_p": 0.5, "max_new_tokens": 3}
    client.post("/api", json={"prompt": "a dog", "params": params})
    decoding = engine.requests[0].decoding
    assert decoding.penalty_alpha is None
    assert (decoding.temperature, decoding.top_k, decoding.top_p) == (1.0, 7, 0.5)


def test_an_engine_without_contrastive_search_is_greedy_unless_it_was_asked_for():
    engine = serving.ScriptedEngine()
    with TestClient(serving.app_for(engine)) as client:
        assert client.post("/api", json={"prompt": "a dog"}).status_code == 200
        assert engine.requests[0].decoding.is_greedy
        body = {"prompt": "a dog", "params": {"penalty_alpha": 0.6}}
        assert client.post("/api", json=body).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"prompt": [["nested"]]}, 400),
        ({"prompt": []}, 400),
        ({"prompt": "a dog", "params": {"top_p": 2}}, 400),
        ({"prompt": "a dog", "params": {"max_new_tokens": 301}}, 400),
        ({"prompt": "dog " * 600}, 422),
        ({"prompt": serving.FAILURE}, 500),
    ],
)
def test_an_error_has_a_status_of_an_error__predecessor_fault_42(client, body, status):
    reply = client.post("/api", json=body)
    assert reply.status_code == status
    assert set(reply.json()) == {"success", "message"}
    assert reply.json()["success"] is False
    assert serving.SECRET not in reply.text


def test_health_says_what_it_always_said(client):
    told = client.get("/health").json()
    assert told["success"] is True
    assert told["message"] == "API server is running"


def test_requests_tokens_and_waits_are_counted(client, engine):
    for _ in range(2):
        client.post("/api", json={"prompt": "a dog"})
    client.post("/nowhere", json={})
    text = client.get("/metrics").text
    tokens = 2 * len(engine.requests[0].prompt)
    for line in (
        'xturing_requests_total{route="/api",status="200"} 2.0',
        'xturing_requests_total{route="other",status="404"} 1.0',
        f'xturing_tokens_total{{kind="prompt"}} {tokens}.0',
        "xturing_first_token_seconds_count 2.0",
        "xturing_waiting 0.0",
    ):
        assert f"\n{line}\n" in text
