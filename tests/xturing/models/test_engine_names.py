"""Engines by the predecessor's keys: doors to what models have."""

from types import SimpleNamespace

import pytest
import tiny
import torch

from xturing.core.errors import UnknownNameError
from xturing.models import BaseEngine, BaseModel, Variant
from xturing.models.engine_keys import model_name

# The 46 keys of 0.1.8, its last release, by the model that each of them belongs to.
PLAIN = ("", "_lora", "_int8", "_lora_int8")
REGULAR = {
    f"{family}{suffix}_engine": f"{family}{suffix}"
    for suffixes, families in {
        PLAIN: ("bloom", "cerebras", "galactica", "gptj", "opt"),
        (*PLAIN, "_lora_kbit"): ("falcon", "llama", "llama2"),
        ("", "_lora"): ("distilgpt2", "gpt2", "generic"),
        ("_lora_kbit",): ("generic",),
    }.items()
    for family in families
    for suffix in suffixes
}
KEYS = REGULAR | {
    "gpt2_engine_int8": "gpt2_int8",
    "gpt2_lora_engine_int8": "gpt2_lora_int8",
    "generic_engine_int8": "generic_int8",
    "generic_lora_engine_int8": "generic_lora_int8",
}


def test_the_predecessor_had_46_engines():
    assert len(KEYS) == 46


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_predecessor_names_a_model_of_today(key):
    assert Variant.parse(model_name(key)).name == KEYS[key]


def test_the_key_that_0_1_6_misspelt_is_read_as_it_was_meant():
    assert model_name("generic+lora_kbit_engine") == "generic_lora_kbit"


def test_every_model_has_an_engine_by_its_name():
    for variant in Variant.all():
        assert model_name(f"{variant.name}_engine") == variant.name


def test_an_engine_is_what_a_model_of_the_name_has(tiny_folder):
    engine = BaseEngine.create("generic_engine", weights_path=tiny_folder)
    model = BaseModel.create("generic", weights_path=tiny_folder)
    assert type(engine) is type(model.engine)
    assert torch.equal(tiny.logits(SimpleNamespace(engine=engine)), tiny.logits(model))


def test_an_engine_takes_the_options_of_its_model(tiny_folder):
    engine = BaseEngine.create("generic_engine_int8", model_name=str(tiny_folder))
    assert engine.quantization is not None
    assert engine.quantization.scheme == "int8"


def test_a_model_that_was_added_has_an_engine(tiny_full_model):
    BaseModel.add_to_registry("test_only_other", lambda: tiny_full_model)
    assert BaseEngine.create("test_only_other_engine") is tiny_full_model.engine


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("gpt2_lora", "gpt2_lora_engine"),
        ("lama_lora_engine", "llama_lora_engine"),
        ("generic_engine_int", "generic_engine_int8"),
    ],
)
def test_a_wrong_key_is_answered_with_the_nearest(key, nearest):
    with pytest.raises(UnknownNameError, match=f"no engine '{key}'.*'{nearest}'"):
        BaseEngine.create(key)
