"""What we ask of vLLM, and what we make of what it tells (see `pretended_vllm`)."""

import time

import pretended_vllm
import pytest

from xturing.core.errors import (
    BusyError,
    EngineError,
    MissingDependencyError,
    ModelError,
    SettingsError,
)
from xturing.models import GenericModel
from xturing.models.inference import (
    Decoding,
    EngineOptions,
    Request,
    complete,
    open_engine,
    stream,
)

PROMPT = (5, 6, 7, 8)


@pytest.fixture
def made(monkeypatch):
    return pretended_vllm.install(monkeypatch)


@pytest.fixture
def opened(tiny_folder):
    engines = []

    def opened(**options):
        model = GenericModel(tiny_folder)
        engines.append(open_engine(model, "vllm", EngineOptions(**options)))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()


def request(**decoding):
    return Request(prompt=PROMPT, decoding=Decoding(**decoding))


def test_without_vllm_the_pip_line_is_told(tiny_folder):
    with pytest.raises(MissingDependencyError, match=r"xturing-models\[vllm\]"):
        open_engine(GenericModel(tiny_folder), "vllm")


def test_pieces_are_what_vllm_told(made, opened):
    pieces = list(stream(opened(), request(max_new_tokens=3)))
    assert [piece.text for piece in pieces] == ["<8>", "<7>", "<6>"]
    assert [token.id for piece in pieces for token in piece.tokens] == [8, 7, 6]
    assert pieces[-1].finish.reason == "length"
    assert pieces[-1].cached_tokens == 2


def test_log_probabilities_come_along(made, opened):
    (piece,) = stream(opened(), request(max_new_tokens=1, logprobs=1))
    assert piece.tokens[0].logprob == -0.5
    assert piece.tokens[0].alternatives == ((8, -0.5),)


def test_every_way_of_choosing_reaches_vllm(made, opened):
    given = {
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.1,
        "seed": 4,
        "repetition_penalty": 1.2,
        "frequency_penalty": 0.3,
        "presence_penalty": 0.4,
        "logprobs": 2,
    }
    engine = opened()
    complete(
        engine, [request(max_new_tokens=2, stop=("x",), json_schema="{}", **given)]
    )
    ((_, prompt, params, module),) = made[0].asked
    assert prompt == {"prompt_token_ids": list(PROMPT)}
    assert {name: getattr(params, name) for name in given} == given
    assert (params.max_tokens, params.stop, module) == (2, ["x"], None)
    assert params.structured_outputs.json == "{}"


def test_adapters_are_lora_modules(made, opened, tmp_path):
    engine = opened(adapters={"fox": tmp_path})
    complete(engine, [Request(prompt=PROMPT, adapter="fox")])
    assert made[0].arguments.enable_lora
    assert made[0].asked[0][3] == ("fox", 1, str(tmp_path))


def test_more_gpus_than_are_here_are_asked_of_ray(made, opened):
    opened(tensor_parallel=4, pipeline_parallel=2)
    arguments = made[0].arguments
    assert arguments.distributed_executor_backend == "ray"
    assert (arguments.tensor_parallel_size, arguments.pipeline_parallel_size) == (4, 2)


def test_what_vllm_refuses_is_told_to_who_asked_alone(made, opened):
    engine = opened()
    with pytest.raises(SettingsError, match="thirteen"):
        complete(engine, [request(top_k=13)])
    assert complete(engine, [request(max_new_tokens=1)])[0].text == "<8>"


def test_a_step_that_fails_is_told_and_the_engine_goes_on(made, opened):
    engine = opened()
    made[0].broken = True
    with pytest.raises(EngineError, match="its log"):
        complete(engine, [request()])
    made[0].broken = False
    assert complete(engine, [request(max_new_tokens=1)])[0].text == "<8>"


def test_a_deadline_ends_an_answer(made, opened):
    late = Request(prompt=PROMPT, deadline=time.monotonic() - 1)
    assert complete(opened(), [late])[0].finish.reason == "deadline"


def test_too_many_requests_are_refused(made, opened):
    engine = opened(max_running=1, max_waiting=0)
    engine._running["other"] = None
    with pytest.raises(BusyError):
        engine.submit(request(), print)
    engine._running.clear()


def test_quantized_weights_are_not_rounded_anew(made, tiny_folder):
    model = GenericModel(tiny_folder).quantize("int8")
    with pytest.raises(ModelError, match="whole weights"):
        open_engine(model, "vllm")


@pytest.mark.gpu
def test_vllm_itself_answers(smollm2):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("vLLM needs a GPU")
    pytest.importorskip("vllm", reason="the extra vllm is not installed")
    engine = open_engine(smollm2, "vllm")
    tokens = smollm2.engine.tokenizer("The capital of France is")["input_ids"]
    decoding = Decoding(max_new_tokens=4)
    try:
        (answer,) = complete(engine, [Request(prompt=tuple(tokens), decoding=decoding)])
    finally:
        engine.close()
    assert "Paris" in answer.text
