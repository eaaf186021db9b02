"""OpenAI's own client, against a server that really runs."""

import json
from collections import Counter

import openai
import pytest
import serving
from pydantic import BaseModel

PARIS = "paris is the capital of france."
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "paris"}}</tool_call>'
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCRIPT = {
    "capital": PARIS,
    "must call": '{"name": "weather", "arguments": {"city": "paris"}}',
    "weather": f"please. {CALL}",
    "as json": '{"name": "ada", "age": 36}',
}


def said(text: str) -> list:
    return [{"role": "user", "content": text}]


QUESTION = said("what is the capital of france?")


@pytest.fixture(scope="module")
def engine():
    return serving.ScriptedEngine(SCRIPT, adapters=["fox"], chat_template=serving.TOOLS)


@pytest.fixture(scope="module")
def server(engine):
    with serving.serving(engine) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def ask(client, messages=QUESTION, **options):
    return client.chat.completions.create(model="tuned", messages=messages, **options)


def test_a_question_is_answered(client):
    choice = ask(client).choices[0]
    assert choice.message.role == "assistant"
    assert (choice.message.content, choice.finish_reason) == (PARIS, "stop")


def test_tokens_are_counted(client, engine):
    reply = ask(client, n=2)
    assert reply.usage.prompt_tokens == len(engine.requests[-1].prompt)
    written = len(engine.tokenizer(PARIS)["input_ids"]) + 1
    assert reply.usage.completion_tokens == 2 * written


def test_parts_of_a_message_are_put_together(client, engine):
    parts = [{"type": "text", "text": "what is the "}, {"type": "text", "text": "fox"}]
    ask(client, [{"role": "user", "content": parts}])
    assert "what is the fox" in engine.tokenizer.decode(engine.requests[-1].prompt)


def test_a_stream_says_what_a_whole_answer_says(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    *parts, last = [chunk for chunk in chunks if chunk.choices]
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content for part in parts) == PARIS
    assert last.choices[0].finish_reason == "stop"
    assert chunks[-1].usage == ask(client).usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_of_several_answers_tells_them_apart(client):
    texts = Counter()
    for chunk in ask(client, stream=True, n=3):
        choice = chunk.choices[0]
        texts[choice.index, choice.delta.content or ""] += 1
    for index in range(3):
        assert (index, "") in texts
    written = {text for _, text in texts} - {""}
    assert all(texts[index, text] == 1 for index in range(3) for text in written)


def test_the_wire_has_openais_events(server):
    body = {"model": "tuned", "messages": QUESTION, "stream": True}
    with server.http() as http:
        reply = http.post("/v1/chat/completions", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    first = json.loads(events[0].removeprefix("data: "))
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["finish_reason"] is None


def test_an_answer_ends_before_a_stop_text(client):
    choice = ask(client, stop=["capital of", "xyz"]).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("paris is the ", "stop")


def test_an_answer_ends_at_its_limit(client):
    choice = ask(client, max_completion_tokens=2).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("par", "length")


def test_a_seed_reaches_the_engine_another_for_each_choice(client, engine):
    ask(client, seed=7, n=2, temperature=0.5)
    seeds = [request.decoding.seed for request in engine.requests[-2:]]
    assert sorted(seeds) == [7, 8]


def test_log_probabilities_are_told_token_by_token(client):
    tokens = ask(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(token.token for token in tokens[:-1]) == PARIS
    assert bytes(tokens[0].bytes).decode() == tokens[0].token
    # The logarithm of 0 is no number of JSON.
    assert [other.logprob for other in tokens[0].top_logprobs] == [-0.25, -9999.0]


def test_log_probabilities_come_with_a_stream(client):
    chunks = list(ask(client, stream=True, logprobs=True))
    told = [chunk.choices[0].logprobs for chunk in chunks]
    tokens = [token for logprobs in told if logprobs for token in logprobs.content]
    assert "".join(token.token for token in tokens[:-1]) == PARIS


class Person(BaseModel):
    name: str
    age: int


def test_an_answer_fits_a_class_of_the_clients(client, engine):
    reply = client.chat.completions.parse(
        model="tuned", messages=said("ada as json"), response_format=Person
    )
    assert reply.choices[0].message.parsed == Person(name="ada", age=36)
    schema = json.loads(engine.requests[-1].decoding.json_schema)
    assert set(schema["properties"]) == {"name", "age"}


def test_any_json_object_can_be_asked_for(client, engine):
    ask(client, said("ada as json"), response_format={"type": "json_object"})
    assert engine.requests[-1].decoding.json_schema == "{}"


def test_a_call_of_a_tool_is_read_from_the_answer(client):
    choice = ask(client, said("the weather?"), tools=[WEATHER]).choices[0]
    called = choice.message.tool_calls[0].function
    assert (called.name, json.loads(called.arguments)) == ("weather", {"city": "paris"})
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "please.")


def test_a_call_of_a_tool_is_streamed(client):
    chunks = list(ask(client, said("the weather?"), tools=[WEATHER], stream=True))
    calls = [chunk.choices[0].delta.tool_calls for chunk in chunks]
    called = next(call[0] for call in calls if call)
    assert called.function.name == "weather"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_tool_that_has_to_be_called_is_what_the_answer_has_to_fit(client, engine):
    choice = ask(
        client, said("must call"), tools=[WEATHER], tool_choice="required"
    ).choices[0]
    assert choice.message.tool_calls[0].function.name == "weather"
    schema = json.loads(engine.requests[-1].decoding.json_schema)
    assert schema["properties"]["name"] == {"const": "weather"}


def test_the_results_of_tools_go_through_the_template(client, engine):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "paris"}'},
    }
    turns = [
        *said("the weather?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "quick fox"},
    ]
    ask(client, turns, tools=[WEATHER])
    assert "quick fox" in engine.tokenizer.decode(engine.requests[-1].prompt)


def test_texts_and_ids_are_continued(client, engine):
    ids = engine.tokenizer("the capital")["input_ids"]
    for prompt in ("the capital", ids):
        reply = client.completions.create(model="tuned", prompt=prompt)
        assert reply.choices[0].text == PARIS
        assert list(engine.requests[-1].prompt) == ids


def test_several_texts_are_answered_in_order(client):
    reply = client.completions.create(
        model="tuned", prompt=["the capital", "a dog"] * 10, n=2
    )
    texts = [choice.text for choice in reply.choices]
    assert texts == [PARIS, PARIS, serving.ANYTHING, serving.ANYTHING] * 10
    assert [choice.index for choice in reply.choices] == list(range(40))


def test_several_texts_are_streamed(client):
    texts = {0: "", 1: ""}
    stream = client.completions.create(
        model="tuned", prompt=["the capital", "a dog"], stream=True
    )
    for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == {0: PARIS, 1: serving.ANYTHING}


def test_a_prompt_is_scored_without_an_answer(client):
    reply = client.completions.create(
        model="tuned", prompt="the capital", echo=True, logprobs=1, max_tokens=0
    )
    told = reply.choices[0].logprobs
    assert "".join(told.tokens) == reply.choices[0].text == "the capital"
    assert told.token_logprobs == [None] + [-0.5] * (len(told.tokens) - 1)


def test_the_base_model_and_its_adapters_are_listed(client):
    assert [model.id for model in client.models.list()] == ["tuned", "fox"]
    assert client.models.retrieve("fox").id == "fox"


def test_a_request_chooses_its_adapter(client, engine):
    client.chat.completions.create(model="fox", messages=QUESTION)
    assert engine.requests[-1].adapter == "fox"
    ask(client)
    assert engine.requests[-1].adapter is None


def test_a_model_that_is_not_served_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="Did you mean 'tuned'"):
        client.chat.completions.create(model="tuned2", messages=QUESTION)


def test_a_wrong_field_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, temperature=-1)
    assert raised.value.param == "temperature"
    assert raised.value.request_id


def test_an_engines_failure_tells_nothing_of_the_machine(client):
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client, said(serving.FAILURE))
    assert serving.SECRET not in str(raised.value)


def test_a_failure_amid_a_stream_is_raised_by_the_client(client):
    with pytest.raises(openai.APIError, match="Something went wrong"):
        list(ask(client, said(serving.FAILURE), stream=True))


def test_a_client_that_waits_too_long_gives_up_and_stops_the_engine():
    engine = serving.ScriptedEngine(pause=30)
    with serving.serving(engine) as server, server.client(timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            ask(client)
        assert engine.handles[0].cancelled.wait(10)


def test_a_key_is_asked_for():
    engine = serving.ScriptedEngine()
    with serving.serving(engine, api_key="the-key") as server:
        with (
            server.client(api_key="the-kez") as stranger,
            pytest.raises(openai.AuthenticationError),
        ):
            ask(stranger)
        with server.client(api_key="the-key") as client:
            assert ask(client).choices[0].message.content == serving.ANYTHING
