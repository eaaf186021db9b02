"""Perplexity of rows and of plain text."""

import math

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError, SettingsError
from xturing.core.labels import IGNORE
from xturing.data import InstructionDataset, TextDataset, encode
from xturing.eval import text_likelihood
from xturing.eval.perplexity import windows
from xturing.models import GenericLoraModel, GenericModel

TEXT = " ".join(tiny.CORPUS * 12)


@pytest.fixture(params=["tiny_folder", "tiny_gpt2_folder"])
def model(request):
    return GenericModel(request.getfixturevalue(request.param))


@torch.inference_mode()
def reference_perplexity(model, examples) -> float:
    losses = []
    for example in examples:
        ids = torch.from_numpy(example.ids.astype(np.int64))
        logits = model(input_ids=ids[None]).logits[0].double()
        for position, target in enumerate(example.labels[1:]):
            if target != IGNORE:
                losses.append(-logits[position].log_softmax(-1)[int(target)])
    return float(torch.stack(losses).mean().exp())


@pytest.mark.parametrize("batch_size", [1, 3, 7, 32, None])
def test_perplexity_is_right_whatever_the_batch_size__predecessor_fault_7(
    model, rows, batch_size
):
    examples = encode(rows, model.engine.tokenizer, max_length=128).examples
    expected = reference_perplexity(model.engine.model, examples)
    found = model.evaluate(rows, batch_size=batch_size)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, rel=1e-5)


def test_evaluation_keeps_no_gradients_and_no_mode__predecessor_fault_7(
    tiny_folder, rows
):
    model = GenericLoraModel(tiny_folder)
    torch_model = model.prepare_training()
    torch_model.train()
    model.evaluate(rows)
    assert torch_model.training
    assert all(parameter.grad is None for parameter in torch_model.parameters())


def test_dropout_does_not_enter_an_evaluation(tiny_folder, rows):
    model = GenericLoraModel(tiny_folder)
    model.finetuning_config().lora_dropout = 0.9
    torch_model = model.prepare_training().train()
    with torch.no_grad():
        for name, parameter in torch_model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert model.evaluate(rows) == model.evaluate(rows)


def test_a_chat_that_is_too_long_is_named(model):
    long = {"instruction": "say fox " * 400, "text": "", "target": "fox"}
    rows = InstructionDataset([tiny.ROWS[0], long])
    with pytest.raises(DataError, match=r"row 2.* tokens, but the model reads 512"):
        model.evaluate(rows)


def test_a_text_that_is_too_long_is_read_in_windows(model):
    found = model.evaluate(TextDataset([{"text": TEXT * 2, "target": ""}]))
    assert 1 < found < math.inf


@given(st.integers(2, 60), st.integers(2, 20), st.data())
def test_windows_score_each_token_once(length, width, data):
    stride = data.draw(st.integers(1, max(width - 1, 1)))
    ids = np.arange(length)
    is_scored = ids > 0
    found = windows(ids, is_scored, width, stride)
    scored = [each.ids[each.is_scored] for each in found]
    assert sorted(np.concatenate(scored)) == list(range(1, length))
    assert all(len(each.ids) <= width for each in found)


@given(st.integers(2, 60), st.integers(2, 20), st.data())
def test_a_token_comes_after_as_many_as_window_and_stride_say(length, width, data):
    stride = data.draw(st.integers(1, max(width - 1, 1)))
    for each in windows(np.arange(length), np.arange(length) > 0, width, stride):
        first = int(each.ids[each.first])
        assert each.first >= min(width - stride, first)


def test_a_text_in_one_window_has_the_loss_of_the_model(model):
    text = "the quick brown fox jumps over the lazy dog"
    ids = torch.tensor([model.engine.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        expected = model.engine.model(input_ids=ids, labels=ids).loss
    found = text_likelihood(model, text)
    assert found.loss == pytest.approx(float(expected), rel=1e-5)
    assert found.tokens == ids.shape[1] - 1


def test_bits_per_byte_are_the_same_nats_over_bytes(model):
    found = text_likelihood(model, TEXT, window=64, stride=16)
    assert found.bits_per_byte * found.bytes * math.log(2) == pytest.approx(found.nats)
    opening = model.engine.tokenizer.decode(
        model.engine.tokenizer(TEXT)["input_ids"][:1]
    )
    assert found.bytes == len(TEXT.encode()) - len(opening.encode())


def test_more_context_is_what_a_smaller_stride_buys(model):
    wide = text_likelihood(model, TEXT, window=32, stride=31)
    narrow = text_likelihood(model, TEXT, window=32, stride=4)
    assert wide.tokens == narrow.tokens
    assert wide.nats != narrow.nats


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"window": 1}, "window is 1, but is between 2 and 512"),
        ({"window": 4096}, "window is 4096, but is between 2 and 512"),
        ({"window": 16, "stride": 16}, "stride is 16, but is between 1 and 15"),
        ({"window": 16, "stride": 0}, "stride is 0, but is between 1 and 15"),
    ],
)
def test_windows_out_of_range_are_refused(model, options, complaint):
    with pytest.raises(SettingsError, match=complaint):
        text_likelihood(model, TEXT, **options)


def test_a_text_of_one_token_has_nothing_to_score(model):
    with pytest.raises(DataError, match="only what comes after another token"):
        text_likelihood(model, "a")
