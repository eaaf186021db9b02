"""The server with the real model: OpenAI's own client, and many clients at once."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import api_process
import openai
import pytest

from xturing.models.generation import prompt_tokens
from xturing.models.inference import Decoding, EngineOptions, Request, open_engine
from xturing.models.inference.engine import complete

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
THINGS = (
    *("rain", "bread", "a bridge", "a bee", "glass", "the tide", "paper", "salt"),
    *("a clock", "a map", "wool", "steam", "honey", "chalk", "a ferry", "a kite"),
)
REQUESTS, AT_ONCE, QUEUE, LENGTH = 500, 64, 32, 6


@pytest.fixture(scope="module")
def server() -> Iterator[api_process.Served]:
    """Return a server with room for 16 answers and a queue of 32."""
    options = ("--engine", "native", "--max-running", 16, "--max-waiting", QUEUE)
    with api_process.served(*options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(
        api_key="any", base_url=f"{server.address}/v1", max_retries=0
    ) as client:
        yield client


def ask(client, **options):
    given = {"model": "smollm2", "messages": FRANCE, "temperature": 0, "max_tokens": 12}
    return client.chat.completions.create(**given | options)


@pytest.mark.slow
def test_a_chat_is_answered(client):
    reply = ask(client)
    assert reply.choices[0].message.content == "The capital of France is Paris."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 8


@pytest.mark.slow
def test_a_stream_adds_up_to_the_same_answer(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "The capital of France is Paris."
    assert chunks[-1].usage.completion_tokens == 8


@pytest.mark.slow
def test_a_text_is_completed(client):
    reply = client.completions.create(
        model="smollm2", prompt="The capital of France is", max_tokens=3, temperature=0
    )
    assert "Paris" in reply.choices[0].text


@pytest.mark.slow
def test_an_answer_ends_before_a_stop_text(client):
    reply = ask(client, stop=[" France"])
    assert reply.choices[0].message.content == "The capital of"
    assert reply.choices[0].finish_reason == "stop"


@pytest.mark.slow
def test_a_seed_gives_the_same_draws(client):
    texts = {
        ask(client, temperature=1.5, seed=seed).choices[0].message.content
        for seed in (1, 1, 2, 3)
    }
    assert 2 <= len(texts) <= 3


@pytest.mark.slow
def test_log_probabilities_are_those_of_the_tokens(client):
    tokens = ask(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(token.token for token in tokens).startswith("The capital")
    assert all(token.logprob == token.top_logprobs[0].logprob for token in tokens)


@pytest.mark.slow
def test_an_answer_fits_its_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    }
    named = {"name": "place", "schema": schema}
    reply = ask(
        client,
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": named},
    )
    assert list(json.loads(reply.choices[0].message.content)) == ["city"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "nobody"}, openai.NotFoundError),
        ({"temperature": -1}, openai.BadRequestError),
        (
            {"messages": [{"role": "user", "content": "long " * 9000}]},
            openai.UnprocessableEntityError,
        ),
        ({"timeout": 0.001, "max_tokens": 200}, openai.APITimeoutError),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_its_kind(client, options, error):
    with pytest.raises(error):
        ask(client, **options)


@pytest.fixture(scope="module")
def alone(smollm2) -> dict[str, str]:
    """Return what each question is answered with nothing beside it."""
    engine = open_engine(smollm2, "native", EngineOptions(max_running=1))
    decoding = Decoding(max_new_tokens=LENGTH)
    questions = [f"Tell me about {thing}." for thing in THINGS]
    tokenizer = smollm2.engine.tokenizer
    try:
        answers = complete(
            engine,
            [
                Request(prompt=tuple(prompt_tokens(tokenizer, text)), decoding=decoding)
                for text in questions
            ],
        )
    finally:
        engine.close()
    return {text: answer.text for text, answer in zip(questions, answers, strict=True)}


def body(question: str) -> dict:
    messages = [{"role": "user", "content": question}]
    return {
        "model": "smollm2",
        "messages": messages,
        "max_tokens": LENGTH,
        "temperature": 0,
    }


def content(reply: dict) -> str:
    return reply["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_of_500_requests_each_is_answered_as_if_alone_or_told_to_wait(server, alone):
    questions = [f"Tell me about {THINGS[n % len(THINGS)]}." for n in range(REQUESTS)]
    held: list[int] = []

    def one(question: str) -> tuple[str, int, dict]:
        status, reply = server.ask("/v1/chat/completions", body(question))
        held.append(server.memory())
        return question, status, reply

    with ThreadPoolExecutor(AT_ONCE) as pool:
        replies = list(pool.map(one, questions))
    assert len(replies) == REQUESTS
    assert {status for _, status, _ in replies} <= {200, 429, 503}
    right = [(q, content(reply)) for q, status, reply in replies if status == 200]
    assert len(right) > QUEUE
    assert all(text == alone[question] for question, text in right)
    assert held[-1] <= 1.05 * held[len(held) // 2]


@pytest.mark.slow
def test_what_was_accepted_is_finished_after_sigterm(alone):
    questions = [f"Tell me about {thing}." for thing in THINGS]
    with api_process.served("--engine", "native", "--max-running", 4) as server:
        replies: dict[str, tuple[int, dict]] = {}
        threads = [
            threading.Thread(
                target=lambda q=question: replies.update(
                    {q: server.ask("/v1/chat/completions", body(q))}
                )
            )
            for question in questions
        ]
        for thread in threads:
            thread.start()
        while not replies:
            threads[0].join(0.01)
        code = server.end()
        for thread in threads:
            thread.join()
    assert code == 0
    finished = {
        q: content(reply) for q, (status, reply) in replies.items() if status == 200
    }
    assert len(finished) >= 4
    assert all(text == alone[question] for question, text in finished.items())
    assert {status for status, _ in replies.values()} <= {200, 503, 0}
