import sys

import pytest

import xturing.models
from xturing.core.errors import SettingsError, UnknownNameError
from xturing.models import BaseModel, Variant, families
from xturing.models.settings import FinetuningConfig

# The predecessor's families in its five variants, and a name of its first tutorials.
PREDECESSORS = [
    *(
        name + suffix
        for name in (
            "bloom cerebras distilgpt2 falcon galactica gpt2 gptj llama llama2 opt "
            "generic mamba minimax_m2 gpt_oss_20b gpt_oss_120b qwen3_0_6b mistral "
            "mistral_7b ministral_3_14b mixtral"
        ).split()
        for suffix in ("", "_lora", "_int8", "_lora_int8", "_lora_kbit")
    ),
    "llama_lora_int4",
]
# Who publishes the checkpoints: their makers, not whoever has uploaded a copy.
OWNERS = set(
    "EleutherAI HuggingFaceTB MiniMaxAI Qwen allenai bigscience cerebras deepseek-ai "
    "distilbert facebook google huggyllama meta-llama microsoft mistralai openai "
    "openai-community state-spaces tiiuae".split()
)
ALL_FAMILIES = list(families().values())
EVERY_FAMILY = pytest.mark.parametrize(
    "family", ALL_FAMILIES, ids=lambda family: family.name
)
VARIANTS = Variant.all()
CHECKPOINTS = [family for family in ALL_FAMILIES if family.checkpoint]


def variants_of(family):
    return [variant for variant in VARIANTS if variant.family is family]


@EVERY_FAMILY
def test_every_name_reads_back(family):
    for variant in variants_of(family):
        assert Variant.parse(variant.name) == variant


@EVERY_FAMILY
def test_every_alias_leads_to_the_same_variants(family):
    for alias in family.aliases:
        for variant in variants_of(family):
            assert Variant.parse(variant.spelt(alias)) == variant


@EVERY_FAMILY
def test_every_variant_has_settings(family):
    for variant in variants_of(family):
        assert variant.finetuning_config().learning_rate > 0
        assert variant.generation_config().max_new_tokens > 0


def test_no_name_and_no_class_stands_for_two():
    names = [
        variant.spelt(name)
        for variant in Variant.all()
        for name in (variant.family.name, *variant.family.aliases)
    ]
    classes = [variant.class_name for variant in Variant.all()]
    assert len(set(names)) == len(names)
    assert len(set(classes)) == len(classes)
    assert all(name.isidentifier() for name in classes)


def test_every_family_leads_to_a_checkpoint_of_its_own():
    checkpoints = [family.checkpoint for family in CHECKPOINTS]
    assert len(set(checkpoints)) == len(checkpoints)
    owners = {checkpoint.partition("/")[0] for checkpoint in checkpoints}
    assert owners == OWNERS


@pytest.mark.parametrize("name", PREDECESSORS)
def test_the_names_of_the_predecessor_are_there(name):
    assert Variant.parse(name).name


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no model 'lama_lora'.*'llama_lora'"):
        BaseModel.create("lama_lora")


def test_a_name_like_no_other_is_not_answered_with_hundreds():
    with pytest.raises(UnknownNameError, match=r"None of the \d+ names") as caught:
        BaseModel.create("zzzz")
    assert len(str(caught.value)) < 300


def test_each_variant_of_a_checkpoint_has_a_class():
    for variant in Variant.all():
        if variant.family.checkpoint:
            door = getattr(xturing.models, variant.class_name)
            assert issubclass(door, BaseModel), variant.name


def test_a_class_that_is_no_variant_is_not_there():
    with pytest.raises(AttributeError, match="NoSuchModel"):
        _ = xturing.models.NoSuchModel


def test_settings_tell_which_layer_they_come_from():
    config = Variant.parse("bloom_lora").finetuning_config()
    assert config.batch_size == 4
    assert config.learning_rate == 1e-4
    assert config.sources["batch_size"] == "family bloom"
    assert config.sources["learning_rate"] == "adapter lora"
    assert config.sources["weight_decay"] == "every model"
    assert config.sources["seed"] == "default"


def test_a_scheme_is_a_layer_of_its_own():
    config = Variant.parse("bloom_int8").finetuning_config()
    assert config.sources["batch_size"] == "scheme int8"
    assert config.sources["max_length"] == "scheme int8"


# The predecessor's defaults: learning rate, rows per batch, longest row, epochs.
DEFAULTS = {
    "bloom": (5e-5, 1, 512, 3),
    "bloom_lora": (1e-4, 4, 512, 3),
    "cerebras_lora": (1e-4, 4, 512, 3),
    "opt_lora": (1e-4, 1, 512, 3),
    **{
        f"{name}_{scheme}": (1e-4, 8, 256, 3)
        for name in ("bloom", "cerebras", "galactica", "gptj", "llama", "opt")
        for scheme in ("int8", "lora_int8")
    },
    "gpt2": (1e-3, 8, 512, 3),
    "gpt2_lora": (3e-3, 16, 512, 3),
    "gpt2_int8": (3e-3, 16, 512, 3),
    "gpt2_lora_int8": (3e-3, 16, 512, 3),
    "distilgpt2_lora": (3e-3, 16, 512, 3),
    "falcon": (5e-5, 1, 256, 3),
    "falcon_lora": (1e-4, 1, 512, 3),
    "falcon_int8": (1e-4, 1, 256, 3),
    "falcon_lora_int8": (1e-4, 8, 256, 3),
    "falcon_lora_kbit": (1e-4, 8, 256, 3),
    "generic_int8": (1e-4, 8, 256, 3),
    "generic_lora_kbit": (1e-4, 8, 256, 3),
    "llama_lora_kbit": (3e-4, 1, 256, 3),
    **{
        name + suffix: (5e-5, 1, 512, 3)
        for name in ("llama2", "mistral")
        for suffix in ("", "_lora", "_int8", "_lora_int8", "_lora_kbit")
    },
    "mamba": (5e-5, 1, 512, 1),
    "qwen3_0_6b": (5e-5, 1, 512, 3),
    "qwen3_0_6b_lora": (1e-4, 4, 512, 3),
    "qwen3_0_6b_int8": (1e-4, 4, 256, 3),
    "qwen3_0_6b_lora_int8": (1e-4, 8, 256, 3),
    "qwen3_0_6b_lora_kbit": (1e-4, 4, 512, 3),
    "gpt_oss_20b": (5e-5, 2, 2048, 2),
    "gpt_oss_20b_lora": (3e-4, 4, 2048, 3),
    "gpt_oss_20b_int8": (2e-4, 4, 2048, 3),
    "gpt_oss_20b_lora_int8": (3e-4, 8, 2048, 3),
    "gpt_oss_20b_lora_kbit": (3e-4, 16, 2048, 3),
    **{
        name + suffix: values
        for name in ("gpt_oss_120b", "minimax_m2")
        for suffix, values in {
            "": (1e-5, 1, 2048, 1),
            "_lora": (2e-4, 2, 2048, 3),
            "_int8": (1e-4, 2, 2048, 2),
            "_lora_int8": (2e-4, 4, 2048, 3),
            "_lora_kbit": (2e-4, 8, 2048, 3),
        }.items()
    },
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_those_of_the_predecessor(name):
    config = Variant.parse(name).finetuning_config()
    values = (
        config.learning_rate,
        config.batch_size,
        config.max_length,
        config.num_train_epochs,
    )
    assert values == DEFAULTS[name]


@pytest.mark.parametrize("family", CHECKPOINTS, ids=lambda family: family.name)
@pytest.mark.parametrize("adapter", ["", "_lora"])
def test_fewer_bits_than_eight_are_tuned_alike(family, adapter):
    kbit, *others = (
        Variant.parse(f"{family.name}{adapter}_{scheme}").finetuning_config()
        for scheme in ("kbit", "int4", "int3", "int2", "int1")
    )
    assert all(other.model_dump() == kbit.model_dump() for other in others)


@pytest.mark.parametrize(
    ("name", "decoding", "source"),
    [
        ("llama_lora", "contrastive", "family llama"),
        ("llama_lora_int8", "greedy", "scheme int8"),
        ("llama_lora_kbit", "greedy", "scheme kbit"),
        ("gpt2_lora", "nucleus", "family gpt2"),
        ("gpt2_lora_int8", "nucleus", "family gpt2"),
        ("falcon", "greedy", "family falcon"),
        ("generic_lora", "greedy", "family generic"),
    ],
)
def test_a_scheme_decides_how_a_variant_writes_unless_its_family_does(
    name, decoding, source
):
    config = Variant.parse(name).generation_config()
    assert config.sources["do_sample"] == f"decoding {decoding} of {source}"
    assert (config.penalty_alpha is not None) == (decoding == "contrastive")
    assert config.do_sample == (decoding == "nucleus")


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("llama", None),
        ("llama_int8", "int8"),
        ("llama_kbit", "int4"),
        ("opt_int1", "int1"),
    ],
)
def test_a_variant_knows_how_its_weights_are_kept(name, quantization):
    assert Variant.parse(name).quantization == quantization


@pytest.mark.parametrize("scheme", ["Int8", "Kbit", "Int4", "Int3", "Int2", "Int1"])
@pytest.mark.parametrize("adapter", ["", "Lora"])
def test_any_checkpoint_opens_in_every_scheme(adapter, scheme, tiny_folder):
    door = getattr(xturing.models, f"Generic{adapter}{scheme}Model")
    options = {"target_modules": ["q_proj"]} if adapter else {}
    model = door(tiny_folder, **options)
    assert model.config_name == f"generic{'_lora' * bool(adapter)}_{scheme.lower()}"
    assert type(model).__name__ == f"Generic{adapter}{scheme}Model"


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
