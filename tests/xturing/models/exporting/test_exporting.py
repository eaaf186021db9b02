"""Exported models: each format is the model again, in another program's hands."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import readers
import tiny
import torch
from readers import Start, greedy, until_end
from tokenizers import Regex, normalizers, pre_tokenizers

from xturing.core.errors import (
    ModelError,
    OutputError,
    SettingsError,
    UnknownNameError,
)
from xturing.core.templates import CONTROL_TOKENS, chat_template
from xturing.models import BaseModel, GenericInt8Model, GenericLoraModel, GenericModel
from xturing.models.exporting import EXPORTERS, comparing, export
from xturing.models.exporting.gguf_vocabulary import (
    LLAMA3_SPLIT,
    QWEN2_SPLIT,
    split_name,
)
from xturing.models.exporting.go_templates import GOLDEN, rendered, style_of
from xturing.models.template import prompt_ids, stop_ids

QUESTIONS = [
    "say hello to the fox",
    "what is the capital of france?",
    "0 1 2 3",
    "the lazy dog",
    "Write a short answer, please!",
]
NEW_TOKENS = 12
# Not a call of ours: another process, which has no xturing.
WITHOUT_XTURING = """
import json, sys

class Block:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "xturing":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, questions, length = json.loads(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
answers = []
for question in questions:
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True, return_dict=True, return_tensors="pt",
    )
    ids = model.generate(**inputs, max_new_tokens=length)
    answers.append(ids[0, inputs["input_ids"].shape[1]:].tolist())
print(json.dumps(answers))
"""


def prompts(model: BaseModel) -> list[list[int]]:
    return [
        prompt_ids(model.engine.tokenizer, [{"role": "user", "content": question}])
        for question in QUESTIONS
    ]


def answers(start: Start, model: BaseModel) -> list[list[int]]:
    return [greedy(start, ids, NEW_TOKENS) for ids in prompts(model)]


def own_answers(model: BaseModel) -> list[list[int]]:
    return answers(readers.by_network(model.engine.model), model)


def without_xturing(folder, questions: list[str]) -> list[list[int]]:
    """Return what plain transformers answers with a folder's own settings."""
    said = json.dumps([str(folder), questions, NEW_TOKENS])
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_XTURING, said],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def tuned(model: BaseModel) -> BaseModel:
    """Give a LoRA model an adapter that changes its weights."""
    model.prepare_training()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.engine.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.engine.model.eval()
    return model


@pytest.fixture
def plain(tiny_folder) -> BaseModel:
    return GenericModel(tiny_folder)


def test_tiny_answers_vary_so_that_comparing_them_means_something(plain):
    found = own_answers(plain)
    assert len({tuple(answer) for answer in found}) == len(QUESTIONS)
    assert all(len(set(answer)) > 2 for answer in found)


def test_plain_transformers_answers_alike_without_xturing(tiny_folder, tmp_path):
    model = tuned(GenericLoraModel(tiny_folder))
    wanted = own_answers(model)
    made = export(model, "safetensors", tmp_path / "out")
    assert made.is_faithful
    stops = stop_ids(model.engine.tokenizer)
    assert without_xturing(made.folder, QUESTIONS) == [
        until_end(answer, stops) for answer in wanted
    ]


def test_exporting_leaves_the_model_with_its_adapter(tiny_folder, tmp_path):
    model = tuned(GenericLoraModel(tiny_folder))
    before = tiny.logits(model)
    export(model, "safetensors", tmp_path / "out")
    assert model.has_adapter
    assert torch.equal(tiny.logits(model), before)


def test_a_quantized_model_is_exported_in_whole_weights(tiny_folder, tmp_path):
    model = GenericInt8Model(tiny_folder)
    made = export(model, "safetensors", tmp_path / "out")
    assert (made.is_rounded, made.is_faithful) == (True, True)
    loaded = BaseModel.load(tmp_path / "out")
    assert loaded.quantization is None
    assert model.quantization is not None


def test_every_token_that_ends_an_answer_is_in_the_generation_config(plain, tmp_path):
    plain.engine.tokenizer.eos_token = "<|endoftext|>"
    export(plain, "safetensors", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert config["eos_token_id"] == stop_ids(plain.engine.tokenizer) == [0, 2]


@pytest.mark.parametrize("scheme", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize(
    "architecture", ["llama", "llama3", "gpt2", "mistral", "qwen2_5", "qwen3"]
)
def test_a_gguf_file_is_the_model_again(architecture, scheme, tmp_path):
    model = GenericModel(tiny.save_folder(tmp_path / "model", architecture))
    made = export(model, "gguf", tmp_path / "out", scheme=scheme)
    assert made.is_faithful
    assert made.is_rounded == (scheme != "f32")
    assert [name for name, _ in made.files] == [f"model-{scheme}.gguf"]
    if scheme == "f32":
        assert made.difference == 0


def test_a_gguf_file_s_greedy_answers_are_the_model_s(plain, tmp_path):
    made = export(plain, "gguf", tmp_path / "out", scheme="f32")
    reopened = EXPORTERS["gguf"]().reopen(made.folder, plain)
    found = answers(readers.by_network(reopened.model), plain)
    assert found == own_answers(plain)


def test_the_reader_gets_the_chat_template_and_the_end_tokens(plain, tmp_path):
    made = export(plain, "gguf", tmp_path / "out")
    found = EXPORTERS["gguf"]().reopen(made.folder, plain).tokenizer
    assert found.chat_template == plain.engine.tokenizer.chat_template
    assert (found.bos_token_id, found.eos_token_id) == (1, 2)


def test_a_gguf_context_ends_where_a_sliding_window_would_begin(tmp_path):
    model = GenericModel(tiny.save_folder(tmp_path / "model", "mistral"))
    export(model, "gguf", tmp_path / "out", scheme="f32")
    reopened = EXPORTERS["gguf"]().reopen(tmp_path / "out", model)
    assert reopened.context_length == model.engine.model.config.sliding_window == 8


ROPES = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}


@pytest.mark.parametrize("kind", ROPES)
def test_scaled_positions_are_in_the_file(kind, tmp_path):
    import gguf

    model = GenericModel(scaled_folder(tmp_path / "model", ROPES[kind]))
    made = export(model, "gguf", tmp_path / "out", scheme="f32")
    assert made.is_faithful
    reader = gguf.GGUFReader(tmp_path / "out" / "model-f32.gguf")
    factors = [t.data for t in reader.tensors if t.name == "rope_freqs.weight"]
    if kind == "linear":
        field = reader.get_field("llama.rope.scaling.factor")
        assert field is not None
        assert field.contents() == 4.0
    else:
        # The fastest turns stay, the slowest are `factor` times slower.
        assert factors[0][0] == pytest.approx(1.0)
        assert factors[0][-1] == pytest.approx(8.0)


def scaled_folder(folder, rope):
    tiny.save_folder(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["rope_parameters"] = {"rope_theta": 10000.0, **rope}
    file.write_text(json.dumps(config))
    return folder


def test_positions_scaled_otherwise_are_refused(tmp_path):
    folder = scaled_folder(tmp_path / "m", {"rope_type": "dynamic", "factor": 2.0})
    with pytest.raises(ModelError, match="scaled by 'dynamic'"):
        export(GenericModel(folder), "gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", ["bloom", "gemma3", "mamba"])
def test_what_llama_cpp_does_otherwise_is_refused(architecture, tmp_path):
    model = GenericModel(tiny.save_folder(tmp_path / "model", architecture))
    with pytest.raises(ModelError, match="not written as GGUF"):
        export(model, "gguf", tmp_path / "out")


def test_weights_that_float16_cannot_hold_are_refused(plain, tmp_path):
    with torch.no_grad():
        plain.engine.model.lm_head.weight[3, 4] = 1e6
    with pytest.raises(ModelError, match=r"output.weight reaches 1e\+06"):
        export(plain, "gguf", tmp_path / "out")


BYTES = {"add_prefix_space": False, "use_regex": False}
WAYS = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "qwen2": [
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(**BYTES),
    ],
}


def test_ways_to_split_texts_have_llama_cpp_s_names(tokenizer):
    found = {}
    for name, steps in WAYS.items():
        made = tiny.tokenizer()
        made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        found[name] = split_name(made)
    assert found == {name: name for name in WAYS}


def test_unknown_ways_to_split_texts_are_refused():
    made = tiny.tokenizer()
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(ModelError, match="WhitespaceSplit"):
        split_name(made)


def test_words_are_put_together_as_the_name_says():
    made = tiny.tokenizer()
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(**BYTES),
        ]
    )
    with pytest.raises(ModelError, match="does not put words together as 'llama-bpe'"):
        split_name(made)


def test_vocabularies_of_sentencepiece_are_refused():
    made = tiny.tokenizer()
    made.backend_tokenizer.model.byte_fallback = True
    with pytest.raises(ModelError, match="sentencepiece"):
        split_name(made)


def test_texts_that_are_changed_first_are_refused():
    made = tiny.tokenizer()
    made.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(ModelError, match="Lowercase"):
        split_name(made)


STYLES = [name for name in CONTROL_TOKENS if name not in ("gemma", "llama2")]
SMOLLM_LIKE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
    "{% endif %}" + tiny.CHATML
)


@pytest.mark.parametrize("start_is_added", [False, True])
@pytest.mark.parametrize("name", STYLES)
def test_a_go_template_writes_what_the_chat_template_does(name, start_is_added):
    made = tiny.tokenizer(chat_template(name))
    made.bos_token = "<|endoftext|>"
    style = style_of(made, start_is_added=start_is_added)
    said = [{"role": "system", "content": style.system}] if style.system else []
    for messages in GOLDEN:
        text = made.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        if start_is_added:
            text = text.removeprefix(made.bos_token)
        assert rendered(style.template, [*said, *messages]) == text


def test_chatml_in_go_is_as_people_write_it():
    style = style_of(tiny.tokenizer(), start_is_added=False)
    assert style.template == (
        "{{ range .Messages }}"
        '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n'
        "{{ .Content }}<|im_end|>\n"
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


def test_what_a_template_has_the_system_say_is_found():
    style = style_of(tiny.tokenizer(SMOLLM_LIKE), start_is_added=False)
    assert style.system == "Be kind."


@pytest.mark.parametrize("name", ["gemma", "llama2"])
def test_templates_that_go_cannot_write_alike_are_not_guessed(name, tmp_path):
    folder = tiny.save_folder(tmp_path / "model", chat_template=chat_template(name))
    with pytest.raises(ModelError, match="no Modelfile was written"):
        export(GenericModel(folder), "ollama", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_modelfile_tells_ollama_all_that_the_file_does_not(plain, tmp_path):
    config = plain.generation_config()
    config.max_new_tokens, config.stop = 40, ("\n\n", "END")
    made = export(plain, "ollama", tmp_path / "out", scheme="q8_0")
    assert made.is_faithful
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./model-q8_0.gguf"
    found = [line for line in lines if line.startswith("PARAMETER")]
    assert found == [
        "PARAMETER num_ctx 512",
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1.0",
        "PARAMETER num_predict 40",
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop """',
        'PARAMETER stop "END"',
    ]


def test_a_model_that_draws_does_so_in_ollama(plain, tmp_path):
    config = plain.generation_config()
    config.do_sample, config.temperature, config.top_p = True, 0.7, 0.9
    export(plain, "ollama", tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert "PARAMETER temperature 0.7\nPARAMETER top_k 0\nPARAMETER top_p 0.9" in text


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, at its own code
def test_onnx_runtime_answers_as_the_model_does(plain, tmp_path):
    made = export(plain, "onnx", tmp_path / "out")
    assert (made.is_rounded, made.is_faithful) == (False, True)
    found = answers(readers.of_onnx(made.folder / "model.onnx"), plain)
    assert found == own_answers(plain)


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, at its own code
def test_openvino_answers_as_the_model_does_and_keeps_the_past(plain, tmp_path):
    made = export(plain, "openvino", tmp_path / "out")
    assert (made.is_rounded, made.is_faithful) == (False, True)
    found = answers(readers.of_openvino(made.folder / "openvino_model.xml"), plain)
    assert found == own_answers(plain)


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, at its own code
def test_models_that_keep_a_state_have_no_program(tmp_path):
    model = GenericModel(tiny.save_folder(tmp_path / "model", "mamba"))
    with pytest.raises(ModelError, match="something else of earlier tokens"):
        export(model, "openvino", tmp_path / "out")


def test_a_folder_in_use_is_kept_unless_it_is_to_be_replaced(plain, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="in use"):
        export(plain, "gguf", folder)
    assert [each.name for each in folder.iterdir()] == ["mine.txt"]
    export(plain, "gguf", folder, overwrite=True)
    assert [each.name for each in folder.iterdir()] == ["model-f16.gguf"]


def test_a_damaged_export_does_not_pass_the_gate(plain, tmp_path, monkeypatch):
    reopen = EXPORTERS["gguf"].reopen

    def damaged(self, folder, model):
        found = reopen(self, folder, model)
        with torch.no_grad():
            for parameter in found.model.parameters():
                parameter.add_(torch.ones_like(parameter))
        return found

    monkeypatch.setattr(EXPORTERS["gguf"], "reopen", damaged)
    for scheme in ("f32", "f16"):
        made = export(plain, "gguf", tmp_path / scheme, scheme=scheme)
        assert not made.is_faithful
        assert (made.folder / f"model-{scheme}.gguf").is_file()


def test_an_export_that_reads_texts_otherwise_is_refused(plain, tokenizer, tmp_path):
    other = tiny.tokenizer()
    other.add_tokens(["Zürich"])
    with pytest.raises(ModelError, match="cannot express this tokenizer"):
        comparing.refuse_other_ids(tokenizer, other, tmp_path)


def test_schemes_are_those_of_the_format(plain, tmp_path):
    with pytest.raises(SettingsError, match="It has f16, q8_0, f32"):
        export(plain, "gguf", tmp_path / "out", scheme="int4")
    with pytest.raises(SettingsError, match="keeps weights as the model does"):
        export(plain, "onnx", tmp_path / "out", scheme="f16")


def test_unknown_formats_are_refused(plain, tmp_path):
    with pytest.raises(UnknownNameError, match="There is no export format 'ggfu'"):
        export(plain, "ggfu", tmp_path / "out")


def test_other_distributions_add_formats(monkeypatch):
    point = EntryPoint("mine", "xturing.models.exporting.gguf:Gguf", EXPORTERS.group)
    monkeypatch.setattr(EXPORTERS, "_plugins", lambda: {"mine": point})
    assert EXPORTERS["mine"].__name__ == "Gguf"
    assert "mine" in list(EXPORTERS)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2_5", "qwen3"])
def test_llama_cpp_answers_and_reads_as_the_model_does(architecture, tmp_path):
    folder = tiny.save_folder(tmp_path / "model", architecture)
    model = GenericModel(folder)
    made = export(model, "gguf", tmp_path / "out", scheme="f32")
    texts = list(comparing.PROBES)
    found, read = readers.by_llama_cpp(
        made.folder / "model-f32.gguf", prompts(model), NEW_TOKENS, texts
    )
    tokenize = model.engine.tokenizer
    assert read == [tokenize(t, add_special_tokens=False)["input_ids"] for t in texts]
    assert found == own_answers(model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROPES)
def test_llama_cpp_scales_positions_alike(kind, tmp_path):
    model = GenericModel(scaled_folder(tmp_path / "model", ROPES[kind]))
    made = export(model, "gguf", tmp_path / "out", scheme="f32")
    found, _ = readers.by_llama_cpp(
        made.folder / "model-f32.gguf", prompts(model), NEW_TOKENS
    )
    assert found == own_answers(model)
