"""Several adapters of one model, served beside each other and it."""

import json
import shutil

import pytest
import tiny
import torch
from engines import listen, opened, request
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

from xturing.core.errors import ModelError, SettingsError
from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.models.generation import prompt_tokens
from xturing.models.inference import EngineOptions, complete, open_engine
from xturing.models.inference.adapters import low_rank

QUESTIONS = ["say hello", "what is the capital of france?", "fox and dog"]
SETTINGS = {
    "law": {"lora_rank": 3, "lora_alpha": 9.0},
    "tax": {
        "lora_rank": 4,
        "lora_rslora": True,
        "lora_targets": ("q_proj", "v_proj", "up_proj"),
        "lora_rank_pattern": {"layers.0.self_attn.v_proj": 2},
        "lora_alpha_pattern": {"model.layers.1.self_attn.q_proj": 30.0},
    },
}
ENGINES = ["torch", "native"]


def save_adapter(base, folder, seed, **settings):
    """Write an adapter that changes answers, and return its folder."""
    model = GenericLoraModel(base)
    for name, value in settings.items():
        setattr(model.finetuning_config(), name, value)
    model.prepare_training()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parameter in model.engine.model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.5)
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: save_adapter(tiny_folder, folder / name, seed, **settings)
        for seed, (name, settings) in enumerate(SETTINGS.items())
    }


@pytest.fixture(scope="module")
def base(tiny_folder):
    return GenericModel(tiny_folder)


@pytest.fixture(scope="module")
def wanted(base, adapters):
    """Return what each adapter's merged model answers, and the base itself."""
    merged = {name: BaseModel.load(path).merge() for name, path in adapters.items()}
    found = {}
    for name, model in {None: base, **merged}.items():
        model.generation_config().max_new_tokens = 8
        found[name] = model.generate(texts=QUESTIONS)
    return found


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, base, adapters):
    with opened(base, request.param, adapters=adapters) as made:
        yield made


def prompts(engine):
    return [prompt_tokens(engine.tokenizer, text) for text in QUESTIONS]


def test_the_adapters_of_the_test_change_answers(wanted):
    assert len({tuple(answers) for answers in wanted.values()}) == 3


def test_each_adapter_answers_as_its_merged_model_beside_the_others(engine, wanted):
    asked = [
        (name, number)
        for number in range(len(QUESTIONS))
        for name in ("law", None, "tax")
    ]
    texts = prompts(engine)
    found = complete(
        engine, [request(texts[number], adapter=name) for name, number in asked]
    )
    for (name, number), answer in zip(asked, found, strict=True):
        assert answer.text == wanted[name][number], (name, number)


def test_each_adapter_answers_as_its_merged_model_alone(engine, wanted):
    for name in ("tax", "law", None, "law"):
        found = [
            listen(engine, prompt, adapter=name).text for prompt in prompts(engine)
        ]
        assert found == wanted[name]


def test_one_adapters_prefixes_are_not_anothers(engine, wanted):
    prompt = prompts(engine)[1]
    for name in ("law", "tax", None) * 2:
        assert listen(engine, prompt, adapter=name).text == wanted[name][1]


def test_scores_are_those_of_the_base(engine, base):
    prompt = prompts(engine)[0]
    listen(engine, prompt, adapter="law").last  # noqa: B018  # waits for the end
    with opened(base, engine.name) as plain:
        alone = plain.score([prompt])[0]
    assert engine.score([prompt])[0] == pytest.approx(alone, abs=1e-4)


def test_the_names_are_told_and_others_refused(engine):
    assert list(engine.adapters) == ["law", "tax"]
    with pytest.raises(SettingsError, match="no adapter 'lawn'. Did you mean 'law'"):
        listen(engine, [1], adapter="lawn")


def test_contrastive_search_is_not_to_be_had_with_adapters(engine):
    with pytest.raises(SettingsError, match="no contrastive search"):
        listen(engine, [1], penalty_alpha=0.5)


# ---------------------------------------------------------------- what does not fit


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Return adapters of a wider model, and of one with more layers."""
    folder = tmp_path_factory.mktemp("strangers")
    sizes = {"wider": {"hidden_size": 64}, "deeper": {"num_hidden_layers": 3}}
    found = {}
    for name, size in sizes.items():
        tiny.CONFIGS[name] = lambda size=size: LlamaConfig(**tiny.GROUPED | size)
        other = tiny.save_folder(folder / f"{name}-base", name)
        del tiny.CONFIGS[name]
        found[name] = save_adapter(other, folder / name, 0, lora_rank=2)
    return found


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("name", ["wider", "deeper"])
def test_an_adapter_of_another_model_is_refused_by_name(
    base, strangers, adapters, name, engine_name
):
    mixed = {"law": adapters["law"], name: strangers[name]}
    with pytest.raises(ModelError, match=f"adapter '{name}' .*does not fit"):
        open_engine(base, engine_name, EngineOptions(adapters=mixed, threads=1))


def test_an_adapter_on_top_of_another_is_refused(adapters):
    model = BaseModel.load(adapters["law"])
    with pytest.raises(ModelError, match="has an adapter of its own"):
        open_engine(model, "torch", EngineOptions(adapters=adapters))


def test_native_refuses_what_is_more_than_low_rank_matrices(tiny_folder, tmp_path):
    folder = save_adapter(tiny_folder, tmp_path / "dora", 0, lora_dora=True)
    with pytest.raises(ModelError, match="magnitude.*, which is no LoRA matrix"):
        low_rank(folder)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_an_adapter_that_moved_its_base_is_not_served_beside_it(
    base, tiny_folder, tmp_path, engine_name
):
    folder = save_adapter(tiny_folder, tmp_path / "pissa", 0, lora_init="pissa")
    options = EngineOptions(adapters={"pissa": folder}, threads=1)
    with pytest.raises(ModelError, match="began with parts of its base's weights"):
        open_engine(base, engine_name, options)


def test_serving_adapters_leaves_the_model_as_it_was(base, adapters, wanted):
    with opened(base, "torch", adapters=adapters) as engine:
        listen(engine, prompts(engine)[0], adapter="law").last  # noqa: B018
        assert not base.has_adapter
        assert base.generate(texts=QUESTIONS) == wanted[None]
    assert base.generate(texts=QUESTIONS) == wanted[None]


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_quantized_base_is_served_with_adapters(base, adapters, engine_name):
    model = base.quantize("int8")
    with opened(model, engine_name, adapters=adapters) as engine:
        asked = [
            listen(engine, prompts(engine)[0], adapter=name) for name in (None, "law")
        ]
        assert asked[0].ids != asked[1].ids


@pytest.fixture
def copied(adapters, tmp_path):
    """Return an adapter's folder as another tool would have left it."""
    folder = tmp_path / "adapter"
    shutil.copytree(adapters["law"], folder)
    (folder / "xturing.json").unlink()
    return folder


def test_a_folder_without_an_adapter_is_refused(tiny_folder):
    with pytest.raises(ModelError, match="holds no adapter"):
        low_rank(tiny_folder)


def test_another_kind_of_adapter_is_refused(copied):
    file = copied / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"peft_type": "IA3"}))
    with pytest.raises(ModelError, match="is no LoRA adapter"):
        low_rank(copied)


def test_half_an_adapter_is_refused(copied):
    file = copied / "adapter_model.safetensors"
    save_file(dict(list(load_file(file).items())[1:]), file)
    with pytest.raises(ModelError, match="lacks a half"):
        low_rank(copied)


def test_a_changed_adapter_is_refused(adapters, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(adapters["law"], folder)
    file = folder / "adapter_model.safetensors"
    save_file({name: each * 2 for name, each in load_file(file).items()}, file)
    with pytest.raises(ModelError):
        low_rank(folder)
