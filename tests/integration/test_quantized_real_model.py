"""What quantization does to the real default model, in figures that users rely on."""

import math
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
import torch

from xturing.data import InstructionDataset, open_dataset
from xturing.models import BaseModel
from xturing.models.fidelity import compare
from xturing.models.inference import Decoding, Request, complete, open_engine

pytestmark = pytest.mark.slow

WINDOW, WINDOWS = 250, 2


@pytest.fixture(scope="module")
def wiki() -> Path:
    file = Path(__file__).parents[3] / "shared" / "data" / "wiki.txt"
    if not file.is_file():
        pytest.skip("the text is kept beside the project, not in it")
    return file


@pytest.fixture(scope="module")
def rows(smollm2, wiki) -> list[torch.Tensor]:
    """Return windows of a text that the model was not tuned on."""
    ids = smollm2.engine.tokenizer(wiki.read_text(encoding="utf-8"))["input_ids"]
    starts = range(0, len(ids) - WINDOW, WINDOW)
    return [torch.tensor([ids[start : start + WINDOW]]) for start in starts]


@pytest.fixture(scope="module")
def quantized(smollm2):
    """Return the model in a scheme, made once."""
    return cache(smollm2.quantize)


@pytest.mark.parametrize(("scheme", "limit"), [("int8", 0.01), ("int4", 0.08)])
def test_perplexity_hardly_grows(smollm2, quantized, rows, scheme, limit):
    increase = compare(smollm2, quantized(scheme), rows[:WINDOWS]).loss_increase
    assert increase is not None
    assert math.exp(increase) - 1 < limit


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_a_few_tokens_at_once_are_read_as_before(smollm2, quantized, rows, scheme):
    """As in decoding, when the packed kernels multiply."""
    few = [row[:, :48] for row in rows[:4]]
    found = compare(smollm2, quantized(scheme), few)
    assert found.divergence < 0.02
    assert found.top1_agreement > 0.93


def test_a_model_quantized_while_loading_is_the_one_quantized_after(quantized):
    loaded, made = BaseModel.create("smollm2_int4"), quantized("int4")
    ids = torch.arange(100, 228)[None]
    with torch.inference_mode():
        assert torch.equal(
            loaded.engine.model(ids).logits, made.engine.model(ids).logits
        )


def test_an_adapter_on_four_bits_learns_as_one_on_whole_weights(alpaca, tmp_path):
    dataset = open_dataset(alpaca, limit=200)
    short = [row for row in range(200) if len(dataset[row]["target"]) < 160]
    losses = {}
    for name in ("smollm2_lora", "smollm2_lora_int4"):
        losses[name] = tuned(name, dataset.select(short[:8]), tmp_path / name)
    whole, four_bits = losses.values()
    assert four_bits == pytest.approx(whole, rel=0.03)


def tuned(name: str, rows: InstructionDataset, output: Path) -> float:
    """Return the held-out loss after an epoch."""
    model = BaseModel.create(name)
    config = model.finetuning_config()
    config.output_dir = str(output)
    config.learning_rate, config.num_train_epochs = 2e-4, 1
    config.batch_size, config.gradient_accumulation_steps = 4, 1
    config.max_length, config.validation_split = 1024, 0.25
    config.report = False
    report = model.finetune(rows)
    assert report.loss_before is not None
    assert report.loss_after is not None
    assert report.loss_after < report.loss_before
    return report.loss_after


def test_four_bits_are_served_by_the_fastest_engine(quantized):
    """Its first words were once held against what special tokens make of it."""
    with closing(open_engine(quantized("int4"))) as engine:
        assert engine.name == "native"
        prompt = engine.tokenizer("The capital of France is", return_tensors=None)
        asked = Request(
            prompt=tuple(prompt["input_ids"]), decoding=Decoding(max_new_tokens=4)
        )
        assert "Paris" in complete(engine, [asked])[0].text
