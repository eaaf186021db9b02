"""Folders as xTuring 0.1 wrote them, built here by the description of its format."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from xturing.core.errors import ModelError
from xturing.core.events import listening
from xturing.models import BaseModel, GenericLoraModel
from xturing.models.folders import CARD_FILE

RANK, ALPHA = 8, 16
TUNING = {
    "learning_rate": 0.0003,
    "gradient_accumulation_steps": 2,
    "batch_size": 4,
    "weight_decay": 0.02,
    "warmup_steps": 7,
    "eval_steps": 5000,
    "save_steps": 5000,
    "max_length": 300,
    "num_train_epochs": 5,
    "logging_steps": 10,
    "max_grad_norm": 2.0,
    "save_total_limit": 4,
    "optimizer_name": "adam",
    "output_dir": "saved_model",
}
WRITING = {
    "penalty_alpha": None,
    "top_k": 9,
    "top_p": None,
    "do_sample": True,
    "max_new_tokens": 33,
}
IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])


@dataclass
class Old:
    """A model of 0.1 in memory, before it is saved."""

    base: Path
    name: str
    layers: list[str]
    is_fused: bool = False
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self):
        self.model = AutoModelForCausalLM.from_pretrained(self.base)
        self.is_transposed = self.model.config.model_type == "gpt2"
        draw = torch.Generator().manual_seed(3)
        for layer in self.layers:
            weight = self.model.get_submodule(layer).weight
            into, out = weight.shape if self.is_transposed else weight.shape[::-1]
            shapes = [(RANK, into), (out, RANK)]
            if self.is_fused:
                shapes = [(2 * RANK, into), (out // 3 * 2, RANK, 1)]
            a, b = (torch.randn(shape, generator=draw) / 10 for shape in shapes)
            self.pairs[layer] = a, b

    def delta(self, layer: str) -> torch.Tensor:
        """Return what the adapter does to a layer, part by part, as (out, in)."""
        a, b = self.pairs[layer]
        if self.is_fused:
            third = b.shape[0] // 2
            query = b[:third, :, 0] @ a[:RANK]
            value = b[third:, :, 0] @ a[RANK:]
            return torch.cat([query, torch.zeros_like(query), value]) * ALPHA / RANK
        return b @ a * ALPHA / RANK

    @torch.no_grad()
    def merge(self) -> None:
        for layer in self.layers:
            delta = self.delta(layer)
            weight = self.model.get_submodule(layer).weight
            weight += delta.T if self.is_transposed else delta

    @torch.no_grad()
    def logits(self) -> torch.Tensor:
        self.model = AutoModelForCausalLM.from_pretrained(self.base)
        self.merge()
        return self.model(input_ids=IDS).logits

    def adapter(self) -> dict[str, torch.Tensor]:
        return {
            f"model.{layer}.lora_{letter}.weight": tensor
            for layer, pair in self.pairs.items()
            for letter, tensor in zip("AB", pair, strict=True)
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Return all weights, with buffers that models had at the time."""
        own = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        first = next(iter(self.pairs)).rpartition(".")[0]
        buffers = {
            f"model.{first}.rotary_emb.inv_freq": torch.ones(4),
            f"model.{first}.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
            f"model.{first}.masked_bias": torch.tensor(-1e4),
        }
        return own | buffers | self.adapter()

    def save(
        self,
        path: Path,
        *,
        state: bool = True,
        adapter: bool = True,
        card: bool = True,
        is_merged: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Path:
        """Write what `save` of 0.1 wrote, or a part of it."""
        path.mkdir()
        if is_merged:
            self.merge()
        self.model.config.save_pretrained(path)
        tiny.tokenizer(None).save_pretrained(path)
        if state:
            weights = {
                key: value.to(dtype) if value.is_floating_point() else value
                for key, value in self.state().items()
            }
            torch.save(weights, path / "pytorch_model.bin")
        if adapter:
            torch.save(self.adapter(), path / "adapter_model.bin")
            text = json.dumps(self.config(), indent=2, sort_keys=True)
            (path / "adapter_config.json").write_text(text)
        if card:
            write_card(path, self.name)
        return path

    def config(self) -> dict:
        return {
            "base_model_name_or_path": "acme/gone",
            "bias": "none",
            "enable_lora": [True, False, True] if self.is_fused else None,
            "fan_in_fan_out": self.is_fused and self.is_transposed,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": ALPHA,
            "lora_dropout": 0.05,
            "merge_weights": False,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": RANK,
            "target_modules": sorted({name.split(".")[-1] for name in self.layers}),
        }


def write_card(path: Path, name: str, **more) -> None:
    card = {"model_name": name} | more
    card |= {"finetuning_config": TUNING, "generation_config": WRITING}
    (path / CARD_FILE).write_text(json.dumps(card, ensure_ascii=False, indent=4))


def logits(model: BaseModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.engine.model(input_ids=IDS).logits


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-5)


def nearly(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether they differ by no more than 8 bits would have them."""
    return bool((one - other).norm() / other.norm() < 0.05)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTURING_HOME", str(tmp_path / "home"))


@pytest.fixture
def llama(tiny_folder) -> Old:
    """Return two plain targets, of which every layer of the model is adapted."""
    layers = [
        f"model.layers.{number}.self_attn.{target}"
        for number in (0, 1)
        for target in ("q_proj", "v_proj")
    ]
    return Old(tiny_folder, "llama_lora", layers)


@pytest.fixture
def gpt2(tiny_gpt2_folder) -> Old:
    """Return one target, the fused q, k and v of GPT-2."""
    layers = [f"transformer.h.{number}.attn.c_attn" for number in (0, 1)]
    return Old(tiny_gpt2_folder, "gpt2_lora", layers, is_fused=True)


@pytest.fixture(params=["llama", "gpt2"])
def old(request) -> Old:
    return request.getfixturevalue(request.param)


FORMS = {
    "all of it": {},
    "the state alone": {"adapter": False},
    "saved from a run": {"card": False},
    "saved again after loading": {"is_merged": True},
}


@pytest.mark.parametrize("parts", FORMS.values(), ids=FORMS)
def test_a_full_state_gives_the_logits_of_its_own_base(old, parts, tmp_path):
    loaded = BaseModel.load(old.save(tmp_path / "old", **parts))
    assert close(logits(loaded), old.logits())


def test_an_adapter_alone_gives_the_logits_of_its_base(old, tmp_path):
    folder = old.save(tmp_path / "old", state=False)
    loaded = BaseModel.load(folder, base=str(old.base))
    assert close(logits(loaded), old.logits())


def test_a_base_that_is_named_takes_the_place_of_the_folders_own(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    loaded = BaseModel.load(folder, base=str(llama.base))
    assert loaded.base_folder == llama.base
    assert close(logits(loaded), llama.logits())


def test_an_adapter_alone_finds_the_base_folder_that_it_names(llama, tmp_path):
    folder = llama.save(tmp_path / "old", state=False)
    named = llama.config() | {"base_model_name_or_path": str(llama.base)}
    (folder / "adapter_config.json").write_text(json.dumps(named))
    assert close(logits(BaseModel.load(folder)), llama.logits())


def test_an_adapter_alone_needs_the_checkpoint_of_its_family(
    llama, tmp_path, put_family
):
    folder = llama.save(tmp_path / "old", state=False)
    put_family(lambda family: asked.append(family.name) or _here(llama.base))
    asked: list[str] = []
    assert close(logits(BaseModel.load(folder)), llama.logits())
    assert asked == ["llama"]


@pytest.fixture
def put_family(monkeypatch) -> Callable:
    """Return what puts a function in the place of `locate_family`."""
    from xturing.models import opening

    return lambda found: monkeypatch.setattr(opening, "locate_family", found)


def _here(folder: Path):
    from xturing.models.hub import Location

    return Location(folder, str(folder))


@pytest.mark.parametrize("parts", FORMS.values(), ids=FORMS)
def test_an_old_model_is_saved_in_todays_form_and_loads_again(old, parts, tmp_path):
    loaded = BaseModel.load(old.save(tmp_path / "old", **parts))
    loaded.save(tmp_path / "new")
    again = BaseModel.load(tmp_path / "new")
    assert json.loads((tmp_path / "new" / CARD_FILE).read_text())["schema_version"] == 1
    assert again.config_name == loaded.config_name
    assert torch.equal(logits(again), logits(loaded))


def test_an_old_adapter_is_saved_without_its_base__predecessor_fault_21(old, tmp_path):
    BaseModel.load(old.save(tmp_path / "old")).save(tmp_path / "new")
    files = [*(tmp_path / "new").glob("*.safetensors"), *tmp_path.glob("new/*.bin")]
    assert [file.name for file in files] == ["adapter_model.safetensors"]
    with safe_open(files[0], "pt") as tensors:
        assert all("lora_" in name for name in tensors.keys())  # noqa: SIM118


def test_peft_opens_an_old_adapter_that_was_saved_again__predecessor_fault_21(
    old, tmp_path
):
    from peft import AutoPeftModelForCausalLM

    BaseModel.load(old.save(tmp_path / "old")).save(tmp_path / "new")
    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "new")
    with torch.inference_mode():
        assert close(theirs(input_ids=IDS).logits, old.logits())


def test_an_old_adapter_merges_to_the_same_logits(old, tmp_path):
    merged = BaseModel.load(old.save(tmp_path / "old")).merge()
    assert torch.allclose(logits(merged), old.logits(), atol=1e-4)
    merged.save(tmp_path / "merged")
    assert torch.equal(logits(BaseModel.load(tmp_path / "merged")), logits(merged))


def test_loading_changes_nothing_in_the_folder(old, tmp_path):
    folder = old.save(tmp_path / "old")
    before = contents(folder)
    BaseModel.load(folder).save(tmp_path / "new")
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
    }


def test_half_precision_is_kept_as_it_is(llama, tmp_path):
    folder = llama.save(tmp_path / "old", dtype=torch.float16)
    llama.base = tmp_path / "half"
    llama.model.half().float().save_pretrained(llama.base)
    assert close(logits(BaseModel.load(folder)), llama.logits())


def test_the_base_is_converted_once__predecessor_fault_22(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    notices: list[str] = []
    with listening(lambda event: notices.append(event.text)):
        BaseModel.load(folder)
        BaseModel.load(folder)
    assert notices == ["Converting pytorch_model.bin (once, about half a minute)"]


def test_a_fused_guess_for_a_plain_layer_is_undone__predecessor_fault_15(tmp_path):
    config = tiny.llama_config()
    config.intermediate_size = 48
    base = tmp_path / "base"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    layers = [f"model.layers.{number}.mlp.up_proj" for number in (0, 1)]
    old = Old(base, "generic_lora", layers, is_fused=True)
    loaded = BaseModel.load(old.save(tmp_path / "old"))
    assert close(logits(loaded), old.logits())
    assert loaded.finetuning_config().lora_targets == ("up_proj",)


def test_a_fused_layer_of_gpt2_keeps_its_keys_as_they_were__predecessor_fault_15(
    gpt2, tmp_path
):
    loaded = BaseModel.load(gpt2.save(tmp_path / "old"))
    layer = loaded.engine.model.base_model.model.transformer.h[0].attn.c_attn
    delta = layer.get_delta_weight("default").T
    assert torch.count_nonzero(delta[32:64]) == 0
    assert torch.allclose(delta, gpt2.delta(gpt2.layers[0]), atol=1e-6)


def test_an_adapter_of_some_layers_leaves_the_others_alone(tiny_folder, tmp_path):
    old = Old(tiny_folder, "generic_lora", ["model.layers.1.self_attn.q_proj"])
    loaded = BaseModel.load(old.save(tmp_path / "old"))
    assert close(logits(loaded), old.logits())
    assert loaded.finetuning_config().lora_targets == tuple(old.layers)


def test_an_old_generic_adapter_is_loaded__predecessor_fault_13(
    tiny_folder, gpt2, llama, tmp_path
):
    for number, old in enumerate((gpt2, llama)):
        old.name = "generic_lora"
        loaded = BaseModel.load(old.save(tmp_path / f"old-{number}"))
        assert loaded.config_name == "generic_lora"
        assert close(logits(loaded), old.logits())


def test_a_checkpoint_of_an_old_run_is_loaded__predecessor_fault_19(llama, tmp_path):
    folder = llama.save(tmp_path / "saved_model", card=False)
    (folder / "epoch=0.ckpt").write_bytes(b"Lightning's")
    loaded = BaseModel.load(folder)
    assert loaded.config_name == "generic_lora"
    assert close(logits(loaded), llama.logits())


def test_old_settings_are_restored__predecessor_fault_12(llama, tmp_path):
    loaded = BaseModel.load(llama.save(tmp_path / "old"))
    tuning, writing = loaded.finetuning_config(), loaded.generation_config()
    saved = {name: getattr(tuning, name) for name in TUNING}
    assert saved == TUNING
    assert {name: getattr(writing, name) for name in WRITING} == WRITING
    assert tuning.sources["learning_rate"] == "saved model"


def test_an_old_adapter_tells_its_settings(old, tmp_path):
    tuning = BaseModel.load(old.save(tmp_path / "old")).finetuning_config()
    # Both parts of a fused layer have the rank, so the whole has twice that.
    ranks = 2 if old.is_fused else 1
    assert (tuning.lora_rank, tuning.lora_alpha) == (RANK * ranks, ALPHA * ranks)
    assert tuning.lora_targets == tuple(old.config()["target_modules"])


def test_settings_that_are_gone_or_wrong_are_left_at_their_defaults(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    card = json.loads((folder / CARD_FILE).read_text())
    card["finetuning_config"] |= {"lora_r": 32, "batch_size": "many"}
    card["generation_config"] |= {"max_new_tokens": None}
    (folder / CARD_FILE).write_text(json.dumps(card))
    notices: list[str] = []
    with listening(lambda event: notices.append(event.text)):
        loaded = BaseModel.load(folder)
    assert loaded.finetuning_config().batch_size == 1
    assert loaded.finetuning_config().learning_rate == TUNING["learning_rate"]
    assert loaded.generation_config().max_new_tokens == 256
    told = [text for text in notices if "left at its default" in text]
    assert len(told) == 2
    assert any("batch_size is 'many'" in text for text in told)


def test_the_adapter_of_an_8_bit_variant_opens_on_8_bit_weights(llama, tmp_path):
    llama.name = "llama_lora_int8"
    loaded = BaseModel.load(llama.save(tmp_path / "old"))
    assert loaded.engine.quantization.scheme == "int8"
    assert nearly(logits(loaded), llama.logits())


def test_8_bit_base_weights_are_not_used(llama, tmp_path, put_family):
    llama.name = "llama_lora_int8"
    folder = llama.save(tmp_path / "old")
    state = torch.load(folder / "pytorch_model.bin")
    key = f"model.{llama.layers[0]}.weight"
    state[key] = state[key].to(torch.int8)
    torch.save(state, folder / "pytorch_model.bin")
    put_family(lambda family: _here(llama.base))
    assert nearly(logits(BaseModel.load(folder)), llama.logits())


def test_other_weights_than_the_base_had_are_refused__predecessor_fault_23(
    llama, tiny_gpt2_folder, tmp_path
):
    folder = llama.save(tmp_path / "old", state=False)
    with pytest.raises(
        ModelError, match=r"layers\.0\.self_attn\.q_proj, which GPT2LMHeadModel .*base="
    ):
        BaseModel.load(folder, base=str(tiny_gpt2_folder))


def test_an_adapter_of_another_size_is_refused__predecessor_fault_23(llama, tmp_path):
    folder = llama.save(tmp_path / "old", state=False)
    state = {key: value[:, :-1] for key, value in llama.adapter().items()}
    torch.save(state, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"(?s)does not fit its base model.*base="):
        BaseModel.load(folder, base=str(llama.base))


def test_a_state_that_lacks_weights_is_refused__predecessor_fault_23(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    state = torch.load(folder / "pytorch_model.bin")
    del state["model.model.layers.1.mlp.up_proj.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"lacks 1 weights .*1\.mlp\.up_proj.*base="):
        BaseModel.load(folder)


def test_a_state_that_lacks_an_adapted_weight_is_refused(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    state = torch.load(folder / "pytorch_model.bin")
    del state[f"model.{llama.layers[0]}.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"cannot be opened .*0\.self_attn\.q_proj"):
        BaseModel.load(folder)


def test_half_of_a_pair_is_refused(llama, tmp_path):
    folder = llama.save(tmp_path / "old", state=False)
    state = llama.adapter()
    del state[f"model.{llama.layers[0]}.lora_B.weight"]
    torch.save(state, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.bin lacks .*lora_B"):
        BaseModel.load(folder, base=str(llama.base))


def test_an_old_adapter_is_not_dropped_by_opening_its_weights_alone(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    with pytest.raises(ModelError, match=r"BaseModel\.load\("):
        BaseModel.create("llama_lora", weights_path=folder)
    with pytest.raises(ModelError, match=r"BaseModel\.load\("):
        GenericLoraModel(folder)


@pytest.fixture
def full(tiny_gpt2_folder, tmp_path) -> Path:
    """Return a folder of a model that was fine-tuned in all its weights."""
    folder = tmp_path / "full"
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder)
    AutoConfig.from_pretrained(tiny_gpt2_folder).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_gpt2_folder).save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    ("name", "more"), [("gpt2", {}), ("generic", {"engine_name": "acme/acme-1b"})]
)
def test_an_old_fully_tuned_model_is_loaded(
    full, tiny_gpt2_folder, tmp_path, name, more
):
    write_card(full, name, **more)
    loaded = BaseModel.load(full)
    assert loaded.config_name == name
    assert loaded.finetuning_config().num_train_epochs == 5
    theirs = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder)
    with torch.no_grad():
        assert close(logits(loaded), theirs(input_ids=IDS).logits)
    loaded.save(tmp_path / "new")
    assert torch.equal(logits(BaseModel.load(tmp_path / "new")), logits(loaded))
    card = json.loads((tmp_path / "new" / CARD_FILE).read_text())
    assert card["base"]["checkpoint"] == more.get("engine_name", str(full))


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("save", [torch.save, partial(pickle.dump, protocol=2)])
def test_a_pickle_that_runs_code_is_refused__predecessor_fault_45(
    full, llama, tmp_path, monkeypatch, save
):
    monkeypatch.chdir(tmp_path)
    folder = llama.save(tmp_path / "old")
    for file in (
        folder / "adapter_model.bin",
        full / "pytorch_model.bin",
        folder / "pytorch_model.bin",
    ):
        with file.open("wb") as opened:
            save({"model.x.lora_A.weight": Bomb()}, opened)
        with pytest.raises(ModelError, match=rf"{file.name} holds more than tensors"):
            BaseModel.load(file.parent)
        file.unlink()
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_of_other_values_is_refused(llama, tmp_path):
    folder = llama.save(tmp_path / "old", state=False)
    torch.save({"model.x.lora_A.weight": [1.0]}, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="holds more than tensors"):
        BaseModel.load(folder, base=str(llama.base))


@pytest.fixture
def adapter(tiny_folder, tmp_path) -> Path:
    GenericLoraModel(tiny_folder).save(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def plain(tiny_folder, tmp_path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "plain")


@pytest.fixture
def old_adapter(llama, tmp_path) -> Path:
    return llama.save(tmp_path / "old", state=False)


@pytest.fixture
def old_state(llama, tmp_path) -> Path:
    return llama.save(tmp_path / "old-state", adapter=False)


WEIGHTS = {
    "plain": "model.safetensors",
    "adapter": "adapter_model.safetensors",
    "full": "pytorch_model.bin",
    "old_adapter": "adapter_model.bin",
    "old_state": "pytorch_model.bin",
}


@pytest.mark.parametrize("kept", [0.0, 1e-4, 0.01, 0.5, 0.9999])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_file_that_is_cut_short_is_named(kind, kept, request):
    file = request.getfixturevalue(kind) / WEIGHTS[kind]
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ModelError, match=rf"{WEIGHTS[kind]} is damaged.*again"):
        BaseModel.load(file.parent)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_file_of_something_else_is_named(kind, request):
    file = request.getfixturevalue(kind) / WEIGHTS[kind]
    file.write_text("<html>404 Not Found</html>" * 99)
    with pytest.raises(ModelError, match=rf"{WEIGHTS[kind]} is damaged"):
        BaseModel.load(file.parent)


def test_a_broken_adapter_config_is_named(llama, tmp_path):
    folder = llama.save(tmp_path / "old")
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json cannot be read"):
        BaseModel.load(folder)
