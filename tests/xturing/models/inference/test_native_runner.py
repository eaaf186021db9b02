"""The compiled decoder: exact in any batch, true to its weights, built once."""

import itertools
import os
import stat
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engines import (
    IDS,
    NOT_ALONE,
    logits_of,
    read,
    tiny_torch_model,
    torch_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import GROUPED
from transformers import CohereConfig, LlamaConfig, Qwen2Config

from xturing.core.errors import CompileError, EngineError, ModelError
from xturing.models.inference.native import building
from xturing.models.inference.native.weights import rounded
from xturing.models.inference.runner import Work
from xturing.models.inference.runners import native
from xturing.models.inference.runners.native import NativeRunner

ARCHITECTURES = ("odd", "qwen3", "mistral")
TEXTS = [IDS, NOT_ALONE, IDS[::-1], [1]]


@cache
def runner(architecture: str, scheme: str = "int8", threads: int = 1) -> NativeRunner:
    model = tiny_torch_model(architecture)
    return NativeRunner(model, scheme=scheme, threads=threads)


@cache
def alone(architecture: str, scheme: str) -> list[np.ndarray]:
    return [read(runner(architecture, scheme), text) for text in TEXTS]


# ---------------------------------------------------------------- the same to the bit


places = st.lists(st.sets(st.integers(1, 21)), min_size=4, max_size=4)
delays = st.lists(st.integers(0, 6), min_size=4, max_size=4)


@pytest.mark.parametrize("scheme", ["int8", "none"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=15)
@given(places, delays, st.permutations(range(4)))
def test_no_batch_and_no_cut_changes_a_bit(architecture, scheme, cuts, begins, order):
    decoder = runner(architecture, scheme)
    caches = [decoder.open(len(text)) for text in TEXTS]
    pieces = [_cut(text, cut) for text, cut in zip(TEXTS, cuts, strict=True)]
    found: list[list[np.ndarray]] = [[] for _ in TEXTS]
    for moment in range(max(begins) + max(map(len, pieces))):
        going = [index for index in order if moment >= begins[index] and pieces[index]]
        step = {index: pieces[index].pop(0) for index in going}
        logits = decoder.step(
            [Work(caches[index], ids, len(ids)) for index, ids in step.items()]
        )
        ends = np.cumsum([len(ids) for ids in step.values()])
        for index, end in zip(step, ends, strict=True):
            found[index].append(logits[end - len(step[index]) : end])
    for parts, wanted in zip(found, alone(architecture, scheme), strict=True):
        assert np.concatenate(parts).tobytes() == wanted.tobytes()


def _cut(text: list[int], places: set[int]) -> list[list[int]]:
    bounds = [0, *sorted(place for place in places if place < len(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_number_of_threads_changes_a_bit(architecture, threads):
    several = runner(architecture, "int8", threads)
    for text, wanted in zip(TEXTS, alone(architecture, "int8"), strict=True):
        assert read(several, text).tobytes() == wanted.tobytes()
        assert read(several, text, range(1, len(text))).tobytes() == wanted.tobytes()


def test_a_long_text_is_read_in_parts_to_the_same_bits():
    # Of so many tokens, some are put off until the others are through with a weight.
    decoder, text = runner("odd"), (IDS * 150)[:3000]
    whole = decoder.step([Work(decoder.open(3000), text, 3)])
    cache_ = decoder.open(3000)
    for start in range(0, 2800, 700):
        decoder.step([Work(cache_, text[start : start + 700], 0)])
    found = decoder.step([Work(cache_, text[2800:], 3)])
    assert found.tobytes() == whole.tobytes()


def test_the_logits_that_are_wanted_change_no_bit_of_each_other():
    decoder, text = runner("odd"), IDS[:9]
    for wanted in range(len(text) + 1):
        found = decoder.step([Work(decoder.open(9), text, wanted)])
        expected = alone("odd", "int8")[0][9 - wanted : 9]
        assert found.tobytes() == expected.tobytes()


# ---------------------------------------------------------------- true to the weights


@given(
    st.integers(1, 5),
    st.sampled_from([16, 32, 64]),
    st.integers(1, 3),
    st.floats(1e-6, 1e6),
    st.integers(0, 9),
)
def test_no_weight_is_rounded_by_more_than_half_a_step(rows, group, groups, size, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, group * groups, generator=generator) * size
    codes, scales = rounded(weight, group)
    steps = scales.repeat_interleave(group, 1)
    assert ((codes * steps - weight).abs() <= steps * 0.5001).all()
    largest = weight.abs().unflatten(1, (-1, group)).amax(-1)
    assert torch.allclose(scales * 127, largest)


def test_weights_that_are_zero_stay_zero():
    codes, scales = rounded(torch.zeros(2, 32), 32)
    assert not codes.any()
    assert torch.isfinite(scales).all()


@pytest.mark.parametrize("architecture", ["odd", "llama", "qwen3"])
def test_the_decoder_computes_with_the_rounded_weights_and_nothing_else(architecture):
    model = tiny_torch_model(architecture)
    found = read(NativeRunner(model, scheme="int8", threads=1), IDS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                _round(parameter)
    wanted = logits_of(model, IDS)
    assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_inputs_are_rounded_by_less_than_the_weights():
    model = tiny_torch_model("llama")
    found = read(NativeRunner(model, scheme="int8", threads=1), IDS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                _round(parameter)
    exact = read(NativeRunner(model, scheme="none", threads=1), IDS)
    plain = logits_of(tiny_torch_model("llama"), IDS)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact - plain).max()


def test_what_is_no_number_shows_in_the_logits():
    model = tiny_torch_model("llama")
    with torch.no_grad():
        model.model.layers[0].input_layernorm.weight[3] = float("inf")
    found = read(NativeRunner(model, scheme="int8", threads=1), IDS)
    assert np.isnan(found).all()


def test_a_cache_beside_rounded_weights_is_little_more_than_half_as_large():
    rounded_, whole = (runner("llama", scheme).open(10) for scheme in ("int8", "none"))
    size = runner("llama", "none")._loaded.head_size
    assert rounded_.bytes * 4 * size == whole.bytes * (2 * size + 4)


def _round(weight) -> None:
    columns = weight.shape[1]
    stride = -(-columns // 16) * 16
    group = next(size for size in (64, 32, 16) if stride % size == 0)
    wide = torch.nn.functional.pad(weight, (0, stride - columns))
    codes, scales = rounded(wide, group)
    weight.copy_((codes * scales.repeat_interleave(group, 1))[:, :columns])


@pytest.mark.parametrize(
    "config",
    [
        Qwen2Config(
            **GROUPED, use_sliding_window=True, sliding_window=8, max_window_layers=1
        ),
        LlamaConfig(**GROUPED, attention_bias=True, mlp_bias=True),
        LlamaConfig(
            **GROUPED,
            rope_parameters={
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
                "rope_theta": 10000.0,
            },
        ),
        LlamaConfig(
            **GROUPED,
            rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4},
        ),
    ],
    ids=["windows in some layers", "biases", "rope of Llama 3", "YaRN"],
)
def test_other_ways_of_the_architecture_are_read_rightly(config):
    model = torch_model(config)
    found = read(NativeRunner(model, scheme="none", threads=1), IDS)
    wanted = logits_of(model, IDS)
    assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_a_token_that_is_none_is_an_error():
    decoder = runner("odd")
    for token in (-1, 67):
        with pytest.raises(EngineError, match=f"no token {token}"):
            decoder.step([Work(decoder.open(4), [token], 1)])


def test_a_closed_decoder_says_so():
    decoder = NativeRunner(tiny_torch_model("odd"), scheme="int8", threads=1)
    cache_ = decoder.open(4)
    decoder.close()
    decoder.close()
    with pytest.raises(EngineError, match="closed"):
        decoder.step([Work(cache_, [1], 1)])


def test_no_threads_are_one():
    decoder = NativeRunner(tiny_torch_model("odd"), scheme="int8", threads=0)
    assert read(decoder, IDS).tobytes() == alone("odd", "int8")[0].tobytes()


@pytest.mark.parametrize("scheme", ["int8", "none"])
def test_without_vectors_of_its_own_it_computes_the_same(scheme, monkeypatch):
    """As on processors that the decoder's file has no instructions for."""
    monkeypatch.setenv("CXX", f"{building.compiler()} -U__AVX2__")
    plain = building.library.__wrapped__()
    monkeypatch.setattr(native, "library", lambda: plain)
    made = NativeRunner(tiny_torch_model("odd"), scheme=scheme, threads=1)
    for text, wanted in zip(TEXTS, alone("odd", scheme), strict=True):
        found = read(made, text)
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
        assert read(made, text, range(1, len(text))).tobytes() == found.tobytes()


# ---------------------------------------------------------------- what it cannot do


def partly_rotated():
    model = tiny_torch_model("llama")
    rotary = model.model.rotary_emb
    rotary.inv_freq = rotary.inv_freq[:2]
    return model


def with_a_head_bias():
    model = tiny_torch_model("llama")
    model.lm_head.bias = torch.nn.Parameter(torch.ones(512))
    return model


def with_a_narrower_block():
    model = tiny_torch_model("llama")
    block = model.model.layers[1].mlp
    block.gate_proj = torch.nn.Linear(32, 48, bias=False)
    return model


def rotated_by(kind: str, **more):
    rope = {"rope_type": kind, "factor": 2.0, "rope_theta": 1e4, **more}
    return torch_model(LlamaConfig(**GROUPED, rope_parameters=rope))


REFUSED = {
    "GPT2.* has no 'layers'": lambda: tiny_torch_model("gpt2"),
    "Gemma3.* activation is": lambda: tiny_torch_model("gemma3"),
    "Mixtral.* have 'mlp.experts'": lambda: tiny_torch_model("mixtral"),
    "Phi3.* have 'mlp.activation_fn'": lambda: tiny_torch_model("phi3"),
    "Mamba.* has no 'embed_tokens'": lambda: tiny_torch_model("mamba"),
    "rotates only parts": partly_rotated,
    "head has a bias": with_a_head_bias,
    "different sizes .mlp.gate_proj": with_a_narrower_block,
    "no weights 'post_attention_layernorm'": lambda: torch_model(
        CohereConfig(**GROUPED)
    ),
    "rotations depend on the length": lambda: rotated_by("dynamic"),
    "depend on the length of the text": lambda: rotated_by(
        "longrope",
        short_factor=[1.0] * 4,
        long_factor=[2.0] * 4,
        original_max_position_embeddings=16,
    ),
    "attention depends on the length": lambda: tiny_torch_model("ministral_3"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_decoder_cannot_compute_is_refused_with_the_reason(reason):
    with pytest.raises(ModelError, match=f"'native' cannot do with .*{reason}"):
        NativeRunner(REFUSED[reason](), scheme="none", threads=1)


# ---------------------------------------------------------------- how it is built


def compiled():
    """Return the decoder as another process would get it."""
    return building.library.__wrapped__()


def script(folder: Path, *lines: str) -> str:
    file = folder / "compiler"
    file.write_text("\n".join(["#!/bin/sh", *lines]))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    with pytest.raises(CompileError, match="no C.. compiler .*apt install g"):
        compiled()


def test_it_is_compiled_once_and_kept(monkeypatch):
    compiled()
    monkeypatch.setattr(building.subprocess, "run", None)
    compiled()


def test_torchs_threads_are_no_reason_to_compile_anew(monkeypatch):
    compiled()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    monkeypatch.setattr(os, "cpu_count", lambda: 77)
    monkeypatch.setattr(building.subprocess, "run", None)
    compiled()


def test_another_processor_is_a_reason_to_compile_anew(monkeypatch):
    monkeypatch.setattr(building, "processor", lambda: "another one")
    seen = []

    def run(command, **_):
        seen.append(command)
        return SimpleNamespace(returncode=1, stderr=b"")

    monkeypatch.setattr(building.subprocess, "run", run)
    with pytest.raises(CompileError):
        compiled()
    assert seen


def test_a_compiler_that_fails_has_its_first_words_told(monkeypatch, tmp_path):
    broken = script(tmp_path, "echo 'no such header' >&2", "echo more >&2", "exit 1")
    monkeypatch.setenv("CXX", broken)
    with pytest.raises(
        CompileError, match="cannot compile the decoder: no such header$"
    ):
        compiled()


def test_a_compiler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(CompileError, match="^/no/such/compiler cannot compile"):
        compiled()


def test_a_compiler_may_be_named_with_options(monkeypatch, tmp_path):
    telling = script(tmp_path, 'echo "$1" >&2', "exit 1")
    monkeypatch.setenv("CXX", f"{telling} --first")
    with pytest.raises(CompileError, match="decoder: --first$"):
        compiled()


def test_a_failed_compiler_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("XTURING_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(CompileError, match="no reason told"):
        compiled()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_decoder_that_cannot_be_loaded_is_no_crash(monkeypatch, tmp_path):
    monkeypatch.setenv("XTURING_HOME", str(tmp_path))
    empty = script(tmp_path, 'for last; do :; done; : > "$last"')
    monkeypatch.setenv("CXX", empty)
    with pytest.raises(CompileError, match="cannot be loaded"):
        compiled()
