import sys

import pytest

import xturing.models
from xturing.core.errors import SettingsError, UnknownNameError
from xturing.models import BaseModel, Variant, families
from xturing.models.settings import FinetuningConfig


@pytest.mark.parametrize("variant", Variant.all(), ids=lambda variant: variant.name)
def test_every_name_reads_back(variant):
    assert Variant.parse(variant.name) == variant


@pytest.mark.parametrize("variant", Variant.all(), ids=lambda variant: variant.name)
def test_every_variant_has_settings(variant):
    assert variant.finetuning_config().learning_rate > 0
    assert variant.generation_config().max_new_tokens > 0


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no model 'lama_lora'.*'llama_lora'"):
        BaseModel.create("lama_lora")


def test_each_variant_of_a_checkpoint_has_a_class():
    for variant in Variant.all():
        if variant.family.checkpoint:
            door = getattr(xturing.models, variant.class_name)
            assert issubclass(door, BaseModel), variant.name


def test_a_class_that_is_no_variant_is_not_there():
    with pytest.raises(AttributeError, match="NoSuchModel"):
        _ = xturing.models.NoSuchModel


def test_names_of_the_predecessor_are_there():
    names = (
        "bloom cerebras distilgpt2 falcon galactica gpt2 gptj llama llama2 opt generic"
    )
    for name in names.split():
        for suffix in ("", "_lora"):
            Variant.parse(name + suffix)


def test_settings_tell_which_layer_they_come_from():
    config = Variant.parse("bloom_lora").finetuning_config()
    assert config.batch_size == 4
    assert config.learning_rate == 1e-4
    assert config.sources["batch_size"] == "family bloom"
    assert config.sources["learning_rate"] == "adapter lora"
    assert config.sources["weight_decay"] == "every model"
    assert config.sources["seed"] == "default"


def test_a_family_sets_only_settings_that_there_are():
    known = set(FinetuningConfig.model_fields)
    for family in families().values():
        for layer in family.tuning.values():
            assert set(layer) <= known, family.name


def test_a_name_can_be_added_and_is_created_by_its_factory(tiny_full_model):
    BaseModel.add_to_registry("test_only_model", lambda: tiny_full_model)
    assert BaseModel.create("test_only_model") is tiny_full_model


def test_a_name_that_is_taken_cannot_be_added():
    with pytest.raises(SettingsError, match="'llama' is a model already"):
        BaseModel.add_to_registry("llama", BaseModel)


def test_a_family_without_weights_asks_for_them():
    with pytest.raises(Exception, match="'generic' has no checkpoint of its own"):
        BaseModel.create("generic")


def test_a_plug_in_can_bring_a_family(monkeypatch):
    from importlib.metadata import EntryPoint

    from xturing.core import registry
    from xturing.models.family import Family

    module = type(sys)("xturing_test_plugin")
    module.FAMILY = Family(name="acme", title="Acme", checkpoint="acme/acme-1b")
    monkeypatch.setitem(sys.modules, "xturing_test_plugin", module)
    point = EntryPoint("acme", "xturing_test_plugin:FAMILY", "xturing.families")
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [point] if group == "xturing.families" else [],
    )
    assert Variant.parse("acme_lora").family.checkpoint == "acme/acme-1b"
