"""The real model, tuned, and exported into the hands of other programs.

`export` reads again what it wrote and holds it to the model; here the programs that
the formats are for read it instead, and answer.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import readers
from readers import Reader

from xturing.cli import quickstart
from xturing.models import BaseModel
from xturing.models.exporting import EXPORTERS
from xturing.models.exporting.go_templates import rendered

pytestmark = pytest.mark.slow

LENGTH = 16
QUESTIONS = [
    "What is the capital of France?",
    "Name a colour.",
    "Write one short sentence about the sea.",
    "How do I bake bread?",
    "My parcel came broken.",
]
READERS = {
    "safetensors": readers.by_transformers,
    "gguf": readers.by_transformers_from_gguf,
    "onnx": readers.by_onnx_runtime,
    "openvino": readers.by_openvino,
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> BaseModel:
    """Return the default model after some steps on a dozen of the bundled tickets."""
    model = BaseModel.create("smollm2_lora")
    config = model.finetuning_config()
    config.max_steps, config.gradient_accumulation_steps = 3, 1
    config.learning_rate = 1e-3
    config.validation_limit, config.report_samples = 1, 0
    config.output_dir = str(tmp_path_factory.mktemp("tuned") / "out")
    model.finetune(quickstart.sample()[0].select(range(12)))
    model.generation_config().max_new_tokens = LENGTH
    return model


@pytest.fixture(scope="module")
def texts(tuned) -> list[str]:
    return tuned.generate(texts=QUESTIONS)


@pytest.fixture(scope="module")
def exported(tuned, tmp_path_factory) -> Callable[..., Path]:
    """Return what writes the model in a format, once in each scheme."""
    merged = tuned.merged()

    @cache
    def write(to: str, scheme: str | None = None) -> Path:
        folder = tmp_path_factory.mktemp(to)
        EXPORTERS[to]().write(merged, folder, scheme)
        return folder

    return write


def test_tuning_changes_the_answers_that_are_to_be_found_again(tuned, texts):
    with tuned.engine.model.disable_adapter():
        before = tuned.generate(texts=QUESTIONS)
    assert all(new != old for new, old in zip(texts, before, strict=True))


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, at its own code
@pytest.mark.parametrize("to", READERS)
def test_other_programs_write_what_the_tuned_model_does(to, texts, exported):
    reader = READERS[to](exported(to))
    assert [reader.answer(question, LENGTH) for question in QUESTIONS] == texts


def test_weights_of_8_bits_have_the_same_first_choice_nearly_everywhere(
    tuned, texts, exported
):
    theirs = readers.by_transformers_from_gguf(exported("gguf", "q8_0"))
    ours = Reader(tuned.engine.tokenizer, readers.by_network(tuned.engine.model))
    same: list[bool] = []
    for question, text in zip(QUESTIONS, texts, strict=True):
        ids = ours.prompt(question) + ours.tokenizer(text)["input_ids"]
        pairs = zip(theirs.choices(ids), ours.choices(ids), strict=True)
        same += [found == wanted for found, wanted in pairs]
    assert np.mean(same) > 0.95


def test_llama_cpp_writes_what_the_tuned_model_does(tuned, texts, exported):
    tokenizer = tuned.engine.tokenizer
    ours = Reader(tokenizer, readers.by_network(tuned.engine.model))
    file = exported("gguf") / "model-f16.gguf"
    prompts = [ours.prompt(question) for question in QUESTIONS]
    found, _ = readers.by_llama_cpp(file, prompts, LENGTH)
    assert [ours.text(ids) for ids in found] == texts


def test_ollama_is_given_the_file_that_others_read(exported):
    folder = exported("ollama")
    named = re.search(r"^FROM (.*)$", modelfile(folder), re.MULTILINE)
    assert named is not None
    file = exported("gguf") / "model-f16.gguf"
    assert (folder / named[1]).read_bytes() == file.read_bytes()


def test_ollama_writes_prompts_as_the_tuned_model_reads_them(tuned, exported):
    said = re.findall(
        r'^(TEMPLATE|SYSTEM) """(.*?)"""$',
        modelfile(exported("ollama")),
        re.MULTILINE | re.DOTALL,
    )
    parts = dict(said)
    system = {"role": "system", "content": parts["SYSTEM"]}
    for question in QUESTIONS:
        asked = [{"role": "user", "content": question}]
        assert rendered(parts["TEMPLATE"], [system, *asked]) == (
            tuned.engine.tokenizer.apply_chat_template(
                asked, tokenize=False, add_generation_prompt=True
            )
        )


def test_ollama_writes_the_likeliest_tokens_until_an_answer_ends(exported):
    lines = modelfile(exported("ollama")).splitlines()
    wanted = {
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1.0",
        f"PARAMETER num_predict {LENGTH}",
        'PARAMETER stop "<|im_end|>"',
    }
    assert wanted <= set(lines)


def modelfile(folder: Path) -> str:
    return (folder / "Modelfile").read_text(encoding="utf-8")
