"""`xturing estimate`, and the sizes that it tells, against real ones."""

import json
import re
from dataclasses import replace

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from xturing.models import BaseModel, FinetuningConfig, GenericLoraModel
from xturing.models.caching import cache_bytes
from xturing.models.estimating import TRAINED, Skeleton, Workload, estimates
from xturing.quant import SCHEMES

FOLDERS = ["llama", "gpt2", "llama3", "falcon", "mamba"]
WORKLOAD = Workload(tokens=64, learnt=16, length=32)


@pytest.mark.parametrize("architecture", FOLDERS)
@pytest.mark.parametrize("scheme", [None, "int8", "int4"])
def test_the_weights_are_as_large_as_estimated(tmp_path, architecture, scheme):
    folder = tiny.save_folder(tmp_path / "model", architecture)
    (told,) = [one for one in estimates("generic", folder) if one.scheme == scheme]
    name = "generic" if scheme is None else f"generic_{scheme}"
    model = BaseModel.create(name, model_name=folder)
    assert told.weights == pytest.approx(model.engine.size_in_bytes, rel=0.02)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_experts_are_as_large_as_estimated(tmp_path, scheme):
    folder = tiny.save_folder(tmp_path / "model", "mixtral")
    (told,) = [one for one in estimates("generic", folder) if one.scheme == scheme]
    made = BaseModel.create("generic", model_name=folder).quantize(scheme)
    assert told.weights == pytest.approx(made.engine.size_in_bytes, rel=0.02)


@pytest.mark.parametrize("architecture", tiny.CONFIGS)
def test_no_architecture_is_too_odd(architecture):
    config = tiny.CONFIGS[architecture]()
    skeleton = Skeleton(config)
    adapter = skeleton.adapter_parameters(FinetuningConfig())
    sizes = [
        skeleton.estimate(scheme, WORKLOAD, adapter=adapter).weights
        for scheme in ("int8", "int4", "int2")
    ]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("architecture", sorted({*tiny.CONFIGS} - {"mamba"}))
def test_the_cache_is_as_large_as_estimated(architecture):
    config = tiny.CONFIGS[architecture]()
    model = AutoModelForCausalLM.from_config(config).eval()
    ids = torch.randint(5, 400, (1, 40))
    with torch.inference_mode():
        layers = model(ids, use_cache=True).past_key_values.layers
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert cache_bytes(config, 40, 4) == real


def test_a_state_does_not_grow_with_the_text():
    config = tiny.mamba_config()
    assert cache_bytes(config, 10, 4) == cache_bytes(config, 1000, 4) > 0


def test_the_adapter_is_counted_as_it_is_made(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    model.finetuning_config().lora_dora = True
    skeleton = Skeleton(model.engine.model.config)
    counted = skeleton.adapter_parameters(model.finetuning_config())
    trained = [
        p.numel() for p in model.prepare_training().parameters() if p.requires_grad
    ]
    assert counted == sum(trained)


def test_what_is_trained_and_how_much_adds_to_the_estimate(tiny_folder):
    skeleton = Skeleton(GenericLoraModel(tiny_folder).engine.model.config)
    small = skeleton.estimate(None, WORKLOAD, adapter=0)
    more = skeleton.estimate(None, WORKLOAD, adapter=1000)
    longer = skeleton.estimate(None, replace(WORKLOAD, tokens=128), adapter=0)
    assert more.train_adapter - small.train_adapter == 1000 * TRAINED
    assert longer.train_adapter > small.train_adapter
    assert longer.serve == small.serve


def test_all_weights_are_trained_in_full_precision_only(tiny_folder):
    for told in estimates("generic", tiny_folder):
        assert (told.train_all is None) == (told.scheme is not None)


def test_the_command_shows_each_scheme(xturing, tiny_folder):
    options = ["--batch-size", 2, "--max-length", 100]
    done = xturing("estimate", "-m", "generic_lora", "--weights", tiny_folder, *options)
    assert done.code == 0
    told = estimates("generic_lora", tiny_folder, batch_size=2, max_length=100)
    shown = [line.split() for line in done.out.splitlines()]
    for one in told:
        (line,) = [words for words in shown if words[:1] == [one.scheme or "whole"]]
        assert line[1:3] == [f"{one.weights / 1e9:.2f}", "GB"]
        assert line[7:9] == [f"{one.train_adapter / 1e9:.2f}", "GB"]
    assert len(told) == 1 + len(SCHEMES)
    assert "Trained on 200 tokens at once" in done.out


def test_no_weights_are_read(xturing, tmp_path):
    tiny.save_folder(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"none")
    done = xturing("estimate", "-m", "generic", "--weights", tmp_path / "model")
    assert done.code == 0


def test_a_saved_adapter_is_estimated_by_its_base(tiny_folder, tmp_path):
    model = GenericLoraModel(tiny_folder)
    model.prepare_training()
    model.save(tmp_path / "adapter")
    (told, *_) = estimates(str(tmp_path / "adapter"))
    assert told.weights == estimates("generic_lora", tiny_folder)[0].weights


def test_a_quantized_folder_is_estimated_like_its_original(tiny_folder, tmp_path):
    model = BaseModel.create("generic", model_name=tiny_folder)
    model.quantize("int4").save(tmp_path / "int4")
    told = {one.scheme: one.weights for one in estimates(str(tmp_path / "int4"))}
    assert told["int4"] == BaseModel.load(tmp_path / "int4").engine.size_in_bytes


def test_finetuning_shows_the_estimate_beside_the_peak(xturing, tiny_folder, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(tiny.ROWS))
    options = ["-m", "generic_lora", "--weights", tiny_folder, "-d", "rows.json"]
    done = xturing("finetune", *options, "-o", "out", "--set", "max_length=128")
    found = re.search(r"Peak memory +[\d.]+ GB \(estimated: ([\d.]+) GB\)", done.out)
    assert 0.8 <= float(found[1]) <= 1.0


MISTAKES = {
    "an unknown model": (["-m", "smolm2"], "no model 'smolm2'"),
    "a folder that is not there": (["-m", "./gone"], "no model folder"),
    "a model without weights of its own": (["-m", "generic"], "no checkpoint"),
    "a checkpoint that is not here": (
        ["-m", "llama2"],
        "is not on this machine and the hub cannot be reached",
    ),
    "weights that are not here": (
        ["-m", "generic", "--weights", "someone/something"],
        "'someone/something' is not on this machine",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_a_code(xturing, monkeypatch, options, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = xturing("estimate", *options)
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert re.search(message, line)


def test_a_config_of_no_known_kind_is_named(xturing, tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "toaster"}')
    done = xturing("estimate", "-m", "generic", "--weights", tmp_path / "odd")
    assert (done.code, "odd cannot be built" in done.err) == (1, True)
