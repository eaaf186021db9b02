"""Quantized models by name: how they load, learn and are kept, and what is refused."""

from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from xturing.core.errors import (
    ModelError,
    QuantizationError,
    SettingsError,
    UnknownNameError,
)
from xturing.models import BaseModel, GenericLoraInt4Model, GenericLoraKbitModel
from xturing.quant.layers import packed_weights

FAITHFUL = [("int8", "native"), ("int8", "bitsandbytes"), ("int8", "torchao")]


def in_scheme(name: str, folder: Path, **options: object) -> BaseModel:
    model = BaseModel.create(name, model_name=folder, **options)
    model.generation_config().max_new_tokens = 8
    return model


def taught(model: BaseModel, rows, output: Path) -> BaseModel:
    config = model.finetuning_config()
    config.output_dir, config.learning_rate = str(output), 1e-2
    config.batch_size, config.num_train_epochs, config.max_length = 4, 1, 128
    config.lora_dropout = 0.0
    report = model.finetune(rows)
    assert report.losses[-1] < report.losses[0]
    return model


@pytest.mark.parametrize(("scheme", "backend"), FAITHFUL)
def test_a_backend_s_model_learns_and_comes_back(
    scheme, backend, tiny_folder, rows, tmp_path
):
    model = in_scheme(f"generic_lora_{scheme}", tiny_folder, backend=backend)
    taught(model, rows, tmp_path / "out")
    loaded = BaseModel.load(tmp_path / "out")
    assert loaded.engine.quantization == model.engine.quantization
    torch.testing.assert_close(tiny.logits(loaded), tiny.logits(model))
    merged = loaded.merge()
    difference = tiny.logits(merged) - tiny.logits(model)
    assert difference.norm() / tiny.logits(model).norm() < 0.05


def test_the_4_bit_variant_trains_an_adapter__predecessor_faults_4_and_5(
    tiny_folder, rows, tmp_path
):
    model = GenericLoraKbitModel(tiny_folder)
    taught(model, rows, tmp_path / "out")
    adapters = [
        weight.any()
        for name, weight in model.engine.model.named_parameters()
        if "lora_B" in name
    ]
    assert adapters
    assert all(adapters)


@pytest.mark.parametrize("name", ["generic_int4", "generic_kbit", "generic_int8"])
def test_a_quantized_save_is_loaded_again__predecessor_fault_6(
    name, tiny_folder, tmp_path
):
    model = in_scheme(name, tiny_folder)
    tiny.logits(model)
    model.save(tmp_path / "saved")
    loaded = BaseModel.load(tmp_path / "saved")
    assert loaded.config_name == name
    assert torch.equal(tiny.logits(loaded), tiny.logits(model))


def test_a_quantized_model_is_evaluated_where_it_is__predecessor_fault_17(
    tiny_folder, rows
):
    model = in_scheme("generic_lora_int8", tiny_folder)
    assert model.evaluate(rows, batch_size=3) == pytest.approx(
        model.evaluate(rows, batch_size=8), rel=1e-3
    )


def test_whole_weights_take_no_backend(tiny_folder):
    with pytest.raises(SettingsError, match="backend is given.*generic_lora_int4"):
        in_scheme("generic_lora", tiny_folder, backend="native")


def test_an_unknown_backend_is_answered_with_the_nearest(tiny_folder):
    with pytest.raises(UnknownNameError, match="Did you mean 'native'"):
        in_scheme("generic_int4", tiny_folder, backend="nativ")


def test_a_backend_that_cannot_do_it_lists_those_that_can(tiny_folder):
    with pytest.raises(
        QuantizationError, match="torchao.*cannot keep int4.*These can: native"
    ):
        in_scheme("generic_int4", tiny_folder, backend="torchao")


def test_quantized_weights_are_not_quantized_anew(tiny_folder, tmp_path):
    in_scheme("generic_int8", tiny_folder).save(tmp_path / "int8")
    with pytest.raises(ModelError, match="quantized already, in int8 by native; int4"):
        in_scheme("generic_int4", tmp_path / "int8")


def test_an_adapter_is_refused_on_a_base_in_another_scheme(tiny_folder, rows, tmp_path):
    taught(in_scheme("generic_lora_int4", tiny_folder), rows, tmp_path / "out")
    in_scheme("generic_int8", tiny_folder).save(tmp_path / "int8")
    with pytest.raises(ModelError, match="in int8 by native; int4 by native is wanted"):
        BaseModel.load(tmp_path / "out", base=str(tmp_path / "int8"))


def test_broken_weights_are_named_while_loading(tiny_folder, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj.*1 weights.*NaN"):
        in_scheme("generic_int4", broken)


@pytest.mark.parametrize("name", ["generic_int4", "generic_lora_int4"])
def test_a_flipped_bit_is_found(name, tiny_folder, tmp_path):
    in_scheme(name, tiny_folder).save(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ModelError, match=f"{file.name} is damaged: its checksum"):
        BaseModel.load(tmp_path / "saved")


def test_peft_cannot_merge_into_packed_weights(tiny_folder):
    model = in_scheme("generic_lora_int4", tiny_folder)
    with pytest.raises(ModelError, match="would round the adapter away"):
        model.prepare_training().merge_and_unload()


def test_merging_leaves_no_trace_of_quantization(tiny_folder, tmp_path):
    model = in_scheme("generic_lora_int4", tiny_folder)
    model.prepare_training()
    model.merge().save(tmp_path / "merged")
    config = (tmp_path / "merged" / "config.json").read_text()
    assert "quantization" not in config
    assert not any(packed_weights(layer) for layer in model.engine.model.modules())


def test_loftq_starts_nearer_to_the_whole_model(tiny_folder):
    whole = tiny.logits(in_scheme("generic", tiny_folder))
    distances = []
    for start in ("default", "loftq"):
        model = GenericLoraInt4Model(tiny_folder)
        config = model.finetuning_config()
        config.lora_init, config.lora_rank = start, 16
        model.prepare_training().eval()
        distances.append((tiny.logits(model) - whole).norm())
    assert distances[1] < distances[0] / 1.3


def test_loftq_on_transposed_weights_too(tiny_gpt2_folder):
    whole = tiny.logits(in_scheme("generic", tiny_gpt2_folder))
    distances = []
    for start in ("default", "loftq"):
        model = GenericLoraInt4Model(tiny_gpt2_folder)
        model.finetuning_config().lora_init = start
        model.prepare_training().eval()
        distances.append((tiny.logits(model) - whole).norm())
    assert distances[1] < distances[0]


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_that_changes_the_base_is_refused_on_quantized_weights(
    start, tiny_folder
):
    model = in_scheme("generic_lora_int4", tiny_folder)
    model.finetuning_config().lora_init = start
    with pytest.raises(SettingsError, match=f"'{start}'.*Use 'loftq'"):
        model.prepare_training()


def test_a_head_that_is_tied_is_packed_beside_the_embeddings(
    tiny_gpt2_folder, tmp_path
):
    model = in_scheme("generic_int4", tiny_gpt2_folder)
    head = model.engine.model.get_output_embeddings()
    assert packed_weights(head)["weight"].scheme.name == "int8"
    model.save(tmp_path / "saved")
    loaded = BaseModel.load(tmp_path / "saved").engine.model
    assert packed_weights(loaded.get_output_embeddings())
    assert not packed_weights(loaded.get_input_embeddings())


def test_the_head_is_left_whole_when_it_is_skipped(tiny_gpt2_folder):
    skip = ["embeddings", "head"]
    model = in_scheme("generic_int4", tiny_gpt2_folder, skip=skip).engine.model
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    assert head.weight is embeddings.weight


def test_a_model_with_an_adapter_is_merged_before_it_is_quantized(tiny_model):
    tiny_model.prepare_training()
    with pytest.raises(ModelError, match=r"merge\(\)\.quantize"):
        tiny_model.quantize("int4")


def test_quantizing_leaves_the_model_as_it_was(tiny_full_model):
    before = tiny.logits(tiny_full_model)
    made = tiny_full_model.quantize("int2")
    assert torch.equal(tiny.logits(tiny_full_model), before)
    assert tiny_full_model.engine.quantization is None
    assert made.engine.quantization.scheme == "int2"


def test_four_bits_of_bitsandbytes_are_refused_where_its_kernels_misread_them(
    tiny_full_model,
):
    # A tiny model's layers have 32 inputs, and blocks of 64 weights cross their rows.
    with pytest.raises(QuantizationError, match="32 inputs.*Use the native backend"):
        tiny_full_model.quantize("nf4", "bitsandbytes")
