"""`xturing quantize`: what it shows, what it writes, and what it refuses."""

import json
import re

import pytest
import tiny
import torch

from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.models.fidelity import compare


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(tiny.ROWS))
    return file


@pytest.fixture
def fast(tiny_folder):
    """Return options that quantize a tiny model, and accept whatever comes of it."""
    options = ["-m", "generic", "--weights", tiny_folder]
    return [*options, "--scheme", "int4", "--max-loss-increase", 9]


def shown(out: str, title: str) -> str:
    """Return what the command says beside a title."""
    return next(line for line in out.splitlines() if line.startswith(title))


def test_the_saved_folder_answers_as_the_quantized_model(
    xturing, fast, tiny_folder, tmp_path
):
    done = xturing("quantize", *fast, "-o", tmp_path / "out")
    assert done.code == 0
    saved = BaseModel.load(tmp_path / "out")
    made = GenericModel(tiny_folder).quantize("int4")
    assert saved.config_name == "generic_int4"
    assert torch.equal(tiny.logits(saved), tiny.logits(made))
    assert f"xturing chat -m {tmp_path / 'out'}" in done.out


def test_every_figure_is_that_of_the_comparison(xturing, fast, tiny_folder):
    out = xturing("quantize", *fast, "-o", "out").out
    whole = GenericModel(tiny_folder)
    found = compare(whole, whole.quantize("int4"))
    assert shown(out, "Scheme").split() == ["Scheme", "int4"]
    assert "native: its packed kernels" in shown(out, "Backend")
    assert f"{found.divergence:.4f} nats" in shown(out, "Divergence")
    assert f"{100 * found.top1_agreement:.1f} %" in shown(out, "Same first choice")
    losses = f"{found.loss_before:.4f} -> {found.loss_after:.4f}"
    assert losses in shown(out, "Loss")
    assert f"({found.loss_increase:+.4f})" in shown(out, "Loss")
    assert f"{found.decibels:.1f} dB" in shown(out, "Weight error")
    worst = min(found.layers, key=lambda layer: layer.decibels)
    assert worst.name in shown(out, "  the worst")
    sizes = f"{found.bytes_before:,} -> {found.bytes_after:,}"
    assert sizes in shown(out, "Quantized weights")
    made = BaseModel.load("out")
    sizes = f"{whole.engine.size_in_bytes:,} -> {made.engine.size_in_bytes:,} bytes"
    assert sizes in shown(out, "The whole model")


def test_a_model_that_lost_too_much_is_not_written(xturing, tiny_folder, tmp_path):
    options = ["-m", "generic", "--weights", tiny_folder, "--scheme", "int1"]
    done = xturing(
        "quantize", *options, "--max-loss-increase", 0.0001, "-o", tmp_path / "out"
    )
    assert done.code == 3
    assert re.search(r"error: [\d.]+ nats a token are lost, [\d.]+ more", done.err)
    assert "int8, int4, nf4, fp4, int3, int2" in done.err
    assert "--calibrate" in done.err
    assert not list(tmp_path.iterdir())


def test_a_larger_limit_lets_the_same_model_through(xturing, tiny_folder, tmp_path):
    options = ["-m", "generic", "--weights", tiny_folder, "--scheme", "int1"]
    done = xturing("quantize", *options, "--max-loss-increase", 9, "-o", "out")
    assert done.code == 0
    assert BaseModel.load(tmp_path / "out").quantization.scheme == "int1"


def test_rows_of_one_s_own_are_compared_on(xturing, fast, data):
    done = xturing("quantize", *fast, "-o", "out", "--check", data)
    assert f"tokens of {len(tiny.ROWS)} rows of" in shown(done.out, "Compared on")


def test_calibration_reads_only_so_many_rows(xturing, fast, data, tmp_path):
    plain = xturing("quantize", *fast, "-o", tmp_path / "plain")
    options = ["--calibrate", data, "--limit", 5, "-o", tmp_path / "calibrated"]
    done = xturing("quantize", *fast, *options)
    assert (plain.code, done.code) == (0, 0)
    assert "Calibrating on 5 rows" in done.err
    models = [BaseModel.load(tmp_path / name) for name in ("plain", "calibrated")]
    assert not torch.equal(*map(tiny.logits, models))


def test_group_size_and_skipped_layers_are_heeded(xturing, fast, tmp_path):
    options = ["--group-size", 16, "--skip", "head", "--skip", "*.0.*"]
    assert xturing("quantize", *fast, *options, "-o", "out").code == 0
    found = BaseModel.load(tmp_path / "out").quantization
    assert found.group_size == 16
    assert found.skip == ("embeddings", "head", "*.0.*")


def test_an_adapter_is_merged_first_and_this_is_said(xturing, tiny_folder, tmp_path):
    model = GenericLoraModel(tiny_folder)
    model.prepare_training()
    model.save(tmp_path / "adapter")
    options = ["--scheme", "int8", "-o", tmp_path / "out"]
    done = xturing("quantize", "-m", tmp_path / "adapter", *options)
    assert done.code == 0
    assert "Merging the adapter" in done.err
    assert BaseModel.load(tmp_path / "out").config_name == "generic_int8"


MISTAKES = {
    "an unknown scheme": (["--scheme", "int5"], "no quantization scheme 'int5'"),
    "an unknown backend": (["--backend", "natve"], "natve.*'native'"),
    "a backend that lacks the scheme": (
        ["--scheme", "int3", "--backend", "bitsandbytes"],
        "bitsandbytes.*cannot keep int3.*These can: native",
    ),
    "an output folder in use": (["-o", "."], "in use already"),
    "missing rows to check on": (["--check", "gone.json"], "gone.json"),
    "missing rows to calibrate on": (["--calibrate", "gone.json"], "gone.json"),
    "a limit of nothing": (
        ["--calibrate", "rows.json", "--limit", "0"],
        "limit of 0 leaves no rows",
    ),
    "a layer that is not there": (["--skip", "q_prj"], "'q_prj'.*'q_proj'|no layer"),
    "an unknown model": (["-m", "smolm2"], "no model 'smolm2'"),
    "a model that is quantized already": (
        ["-m", "generic_int8"],
        "int8 weights already.*Start from 'generic'",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_a_code(
    xturing, data, fast, tmp_path, options, message
):
    done = xturing("quantize", *fast, "-o", "out", *options)
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert re.search(message, line)
    assert list(tmp_path.iterdir()) == [data]


@pytest.mark.parametrize(
    "options",
    [
        ["--group-size", 0],
        ["--max-loss-increase", -1],
        ["--max-loss-increase", "nan"],
        ["--limit", "x"],
    ],
)
def test_a_figure_out_of_range_is_a_usage_error(xturing, fast, options):
    assert xturing("quantize", *fast, "-o", "out", *options).code == 2
