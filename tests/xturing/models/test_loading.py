import json
import shutil
import socket
from fnmatch import fnmatch

import huggingface_hub.constants
import pytest
import torch
from safetensors import safe_open
from tiny import logits

from xturing.core.errors import DownloadError, ModelError, OutputError, SettingsError
from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.models.folders import CARD_FILE
from xturing.models.hub import locate


def perturb(model) -> None:
    """Give a fresh adapter weights that do something."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.prepare_training().named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    model.engine.model.eval()


@pytest.fixture
def saved_lora(tiny_folder, tmp_path):
    """Return a LoRA model whose adapter matters, and the folder it was saved to."""
    model = GenericLoraModel(tiny_folder)
    perturb(model)
    model.save(tmp_path / "lora")
    return model, tmp_path / "lora"


@pytest.mark.parametrize("folder", ["tiny_folder", "tiny_gpt2_folder"])
def test_a_saved_model_gives_the_same_logits(folder, tmp_path, request):
    model = GenericModel(request.getfixturevalue(folder))
    with torch.no_grad():
        next(model.engine.model.parameters()).mul_(1.5)
    model.save(tmp_path / "out")
    assert torch.equal(logits(BaseModel.load(tmp_path / "out")), logits(model))


@pytest.mark.parametrize("folder", ["tiny_folder", "tiny_gpt2_folder"])
def test_a_saved_generic_adapter_is_loaded__predecessor_fault_13(
    folder, tmp_path, request
):
    model = GenericLoraModel(request.getfixturevalue(folder))
    perturb(model)
    model.save(tmp_path / "out")
    loaded = BaseModel.load(tmp_path / "out")
    assert loaded.config_name == "generic_lora"
    assert torch.equal(logits(loaded), logits(model))


def test_an_adapter_is_saved_without_its_base__predecessor_fault_21(saved_lora):
    _, folder = saved_lora
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    assert [file.name for file in weights] == ["adapter_model.safetensors"]
    with safe_open(weights[0], "pt") as tensors:
        assert all("lora_" in name for name in tensors.keys())  # noqa: SIM118


def test_peft_opens_a_saved_adapter(saved_lora, tiny_folder):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model, folder = saved_lora
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    theirs = PeftModel.from_pretrained(base, folder)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        assert torch.allclose(theirs(input_ids=ids).logits, logits(model), atol=1e-4)


def test_transformers_opens_a_saved_model(tiny_full_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_full_model.save(tmp_path / "out")
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    AutoTokenizer.from_pretrained(tmp_path / "out")


def test_a_merged_adapter_gives_the_same_logits_and_a_model_of_its_own(
    saved_lora, tmp_path
):
    model, folder = saved_lora
    merged = BaseModel.load(folder).merge()
    assert torch.allclose(logits(merged), logits(model), atol=1e-4)
    merged.save(tmp_path / "merged")
    alone = BaseModel.load(tmp_path / "merged")
    assert alone.config_name == "generic"
    assert torch.equal(logits(alone), logits(merged))


def test_merging_without_an_adapter_is_refused(tiny_full_model):
    with pytest.raises(ModelError, match="no adapter to merge"):
        tiny_full_model.merge()


def test_settings_are_restored__predecessor_fault_12(tiny_model, tmp_path):
    tiny_model.finetuning_config().learning_rate = 0.123
    tiny_model.generation_config().max_new_tokens = 7
    tiny_model.save(tmp_path / "saved")
    loaded = BaseModel.load(tmp_path / "saved")
    assert loaded.finetuning_config().learning_rate == 0.123
    assert loaded.generation_config().max_new_tokens == 7
    assert loaded.finetuning_config().sources["learning_rate"] == "saved model"


def test_a_loaded_model_is_not_written_over_its_own_run(tiny_model, tmp_path):
    tiny_model.save(tmp_path / "saved")
    loaded = BaseModel.load(tmp_path / "saved")
    assert loaded.finetuning_config().output_dir == "saved_model"


def test_a_single_plain_target_is_adapted_whole__predecessor_fault_15(tiny_folder):
    model = GenericLoraModel(tiny_folder, target_modules=["q_proj"])
    torch_model = model.prepare_training()
    layer = torch_model.base_model.model.model.layers[0].self_attn
    assert layer.q_proj.lora_B["default"].weight.shape[0] == layer.q_proj.out_features
    assert not hasattr(layer.v_proj, "lora_A")


def test_several_targets_of_gpt2_are_adapted__predecessor_fault_15(tiny_gpt2_folder):
    model = GenericLoraModel(tiny_gpt2_folder, target_modules=["c_attn", "c_fc"])
    block = model.prepare_training().base_model.model.transformer.h[0]
    assert hasattr(block.attn.c_attn, "lora_A")
    assert hasattr(block.mlp.c_fc, "lora_A")
    assert not hasattr(block.attn.c_proj, "lora_A")


def test_all_linear_layers_but_the_head_are_adapted_by_default(tiny_folder):
    model = GenericLoraModel(tiny_folder).prepare_training()
    names = [name for name, _ in model.named_parameters() if "lora_A" in name]
    adapted = {name.split(".")[-4] for name in names}
    attention, mlp = "q_proj k_proj v_proj o_proj", "gate_proj up_proj down_proj"
    assert adapted == {*attention.split(), *mlp.split()}


def test_a_target_that_no_layer_has_is_refused_with_those_there_are(tiny_folder):
    model = GenericLoraModel(tiny_folder, target_modules=["c_attn"])
    with pytest.raises(
        ModelError, match="called 'c_attn'. Its linear layers are .*q_proj"
    ):
        model.prepare_training()


def test_another_rank_for_an_adapter_that_is_there_is_refused(saved_lora):
    loaded = BaseModel.load(saved_lora[1])
    loaded.finetuning_config().lora_rank = 3
    with pytest.raises(SettingsError, match="lora_rank is 3.*adapter with 8 already"):
        loaded.prepare_training()


def test_lora_settings_are_refused_where_there_is_no_adapter(tiny_full_model):
    tiny_full_model.finetuning_config().lora_rank = 4
    with pytest.raises(SettingsError, match="lora_rank is set .* has no adapter"):
        tiny_full_model.prepare_training()


def test_an_ordinary_folder_opens_as_generic(tiny_folder):
    assert BaseModel.load(tiny_folder).config_name == "generic"


def test_an_ordinary_adapter_folder_opens_as_generic_lora(saved_lora):
    model, folder = saved_lora
    (folder / CARD_FILE).unlink()
    loaded = BaseModel.load(folder)
    assert loaded.config_name == "generic_lora"
    assert torch.equal(logits(loaded), logits(model))


def test_an_ordinary_adapter_of_another_rank_can_be_saved_again(tiny_folder, tmp_path):
    model = GenericLoraModel(tiny_folder, target_modules=["q_proj"])
    model.finetuning_config().lora_rank = 3
    model.save(tmp_path / "out")
    (tmp_path / "out" / CARD_FILE).unlink()
    loaded = BaseModel.load(tmp_path / "out")
    assert loaded.finetuning_config().lora_rank == 3
    assert loaded.finetuning_config().lora_targets == ("q_proj",)
    loaded.save(tmp_path / "again")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"No xturing\.json found in .*config\.json"):
        BaseModel.load(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no model folder .*gone"):
        BaseModel.load(tmp_path / "gone")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}'])
def test_a_broken_card_is_refused(saved_lora, text):
    (saved_lora[1] / CARD_FILE).write_text(text)
    with pytest.raises(ModelError, match=r"xturing\.json cannot be read"):
        BaseModel.load(saved_lora[1])


def test_a_card_of_a_later_version_is_refused(saved_lora):
    card = json.loads((saved_lora[1] / CARD_FILE).read_text())
    (saved_lora[1] / CARD_FILE).write_text(json.dumps(card | {"schema_version": 99}))
    with pytest.raises(ModelError, match="later version.*pip install --upgrade"):
        BaseModel.load(saved_lora[1])


def test_a_changed_chat_template_is_refused__peer_theme_4(saved_lora):
    file = saved_lora[1] / "chat_template.jinja"
    file.write_text(file.read_text().replace("role'] +", "role'] + ' ' +"))
    with pytest.raises(ModelError, match="was saved with prompts like"):
        BaseModel.load(saved_lora[1])


def test_a_template_that_differs_beyond_the_golden_prompts_is_refused(saved_lora):
    file = saved_lora[1] / "chat_template.jinja"
    file.write_text("{% if messages | length > 9 %}?{% endif %}" + file.read_text())
    with pytest.raises(ModelError, match="chat template is not the one"):
        BaseModel.load(saved_lora[1])


def test_an_adapter_whose_base_has_moved_says_how_to_name_it(tiny_folder, tmp_path):
    base = shutil.copytree(tiny_folder, tmp_path / "base")
    GenericLoraModel(base).save(tmp_path / "adapter")
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"If the base has moved, .*base='<folder>'"):
        BaseModel.load(tmp_path / "adapter")
    BaseModel.load(tmp_path / "adapter", base=str(tmp_path / "elsewhere"))


def test_saving_over_something_is_refused(tiny_model, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError):
        tiny_model.save(tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_local_path_never_opens_a_socket__peer_theme_15(
    tiny_folder, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = GenericLoraModel(tiny_folder)
    model.save(tmp_path / "out")
    BaseModel.load(tmp_path / "out")


@pytest.mark.parametrize(
    "path", ["./gone", "/gone/away", "~/gone", "gone.gguf", "a/b/c"]
)
def test_what_looks_like_a_path_is_never_looked_up(path):
    with pytest.raises(ModelError, match="no folder or file"):
        locate(path)


def test_a_checkpoint_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DownloadError, match="'acme/no-such-model' is not on this machine"
    ):
        BaseModel.create("generic", model_name="acme/no-such-model")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return where a made-up hub puts files, which it has, and what it was asked."""
    import huggingface_hub

    folder = tmp_path / "snapshot" / "0123abc"
    folder.mkdir(parents=True)
    held = ["config.json", "model.safetensors", "pytorch_model.bin"]
    asked: list[str] = []

    def download(checkpoint, *, revision, local_files_only=False, allow_patterns=()):
        if not local_files_only:
            asked.append(allow_patterns[0])
            for file in held:
                if any(fnmatch(file, pattern) for pattern in allow_patterns):
                    (folder / file).touch()
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder, held, asked


def test_a_download_that_was_stopped_is_taken_up_again(hub):
    folder, _, asked = hub
    (folder / "config.json").touch()
    assert locate("acme/acme-1b").folder == folder
    assert len(asked) == 1


def test_a_checkpoint_that_is_here_is_not_asked_for(hub):
    folder, _, asked = hub
    (folder / "model.safetensors").touch()
    location = locate("acme/acme-1b")
    assert (location.reference, location.revision) == ("acme/acme-1b", "0123abc")
    assert asked == []


def test_no_pickle_is_fetched_beside_safetensors__predecessor_fault_45(hub):
    folder, _, _ = hub
    locate("acme/acme-1b")
    assert not (folder / "pytorch_model.bin").exists()


def test_pickles_are_fetched_where_there_is_nothing_else(hub):
    folder, held, asked = hub
    held.remove("model.safetensors")
    locate("acme/acme-1b")
    assert asked == ["*.safetensors", "*.bin"]
    assert (folder / "pytorch_model.bin").exists()


def test_a_checkpoint_without_weights_is_refused(hub):
    _, held, _ = hub
    held[:] = ["config.json"]
    with pytest.raises(DownloadError, match=r"neither safetensors nor \.bin"):
        locate("acme/acme-1b")


def test_weights_are_loaded_once__predecessor_fault_22(
    saved_lora, tiny_folder, monkeypatch
):
    from transformers import AutoModelForCausalLM

    loads = []
    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM,
        "from_pretrained",
        lambda *args, **options: loads.append(args) or real(*args, **options),
    )
    BaseModel.load(saved_lora[1])
    assert len(loads) == 1


def test_the_models_of_the_cpu_are_kept_in_full_precision(tiny_full_model):
    if tiny_full_model.engine.device.name != "cpu":
        pytest.skip("a GPU is used on this machine")
    assert next(tiny_full_model.engine.model.parameters()).dtype is torch.float32
