import errno
import json
import os

import pytest
import torch
from quant import language_model, network, normal, token_rows
from safetensors.torch import load_file, save_file
from torch import nn

from xturing.core.errors import OutputError, QuantizationError, XTuringError
from xturing.core.files import sha256
from xturing.quant import files, load, quantize, save


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "saved"
    save(quantize(network(), "int4"), folder)
    return folder


def edit(folder, **changes):
    file = folder / files.MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
@pytest.mark.parametrize("name", [files.WEIGHTS, files.MANIFEST])
def test_a_truncated_file_is_refused(saved, name, share):
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(QuantizationError, match=name):
        load(network(), saved)


def test_a_flipped_bit_of_the_weights_is_found(saved):
    file = saved / files.WEIGHTS
    whole = bytearray(file.read_bytes())
    for place in (9, len(whole) // 2, len(whole) - 1):
        broken = bytearray(whole)
        broken[place] ^= 4
        file.write_bytes(broken)
        with pytest.raises(QuantizationError, match="is damaged.*Copy it again"):
            load(network(), saved)


def test_a_flipped_bit_of_the_manifest_is_found_or_changes_no_output(saved):
    file = saved / files.MANIFEST
    whole, x = file.read_bytes(), normal(2, 64)
    wanted = load(network(), saved)(x)
    for place in range(0, len(whole), 2):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 7
        file.write_bytes(broken)
        try:
            again = load(network(), saved)
        except XTuringError:
            continue
        assert torch.equal(again(x), wanted), place


@pytest.mark.parametrize("name", [files.WEIGHTS, files.MANIFEST])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(QuantizationError, match=name):
        load(network(), saved)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(QuantizationError, match="nowhere holds no quantized model"):
        load(network(), tmp_path / "nowhere")


def test_a_later_format_asks_for_an_upgrade(saved):
    edit(saved, version=files.VERSION + 1, more="of it")
    with pytest.raises(QuantizationError, match="later version.*pip install --upgrade"):
        load(network(), saved)


@pytest.mark.parametrize("size", [16, 64])
def test_another_shape_is_refused_by_name(saved, size):
    other = nn.Sequential(nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, size))
    with pytest.raises(
        QuantizationError, match=r"'0' was saved with the shape \(48, 64"
    ):
        load(other, saved)


def test_a_missing_layer_is_refused_by_name(saved):
    with pytest.raises(QuantizationError, match="a layer '2' that the model has not"):
        load(nn.Sequential(nn.Linear(64, 48)), saved)


def test_more_layers_than_were_saved_are_refused_by_name(saved):
    model = network()
    model.append(nn.LayerNorm(64))
    with pytest.raises(QuantizationError, match="'3.bias' is missing in the saved"):
        load(model, saved)


def test_a_bias_of_another_shape_is_refused_by_name(saved):
    model = network()
    model[0].bias = nn.Parameter(torch.zeros(1))
    with pytest.raises(QuantizationError, match="'0.bias' was saved with the shape"):
        load(model, saved)


def test_tensors_that_the_manifest_promises_have_to_be_there(saved):
    tensors = load_file(saved / files.WEIGHTS)
    del tensors["0|weight.scales"]
    save_file(tensors, saved / files.WEIGHTS)
    edit(saved, sha256=sha256(saved / files.WEIGHTS))
    with pytest.raises(QuantizationError, match="lack 'weight.scales' of '0'"):
        load(network(), saved)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.first = nn.Embedding(8, 8)
        self.second = nn.Embedding(8, 8)
        self.second.weight = self.first.weight
        self.register_buffer("one", torch.ones(3))
        self.register_buffer("two", self.one)


def test_what_was_tied_is_saved_once_and_is_tied_again(tmp_path):
    model = Tied()
    model.first.weight.requires_grad_(False)
    save(quantize(model, "int8"), tmp_path / "saved")
    again = load(Tied(), tmp_path / "saved")
    assert again.first.weight is again.second.weight
    assert torch.equal(again.first.weight, model.first.weight)
    assert "second.weight" not in load_file(tmp_path / "saved" / files.WEIGHTS)
    assert again.first.weight is not model.first.weight


def test_views_of_one_tensor_can_be_saved(tmp_path):
    model = network()
    whole = torch.arange(8.0)
    model.register_buffer("whole", whole)
    model.register_buffer("part", whole[:4])
    save(quantize(model, "int8"), tmp_path / "saved")
    assert torch.equal(load(model, tmp_path / "saved").part, whole[:4])


def test_a_model_on_the_meta_device_is_enough_to_load_into(saved):
    with torch.device("meta"):
        bare = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 64))
    x = normal(2, 64)
    assert torch.equal(load(bare, saved)(x), load(network(), saved)(x))


def test_buffers_that_are_in_no_file_are_named_when_they_are_empty(tmp_path):
    model = language_model()
    save(quantize(model, "int8"), tmp_path / "saved")
    with pytest.raises(QuantizationError, match="inv_freq' has no values"):
        load(language_model().to("meta"), tmp_path / "saved")


def test_a_folder_in_use_is_not_touched_unless_asked(saved):
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    with pytest.raises(OutputError, match="in use"):
        save(quantize(network(), "int8"), saved)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    save(quantize(network(), "int8"), saved, overwrite=True)
    assert load(network(), saved).xturing_quantization.scheme == "int8"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_what_was_there(saved, tmp_path, monkeypatch, overwrite):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    monkeypatch.setattr(files, "save_file", full)
    folder = saved if overwrite else tmp_path / "new"
    with pytest.raises(OutputError, match="The disk is full"):
        save(quantize(network(), "int8"), folder, overwrite=overwrite)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_only_what_quantize_made_can_be_saved(tmp_path):
    with pytest.raises(QuantizationError, match="not made by xturing.quant.quantize"):
        save(network(), tmp_path / "saved")


def test_a_loaded_model_trains_as_the_given_one_would(saved):
    model = network()
    model[0].bias.requires_grad_(False)
    again = load(model, saved)
    assert [p.requires_grad for p in again.parameters()] == [False, True]
    again(normal(2, 64)).sum().backward()


def test_experts_are_loaded_as_they_were(tmp_path):
    model = language_model("gpt_oss")
    quantized = quantize(model, "int3", skip=())
    save(quantized, tmp_path / "saved")
    ids = token_rows(1)[0]
    assert torch.equal(
        load(model, tmp_path / "saved")(ids).logits, quantized(ids).logits
    )
