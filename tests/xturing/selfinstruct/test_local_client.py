import asyncio
from threading import Event

import pytest
import tiny
import torch

from xturing.core.errors import ModelError, SettingsError
from xturing.models import BaseModel
from xturing.selfinstruct.clients.local import Local
from xturing.selfinstruct.exchange import Request, Turn, Usage

QUESTIONS = ["say fox", "what is the capital of france?", "hello", "0 1 2 3 4"]


@pytest.fixture
def model(tiny_folder):
    return BaseModel.load(tiny_folder)


@pytest.fixture
def batches(monkeypatch):
    """Return the prompts that models were given, a list for each time."""
    seen = []
    answers = BaseModel.answers

    def noting(self, *, dataset, batch_size):
        seen.append([messages[-1]["content"] for messages in dataset.prompts()])
        return answers(self, dataset=dataset, batch_size=batch_size)

    monkeypatch.setattr(BaseModel, "answers", noting)
    return seen


def request_of(text, **options):
    turns = (Turn("user", text),)
    return Request(**{"stage": "s", "messages": turns, "max_tokens": 8} | options)


def ask_all(client, requests):
    async def run():
        return await asyncio.gather(*map(client.complete, requests))

    return asyncio.run(run())


def ask(client, text="hello", **options):
    return ask_all(client, [request_of(text, **options)])[0]


def texts(replies):
    return [reply.text for reply in replies]


@pytest.mark.parametrize("temperature", [None, 0.0])
def test_greedy_answers_are_those_of_the_model_itself(model, temperature):
    requests = [request_of(text, temperature=temperature) for text in QUESTIONS]
    replies = ask_all(Local(model), requests)
    assert texts(replies) == tiny.greedy(model, QUESTIONS)


def test_a_folder_answers_as_its_model(tiny_folder, model):
    assert ask(Local(tiny_folder)).text == tiny.greedy(model, ["hello"])[0]


def test_requests_that_come_together_are_answered_together(model, batches):
    ask_all(Local(model), map(request_of, QUESTIONS))
    assert batches == [QUESTIONS]


def test_requests_that_come_while_others_are_answered_go_together(model, monkeypatch):
    seen, entered, go_on = [], Event(), Event()
    answers = BaseModel.answers

    def waiting(self, *, dataset, batch_size):
        seen.append(len(dataset.prompts()))
        entered.set()
        assert go_on.wait(30)
        return answers(self, dataset=dataset, batch_size=batch_size)

    async def run():
        client = Local(model)
        first = asyncio.create_task(client.complete(request_of("hello")))
        await asyncio.to_thread(entered.wait, 30)
        others = [
            asyncio.create_task(client.complete(request_of(text))) for text in QUESTIONS
        ]
        # The event loop is free meanwhile, or this would never be reached.
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)

    monkeypatch.setattr(BaseModel, "answers", waiting)
    asyncio.run(run())
    assert seen == [1, 4]


def test_a_batch_is_no_larger_than_allowed(model, batches):
    ask_all(Local(model, batch_size=2), map(request_of, QUESTIONS))
    assert [len(batch) for batch in batches] == [2, 2]


@pytest.mark.parametrize(
    "other", [{"max_tokens": 5}, {"temperature": 0.9}, {"stop": ("x",)}], ids=str
)
def test_requests_of_different_manners_are_answered_apart(model, batches, other):
    ask_all(Local(model), [request_of("a"), request_of("b", **other), request_of("c")])
    assert batches == [["a", "c"], ["b"]]


def test_answers_go_to_those_who_asked_whatever_their_batch(model):
    requests = [
        request_of(text, max_tokens=size) for size in (8, 5) for text in QUESTIONS
    ]
    apart = [ask(Local(model), r.prompt, max_tokens=r.max_tokens) for r in requests]
    together = ask_all(Local(model, batch_size=3), requests)
    assert texts(together) == texts(apart)


def test_the_settings_of_a_model_that_is_given_are_left_alone(model):
    config = model.generation_config()
    config.max_new_tokens, config.do_sample, config.temperature = 33, True, 0.4
    before, sources = config.model_dump(), config.sources
    ask(Local(model), temperature=0.9, max_tokens=5)
    assert model.generation_config() is config
    assert (config.model_dump(), config.sources) == (before, sources)


@pytest.mark.parametrize("temperature", [None, 1.5])
def test_the_draws_of_the_program_are_left_alone(model, temperature):
    before = torch.get_rng_state()
    ask(Local(model), temperature=temperature)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_of_a_prompt_differ(model):
    samples = [
        ask(Local(model), temperature=2.0, sample=sample).text for sample in range(4)
    ]
    assert len(set(samples)) > 1


def test_a_sample_can_be_had_again(model):
    first, again = (ask(Local(model), temperature=2.0, sample=3) for _ in range(2))
    assert first == again


def test_an_answer_that_is_cut_off_is_told_as_such(model):
    reply = ask(Local(model), max_tokens=3)
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 3)


def test_tokens_are_counted_by_the_models_tokenizer(model):
    messages = [{"role": "user", "content": "hello"}]
    prompt = model.engine.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    usage = ask(Local(model), max_tokens=4).usage
    assert usage == Usage(prompt_tokens=len(prompt["input_ids"]), completion_tokens=4)


def test_an_answer_ends_before_a_stop_text(model):
    whole = ask(Local(model)).text
    stop = whole[3:5]
    reply = ask(Local(model), stop=("never said", stop))
    assert (reply.text, reply.finish_reason) == (whole[: whole.index(stop)], "stop")


def test_system_prompts_and_earlier_turns_are_part_of_the_chat(model):
    turns = (Turn("system", "be brief"), Turn("user", "a"), Turn("assistant", "b"))
    prompt = [{"role": turn.role, "content": turn.content} for turn in turns]
    reply = ask(Local(model), messages=(*turns, Turn("user", "c")))
    ids = model.engine.tokenizer.apply_chat_template(
        [*prompt, {"role": "user", "content": "c"}],
        add_generation_prompt=True,
        return_dict=True,
    )["input_ids"]
    assert reply.usage.prompt_tokens == len(ids)


def test_a_prompt_that_is_too_long_is_told_as_such(model):
    with pytest.raises(ModelError, match=r"has \d+ tokens, but the model reads 512 at"):
        ask(Local(model), "fox " * 600)


def test_a_prompt_that_is_too_long_does_not_touch_others(model):
    async def run():
        client = Local(model)
        requests = [request_of("hello"), request_of("fox " * 600), request_of("hello")]
        return await asyncio.gather(
            *map(client.complete, requests), return_exceptions=True
        )

    first, second, third = asyncio.run(run())
    assert isinstance(second, ModelError)
    assert first == third


def test_an_answer_has_as_much_room_as_the_model_has_left(model):
    usage = ask(Local(model), "fox " * 100, max_tokens=10_000).usage
    assert usage.total <= 512


def test_a_request_that_is_given_up_does_not_touch_others(model):
    async def run():
        client = Local(model)
        tasks = [
            asyncio.create_task(client.complete(request_of(text))) for text in QUESTIONS
        ]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    given_up, *others = asyncio.run(run())
    assert isinstance(given_up, asyncio.CancelledError)
    assert texts(others) == tiny.greedy(model, QUESTIONS)[1:]


def test_a_client_can_be_used_again_after_it_was_closed(tiny_folder):
    client = Local(tiny_folder)
    first = texts(ask_all(client, map(request_of, QUESTIONS)))
    asyncio.run(client.close())
    assert texts(ask_all(client, map(request_of, QUESTIONS))) == first


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="batch_size is 0"):
        Local("smollm2", batch_size=0)


def test_a_model_that_is_given_is_told_from_others(model, tiny_folder):
    assert str(tiny_folder) in Local(model).model
