"""Engines around real, tiny models: they write what the model itself writes."""

import json
import logging
from functools import partial

import pytest
import tiny
import torch
from engines import listen, opened, request, torch_model
from transformers import Ernie4_5Config

from xturing.core.errors import (
    CompileError,
    ModelError,
    SettingsError,
    UnknownNameError,
)
from xturing.models import GenericLoraModel, GenericModel
from xturing.models.contrastive import contrastive_search
from xturing.models.generation import prompt_tokens
from xturing.models.inference import ENGINES, EngineOptions, complete, open_engine
from xturing.models.template import stop_ids

QUESTIONS = [
    "say hello",
    "what is the capital of france?",
    "write a short answer to the question, please: 0 1 2 3 4 5 6 7 8 9",
    "fox",
]
NATIVE = ("llama", "qwen2_5", "qwen3", "mistral", "smollm3")
PAIRS = [
    *(("native", name) for name in NATIVE),
    *(("torch", name) for name in (*NATIVE, "gpt2", "bloom", "gemma3", "mamba")),
]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Return a function from an architecture to its model, each loaded once."""
    made = {}

    def model(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            made[architecture] = GenericModel(tiny.save_folder(folder, architecture))
            made[architecture].generation_config().max_new_tokens = 10
        return made[architecture]

    return model


@pytest.fixture(scope="module")
def llama(model_of):
    return model_of("llama")


@pytest.fixture(scope="module", params=["torch", "native"])
def engine(request, llama):
    with opened(llama, request.param) as made:
        yield made


def prompts(model) -> list[list[int]]:
    return [prompt_tokens(model.engine.tokenizer, text) for text in QUESTIONS]


def texts(engine, requests) -> list[str]:
    return [answer.text for answer in complete(engine, requests)]


# ---------------------------------------------------------------- as the model writes


@pytest.mark.parametrize(("name", "architecture"), PAIRS)
def test_greedy_answers_are_the_models_own(model_of, name, architecture):
    model = model_of(architecture)
    wanted = model.generate(texts=QUESTIONS)
    with opened(model, name, prefill_tokens=7) as engine:
        ask = partial(request, max_new_tokens=10)
        together = texts(engine, [ask(prompt) for prompt in prompts(model)])
        alone = [texts(engine, [ask(prompt)])[0] for prompt in prompts(model)]
        guessing = [ask(prompt, lookup_tokens=4) for prompt in prompts(model)]
        guessed = texts(engine, guessing)
    assert together == wanted
    assert alone == wanted
    assert guessed == wanted


def test_an_adapted_model_answers_as_itself(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    model.prepare_training()
    _move(model)
    config = model.generation_config()
    config.max_new_tokens = 10
    model.engine.model.eval()
    wanted = model.generate(texts=QUESTIONS)
    for name in ("torch", "native"):
        with opened(model, name) as engine:
            asked = [request(each, max_new_tokens=10) for each in prompts(model)]
            assert texts(engine, asked) == wanted


def _move(model) -> None:
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(2)
        for name, parameter in model.engine.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)


def test_a_tuned_model_in_training_mode_answers_without_dropout(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    model.finetuning_config().lora_dropout = 0.5
    model.prepare_training()
    _move(model)
    prompt = prompts(model)[0]
    found = []
    for name in ("native", "torch"):
        model.engine.model.train()
        with opened(model, name) as engine:
            contrastive = {"penalty_alpha": 0.6, "top_k": 4}
            found += [listen(engine, prompt, **contrastive).ids for _ in range(2)]
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("name", ["torch", "native"])
def test_a_quantized_model_is_answered_for(llama, name):
    model = llama.quantize("int8")
    with opened(model, name) as engine:
        found = listen(engine, prompts(model)[0])
    assert found.last.finish is not None


def test_torch_rounds_weights_to_a_scheme(llama):
    wanted = llama.quantize("int8").generate(texts=QUESTIONS)
    with opened(llama, "torch", weights="int8") as engine:
        asked = [request(each, max_new_tokens=10) for each in prompts(llama)]
        assert texts(engine, asked) == wanted


def test_context_ends_an_answer(engine, llama):
    prompt = (prompts(llama)[0] * 40)[:508]
    found = listen(engine, prompt, max_new_tokens=100)
    ended = found.last.finish.reason
    assert (len(found.ids), ended) == (4, "length") or ended == "stop"


# ---------------------------------------------------------------- draws and the like


def test_a_seed_makes_draws_repeatable(engine, llama):
    prompt = prompts(llama)[0]
    asked = partial(listen, engine, prompt, temperature=1.5)
    assert asked(seed=3).ids == asked(seed=3).ids
    assert len({tuple(asked(seed=seed).ids) for seed in range(5)}) > 1


def test_guessing_leaves_draws_as_they_are(engine, llama):
    prompt = [*prompts(llama)[2]] * 2
    drawn = {"temperature": 0.3, "seed": 5, "frequency_penalty": 0.5}
    asked = partial(listen, engine, prompt, max_new_tokens=20, **drawn)
    assert asked(lookup_tokens=5).ids == asked().ids


def test_log_probabilities_are_those_of_scoring(engine, llama):
    for prompt in prompts(llama):
        found = listen(engine, prompt, logprobs=3)
        scores = engine.score([[*prompt, *found.ids]])[0][len(prompt) - 1 :]
        told = [token for event in found.events for token in event.tokens]
        assert [token.logprob for token in told] == pytest.approx(scores, abs=1e-4)
        assert [token.alternatives[0][0] for token in told] == found.ids
        assert {len(token.alternatives) for token in told} == {3}


def test_a_repeated_prompt_is_not_read_again_and_answered_alike(engine, llama):
    prompt = [*prompts(llama)[1], *prompts(llama)[3]]
    first, again = listen(engine, prompt), listen(engine, prompt)
    assert again.last.cached_tokens >= len(prompt) - 1 - first.last.cached_tokens
    assert again.ids == first.ids


def test_a_json_schema_is_kept_to(engine, llama):
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "maximum": 99, "minimum": 10}},
        "required": ["age"],
        "additionalProperties": False,
    }
    asked = {"json_schema": json.dumps(schema), "max_new_tokens": 60}
    found = [
        listen(engine, prompt, lookup_tokens=guessed, **asked)
        for prompt in prompts(llama)
        for guessed in (0, 4)
    ]
    assert [each.ids for each in found[::2]] == [each.ids for each in found[1::2]]
    free = listen(engine, prompts(llama)[0])
    for listener in found:
        assert 10 <= json.loads(listener.text)["age"] <= 99
        assert listener.last.finish.reason == "stop"
    assert free.text == listen(engine, prompts(llama)[0]).text


def test_a_schema_that_is_none_is_refused_at_once(engine, llama):
    with pytest.raises(SettingsError, match="json_schema is no JSON"):
        listen(engine, prompts(llama)[0], json_schema="{")


@pytest.mark.parametrize("candidates", [0, 3])
def test_contrastive_answers_are_those_of_contrastive_search(engine, llama, candidates):
    stops = stop_ids(llama.engine.tokenizer)
    for prompt in prompts(llama)[:2]:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            wanted = contrastive_search(
                llama.engine.model,
                ids,
                torch.ones_like(ids),
                candidates=candidates or 4,
                penalty_alpha=0.6,
                max_new_tokens=8,
                stop_ids=stops,
            )[0].tolist()
        found = listen(engine, prompt, penalty_alpha=0.6, top_k=candidates)
        assert found.ids == wanted


def test_contrastive_search_that_the_model_cannot_do_ends_in_its_reason(model_of):
    model = model_of("mamba")
    with opened(model, "torch") as engine:
        found = listen(engine, prompts(model)[0], penalty_alpha=0.6)
        assert "penalty_alpha" in str(found.last)
        assert listen(engine, prompts(model)[0]).last.finish is not None


# ---------------------------------------------------------------- native


def test_whole_answers_of_native_are_the_same_to_the_bit_in_any_company(llama):
    with opened(llama, "native", weights="int8", threads=2, prefill_tokens=5) as engine:
        ask = partial(request, logprobs=2, temperature=0.7, seed=1)
        alone = [complete(engine, [ask(prompt)])[0] for prompt in prompts(llama)]
        together = complete(engine, [ask(prompt) for prompt in prompts(llama)])
    assert [each.tokens for each in together] == [each.tokens for each in alone]


def test_native_rounds_to_int8_by_itself(llama):
    found = {}
    for weights in (None, "int8", "none"):
        with opened(llama, "native", weights=weights) as engine:
            found[weights] = engine.score([[5, 9, 7, 3, 11]])[0]
    assert found[None].tobytes() == found["int8"].tobytes()
    assert found["none"].tobytes() != found["int8"].tobytes()
    assert found["int8"] == pytest.approx(found["none"], abs=0.5)


def test_native_has_no_other_scheme(llama):
    with pytest.raises(SettingsError, match="weights is 'int4'; the engine 'native'"):
        open_engine(llama, "native", EngineOptions(weights="int4"))


@pytest.mark.parametrize("weights", ["none", "int8"])
def test_a_model_that_native_would_read_wrongly_is_refused(tmp_path, weights):
    # Its rotations are of neighbours, which nothing but the logits shows.
    folder = tmp_path / "ernie"
    torch_model(Ernie4_5Config(**tiny.GROUPED, head_dim=8)).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    model = GenericModel(folder)
    with pytest.raises(ModelError, match="does not compute|Rounded to int8"):
        open_engine(model, "native", EngineOptions(weights=weights, threads=1))


# ---------------------------------------------------------------- which engine


def test_an_unknown_engine_names_the_nearest(llama):
    with pytest.raises(UnknownNameError, match="no engine 'natve'. .* 'native'"):
        open_engine(llama, "natve")


def test_auto_takes_the_compiled_decoder_here(llama):
    with opened(llama, "auto") as engine:
        assert engine.name == "native"


@pytest.fixture
def without_others(monkeypatch):
    """Have no compiler, and no OpenVINO."""

    def fail(*_):
        raise CompileError("no compiler")

    monkeypatch.setattr("xturing.models.inference.runners.native.library", fail)
    monkeypatch.setitem(ENGINES._targets, "openvino", fail)


def test_auto_falls_back_to_torch_and_tells_why(llama, without_others, caplog):
    caplog.set_level(logging.INFO, "xturing")
    with opened(llama, "auto") as engine:
        assert engine.name == "torch"
    assert "not the engine native: no compiler" in caplog.text


def test_auto_passes_over_engines_that_cannot_do_what_is_set(llama):
    with opened(llama, "auto", weights="int4") as engine:
        assert engine.name == "torch"


def test_the_names_of_engines_are_known_without_opening_any():
    assert set(ENGINES) >= {"torch", "native", "openvino", "vllm"}
