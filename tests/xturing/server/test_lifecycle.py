"""Clients that leave, and a server that is told to stop."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import serving

from xturing.core.errors import SettingsError
from xturing.server import ServerSettings, bind, serve

CHAT = "/v1/chat/completions"
BODY = {"model": "tuned", "messages": [{"role": "user", "content": "the fox"}]}


def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize("stream", [True, False])
def test_every_answer_stops_when_its_client_leaves(stream):
    engine = serving.ScriptedEngine(pause=30)
    body = BODY | {"n": 3, "stream": stream}
    with serving.serving(engine) as server:
        with server.http() as http, pytest.raises(httpx.ReadTimeout):
            http.post(CHAT, json=body, timeout=0.5)
        assert len(engine.handles) == 3
        assert all(handle.cancelled.wait(10) for handle in engine.handles)
        until(lambda: server.app.state.service.gate.inside == 0)


def test_a_client_that_leaves_takes_its_prompts_that_wait_along():
    engine = serving.ScriptedEngine(pause=30)
    body = {"model": "tuned", "prompt": ["the fox"] * 20}
    with serving.serving(engine) as server:
        with server.http() as http, pytest.raises(httpx.ReadTimeout):
            http.post("/v1/completions", json=body, timeout=0.5)
        until(lambda: server.app.state.service.gate.inside == 0)
        assert len(engine.requests) < 20


def test_a_server_that_drains_finishes_what_it_has_and_takes_nothing_new():
    engine = serving.ScriptedEngine(pause=0.15)
    with (
        serving.serving(engine, retry_after_seconds=2) as server,
        server.http() as http,
        ThreadPoolExecutor(1) as pool,
    ):
        # The second connection is open before, as a stopping server takes no new ones.
        assert http.get("/health/ready").status_code == 200
        accepted = pool.submit(httpx.post, server.url + CHAT, json=BODY, timeout=20)
        until(lambda: engine.requests)
        server.server.drain()
        refused = http.post(CHAT, json=BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert http.get("/health/ready").status_code == 503
        assert http.get("/health").status_code == 200
        answer = accepted.result().json()["choices"][0]["message"]["content"]
        assert answer == serving.ANYTHING


def test_a_stream_that_was_begun_is_finished_after_sigterm():
    """Signals come to the main thread, where the server runs this time."""
    engine = serving.ScriptedEngine(pause=0.1)
    addresses: list[str] = []
    told = threading.Event()

    def ready(url: str) -> None:
        addresses.append(url)
        told.set()

    def ask() -> str:
        assert told.wait(20)
        body = BODY | {"stream": True}
        with httpx.stream("POST", addresses[0] + CHAT, json=body) as reply:
            lines = reply.iter_lines()
            first = next(lines)
            os.kill(os.getpid(), signal.SIGTERM)
            return "\n".join([first, *lines])

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        serve(
            engine,
            ServerSettings(port=0),
            model_name="tuned",
            model=serving.Model(),
            ready=ready,
        )
        assert asking.result(20).rstrip().endswith("data: [DONE]")
    assert engine.is_closed


def test_a_body_of_ten_megabytes_is_refused_and_harms_nobody():
    engine = serving.ScriptedEngine()
    messages = [{"role": "user", "content": "fox " * 2_500_000}]
    with serving.serving(engine) as server, server.http() as http:
        refused = http.post(CHAT, json=BODY | {"messages": messages})
        assert refused.status_code == 413
        assert http.post(CHAT, json=BODY).status_code == 200


def test_a_port_that_is_in_use_is_told():
    listener = bind(ServerSettings(port=0))
    try:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}: .*--port"):
            bind(ServerSettings(port=port))
    finally:
        listener.close()


def test_the_engine_is_closed_if_the_server_cannot_start():
    engine = serving.ScriptedEngine()
    settings = ServerSettings(host="127.0.0.1", port=0)
    object.__setattr__(settings, "host", "256.0.0.1")
    with pytest.raises(SettingsError):
        serve(engine, settings, model_name="tuned", model=serving.Model())
    assert engine.is_closed
