"""`xturing merge`: an adapter in its base's weights, and what rounding does to it."""

import json
import re

import pytest
import tiny
import torch

from xturing.data import InstructionDataset
from xturing.models import (
    BaseModel,
    GenericLoraInt2Model,
    GenericLoraInt4Model,
    GenericLoraModel,
    GenericModel,
)


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(tiny.ROWS))
    return file


def saved_adapter(model, path, size: float):
    """Save a model with an adapter that changes weights by about `size`."""
    model.prepare_training()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.engine.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter), alpha=size)
    model.save(path)
    return path


@pytest.fixture
def adapter(tiny_folder, tmp_path):
    return saved_adapter(GenericLoraModel(tiny_folder), tmp_path / "adapter", 0.1)


@pytest.fixture
def int4_adapter(tiny_folder, tmp_path):
    model = GenericLoraInt4Model(tiny_folder)
    return saved_adapter(model, tmp_path / "int4_adapter", 0.1)


def losses(out: str) -> list[str]:
    """Return the losses after each step, as they are shown."""
    return re.findall(r"^Loss .* -> ([\d.]+) nats", out, re.MULTILINE)


@pytest.mark.parametrize("kind", ["adapter", "int4_adapter"])
def test_the_merged_model_is_the_adapter_s(xturing, kind, tmp_path, request):
    folder = request.getfixturevalue(kind)
    done = xturing("merge", folder, "-o", tmp_path / "merged")
    assert done.code == 0
    adapted, merged = BaseModel.load(folder), BaseModel.load(tmp_path / "merged")
    assert merged.config_name == "generic"
    assert not merged.has_adapter
    assert merged.quantization is None
    # With gradients, packed weights are not multiplied by kernels that round inputs.
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    found, wanted = (model.engine.model(ids).logits for model in (merged, adapted))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert "(+0.0000)" in done.out or "(-0.0000)" in done.out
    assert f"xturing chat -m {tmp_path / 'merged'}" in done.out


def test_merging_a_copy_leaves_the_model_as_it_was(adapter, int4_adapter):
    for folder in (adapter, int4_adapter):
        model = BaseModel.load(folder)
        before = tiny.logits(model)
        made = model.merged()
        assert torch.equal(tiny.logits(model), before)
        assert model.has_adapter
        assert not made.has_adapter


def test_a_copy_shares_what_the_adapter_does_not_change(adapter):
    model = BaseModel.load(adapter)
    weights = [
        made.engine.model.get_input_embeddings().weight
        for made in (model, model.merged())
    ]
    assert weights[0].data_ptr() == weights[1].data_ptr()


def test_rounding_again_loses_and_is_stopped(xturing, int4_adapter, data, tmp_path):
    before = sorted(tmp_path.iterdir())
    options = ["--into-scheme", "--check", data, "--max-loss-increase", 0.001]
    done = xturing("merge", int4_adapter, "-o", tmp_path / "out", *options)
    assert done.code == 3
    merged, rounded = losses(done.out)
    assert merged != rounded
    assert "--into-scheme out" in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_an_adapter_that_rounding_eats_is_stopped_by_default(
    xturing, tiny_folder, data, tmp_path
):
    model = GenericLoraInt2Model(tiny_folder)
    config = model.finetuning_config()
    config.output_dir = str(tmp_path / "tuned")
    config.learning_rate = 1e-2
    config.num_train_epochs = 10
    model.finetune(InstructionDataset(tiny.ROWS))
    options = ["--into-scheme", "--check", data, "-o", tmp_path / "out"]
    done = xturing("merge", tmp_path / "tuned", *options)
    merged, rounded = losses(done.out)
    assert float(rounded) > float(merged) + 0.1
    assert done.code == 3
    assert "more than the limit of 0.1" in done.err
    assert not (tmp_path / "out").exists()


def test_rounding_again_is_done_if_it_is_accepted(xturing, int4_adapter, tmp_path):
    options = ["--into-scheme", "--max-loss-increase", 9]
    done = xturing("merge", int4_adapter, "-o", tmp_path / "out", *options)
    assert done.code == 0
    made = BaseModel.load(tmp_path / "out")
    assert made.config_name == "generic_int4"
    assert made.quantization == BaseModel.load(int4_adapter).quantization
    assert len(losses(done.out)) == 2


def test_a_whole_model_has_nothing_to_merge(xturing, tiny_folder, tmp_path):
    GenericModel(tiny_folder).save(tmp_path / "whole")
    done = xturing("merge", tmp_path / "whole", "-o", "out")
    assert (done.code, "no adapter to merge" in done.err) == (1, True)


def test_whole_weights_have_no_scheme_to_go_back_to(xturing, adapter, tmp_path):
    done = xturing("merge", adapter, "--into-scheme", "-o", "out")
    assert (done.code, "trained on whole weights" in done.err) == (1, True)
    assert not (tmp_path / "out").exists()


MISTAKES = {
    "a missing folder": (["gone", "-o", "out"], "no model folder gone"),
    "a folder that holds no model": ([".", "-o", "out"], "no saved model"),
    "an output folder in use": (["adapter", "-o", "."], "in use already"),
    "missing rows": (["adapter", "-o", "out", "--check", "gone.json"], "gone.json"),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_a_code(
    xturing, adapter, tmp_path, options, message
):
    done = xturing("merge", *options)
    assert done.code == 1
    assert re.search(message, done.err)
    assert list(tmp_path.iterdir()) == [adapter]
