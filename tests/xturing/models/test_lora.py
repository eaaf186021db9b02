"""What LoRA can be set to, beyond its rank and its targets."""

import math

import pytest
import tiny
import torch

from xturing.core.errors import ModelError, SettingsError
from xturing.models import BaseModel, GenericLoraModel, GenericModel

STARTS_FROM_WEIGHTS = ["pissa", "olora"]


def adapted(folder, **settings):
    """Return a LoRA model with a fresh adapter, set up so."""
    model = GenericLoraModel(folder)
    for name, value in settings.items():
        setattr(model.finetuning_config(), name, value)
    model.prepare_training()
    model.engine.model.eval()
    return model


def layer(model, name: str):
    """Return the first adapted layer whose name ends so."""
    modules = model.engine.model.named_modules()
    return next(module for path, module in modules if path.endswith(name))


def change(model) -> None:
    """Move the adapter, as training would."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.engine.model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)


def test_rslora_scales_by_the_root_of_the_rank(tiny_folder):
    settings = {"lora_rank": 4, "lora_alpha": 6.0}
    plain = adapted(tiny_folder, **settings)
    stable = adapted(tiny_folder, **settings, lora_rslora=True)
    assert layer(plain, "q_proj").scaling["default"] == 6 / 4
    assert layer(stable, "q_proj").scaling["default"] == 6 / math.sqrt(4)


@pytest.mark.parametrize("fixture", ["tiny_folder", "tiny_gpt2_folder"])
def test_dora_learns_lengths_too(fixture, rows, tmp_path, request):
    model = adapted(request.getfixturevalue(fixture), lora_dora=True)

    def lengths():
        parameters = model.engine.model.named_parameters()
        return {
            name: value.detach().clone()
            for name, value in parameters
            if "lora_magnitude_vector" in name
        }

    config = model.finetuning_config()
    config.output_dir = str(tmp_path / "out")
    config.learning_rate = 1e-2
    config.max_steps = 2
    before = lengths()
    report = model.finetune(rows)
    after = lengths()
    assert before
    assert all(not torch.equal(before[name], after[name]) for name in before)
    loaded = BaseModel.load(report.output_dir)
    assert torch.equal(tiny.logits(loaded), tiny.logits(model))


@pytest.mark.parametrize("start", ["default", "gaussian", *STARTS_FROM_WEIGHTS])
def test_every_start_has_the_logits_of_the_base_model(start, tiny_folder):
    base = tiny.logits(GenericModel(tiny_folder))
    model = adapted(tiny_folder, lora_init=start)
    assert torch.allclose(tiny.logits(model), base, atol=1e-3)


def test_pissa_starts_with_the_base_models_logits_for_transposed_weights(
    tiny_gpt2_folder,
):
    base = tiny.logits(GenericModel(tiny_gpt2_folder))
    model = adapted(tiny_gpt2_folder, lora_init="pissa")
    assert torch.allclose(tiny.logits(model), base, atol=1e-3)


@pytest.mark.parametrize("start", STARTS_FROM_WEIGHTS)
def test_an_adapter_that_starts_from_the_weights_takes_parts_of_them(
    start, tiny_folder
):
    model = adapted(tiny_folder, lora_init=start)
    assert layer(model, "q_proj").lora_B["default"].weight.any()


@pytest.mark.parametrize("start", STARTS_FROM_WEIGHTS)
def test_an_adapter_that_starts_from_the_weights_is_loaded_as_it_was(
    start, tiny_folder, tmp_path
):
    model = adapted(tiny_folder, lora_init=start)
    untrained = tiny.logits(model)
    change(model)
    model.save(tmp_path / "out")
    loaded = BaseModel.load(tmp_path / "out")
    assert not torch.allclose(tiny.logits(model), untrained, atol=1e-2)
    assert torch.equal(tiny.logits(loaded), tiny.logits(model))


@pytest.mark.parametrize("start", STARTS_FROM_WEIGHTS)
def test_an_adapter_that_starts_from_the_weights_can_be_merged(start, tiny_folder):
    model = adapted(tiny_folder, lora_init=start)
    change(model)
    expected = tiny.logits(model)
    assert torch.allclose(tiny.logits(model.merge()), expected, atol=1e-3)


def test_olora_is_refused_for_transposed_weights(tiny_gpt2_folder):
    with pytest.raises(SettingsError, match="'olora'.*transposed.*Use 'pissa'"):
        adapted(tiny_gpt2_folder, lora_init="olora")


def test_loftq_is_refused_where_nothing_is_quantized(tiny_folder):
    with pytest.raises(SettingsError, match="'loftq'.*these are whole"):
        adapted(tiny_folder, lora_init="loftq")


def test_patterns_give_layers_another_rank_and_alpha(tiny_folder):
    model = adapted(
        tiny_folder,
        lora_rank=4,
        lora_alpha=8.0,
        lora_rank_pattern={"v_proj": 2, r"layers\.1\.mlp\.up_proj": 6},
        lora_alpha_pattern={"v_proj": 3.0},
    )
    ranks = {
        name: layer(model, name).r["default"]
        for name in ("q_proj", "v_proj", "0.mlp.up_proj", "1.mlp.up_proj")
    }
    assert ranks == {"q_proj": 4, "v_proj": 2, "0.mlp.up_proj": 4, "1.mlp.up_proj": 6}
    assert layer(model, "v_proj").scaling["default"] == 3 / 2
    assert layer(model, "q_proj").scaling["default"] == 8 / 4


@pytest.mark.parametrize("setting", ["lora_rank_pattern", "lora_alpha_pattern"])
def test_a_pattern_for_no_layer_is_refused_with_those_there_are(setting, tiny_folder):
    with pytest.raises(ModelError, match=f"{setting} has 'c_attn'.*q_proj"):
        adapted(tiny_folder, **{setting: {"c_attn": 2}})


def test_a_pattern_for_a_layer_that_is_not_adapted_is_refused(tiny_folder):
    model = GenericLoraModel(tiny_folder, target_modules=["q_proj"])
    model.finetuning_config().lora_rank_pattern = {"v_proj": 2}
    with pytest.raises(ModelError, match=r"'v_proj'.*They are q_proj\."):
        model.prepare_training()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lora_rslora", True),
        ("lora_dora", True),
        ("lora_init", "pissa"),
        ("lora_rank_pattern", {"q_proj": 2}),
        ("lora_alpha_pattern", {"q_proj": 2.0}),
    ],
)
def test_an_adapter_that_is_there_cannot_be_set_up_anew(
    setting, value, tiny_folder, tmp_path
):
    adapted(tiny_folder).save(tmp_path / "out")
    loaded = BaseModel.load(tmp_path / "out")
    setattr(loaded.finetuning_config(), setting, value)
    with pytest.raises(SettingsError, match=f"{setting} is .* has an adapter with"):
        loaded.prepare_training()
    again = adapted(tiny_folder, **{setting: value})
    again.save(tmp_path / "again")
    BaseModel.load(tmp_path / "again").prepare_training()
