"""The documented routes against schemathesis, and everything against nonsense."""

import asyncio
import gc
import json
import random

import httpx
import pytest
import schemathesis
import serving
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from xturing.train.memory import resident_bytes

ENGINE = serving.ScriptedEngine({"capital": "paris"}, chat_template=serving.TOOLS)
APP = serving.app_for(ENGINE, max_body_bytes=50_000)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@SCHEMA.parametrize()
@settings(
    max_examples=30,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_replies_are_what_the_documentation_says(case):
    case.call_and_validate(checks=CHECKS)


PIECES = [
    b'"\\ud800"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 30,
    b"[" * 500,
    b"{" * 20,
    b"\xff\xfe\x00",
    b'"' + b"a" * 5000 + b'"',
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"-1",
    b'""',
    json.dumps(["a"] * 10_000).encode(),
]
FIELDS = [
    *("model", "messages", "prompt", "temperature", "top_p", "n", "stop", "seed"),
    *("stream", "tools", "tool_choice", "response_format", "logprobs", "max_tokens"),
    *("params", "echo", "nonsense", "stream_options", "logit_bias", "top_k"),
]
PATHS = ["/v1/chat/completions", "/v1/completions", "/api", "/v1/models", "/nowhere"]
GOOD = {"model": "tuned", "messages": [{"role": "user", "content": "the capital"}]}


def malformed(rng: random.Random) -> bytes:
    """Return a request with fields that cannot be used, or the beginning of it."""
    fields = {b'"model"': b'"tuned"', b'"prompt"': b'"the fox"'}
    for name in rng.sample(FIELDS, 2):
        fields[json.dumps(name).encode()] = rng.choice(PIECES)
    body = (
        b"{" + b",".join(name + b":" + value for name, value in fields.items()) + b"}"
    )
    return body[: rng.randrange(len(body))] if rng.random() < 0.3 else body


async def storm(app, seed: int, count: int) -> set[int]:
    rng = random.Random(seed)
    headers = {"content-type": "application/json"}
    transport = httpx.ASGITransport(app)
    statuses = set()
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        for _ in range(count):
            path, body = rng.choice(PATHS), malformed(rng)
            reply = await client.post(path, content=body, headers=headers)
            statuses.add(reply.status_code)
    return statuses


@pytest.mark.slow
def test_two_thousand_malformed_requests_leave_nothing_behind():
    engine = serving.ScriptedEngine({"capital": "paris"})
    app = serving.app_for(engine, max_body_bytes=20_000)
    with TestClient(app) as client:
        statuses = asyncio.run(storm(app, 1, 500))
        engine.requests.clear()
        engine.handles.clear()
        gc.collect()
        before = resident_bytes() or 1
        statuses |= asyncio.run(storm(app, 2, 1500))
        gc.collect()
        after = resident_bytes() or 1
        reply = client.post("/v1/chat/completions", json=GOOD)
    assert reply.json()["choices"][0]["message"]["content"] == "paris"
    assert statuses <= {200, 400, 404, 405, 413, 422}
    assert after <= 1.03 * before
