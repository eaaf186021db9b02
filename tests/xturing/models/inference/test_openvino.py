"""OpenVINO's runner: its logits are the model's own, however texts are read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig

from xturing.core.errors import ModelError, SettingsError
from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.models.inference.engine import EngineOptions
from xturing.models.inference.openvino import keeping
from xturing.models.inference.openvino.checking import TOLERANCE, difference
from xturing.models.inference.openvino.graphs import graph
from xturing.models.inference.openvino.library import openvino
from xturing.models.inference.openvino.rounding import rounded
from xturing.models.inference.openvino.tracing import traced
from xturing.models.inference.runner import Work
from xturing.models.inference.runners.openvino import OpenVINORunner, open_runner

WHOLE = EngineOptions(weights="none", threads=1)
TEXT = [int(i) for i in np.random.default_rng(0).integers(3, 480, 90)]
"""Longer than two blocks of the cache, and than tiny models' windows of 8 tokens."""
OTHER = TEXT[::-1]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """Keep converted models in a folder of these tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "cache_folder", lambda: folder)
        yield folder


@pytest.fixture(scope="module")
def llama(tiny_folder) -> BaseModel:
    return GenericModel(tiny_folder)


@pytest.fixture(scope="module")
def runner(llama) -> Iterator[OpenVINORunner]:
    made = open_runner(llama, WHOLE)
    yield made
    made.close()


def expected(model: BaseModel, ids: list[int] = TEXT) -> np.ndarray:
    """Return the torch model's logits for a text, of shape (tokens, vocabulary)."""
    with torch.inference_mode():
        return model.engine.model(torch.tensor([ids])).logits[0].numpy()


def read(runner: OpenVINORunner, sizes: list[int], ids: list[int] = TEXT) -> np.ndarray:
    """Return a text's logits, read in parts of these sizes and the rest at once."""
    ends = [*np.cumsum(sizes).clip(max=len(ids)), len(ids)]
    parts = [ids[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True) if b > a]
    cache = runner.open(len(ids))
    logits = [runner.step([Work(cache, part, len(part))]) for part in parts]
    runner.release(cache)
    return np.concatenate(logits)


def same(logits: np.ndarray, others: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    return logits.shape == others.shape and difference(logits, others) < tolerance


def conversions(monkeypatch) -> list[object]:
    """Return a list that gets longer with each conversion."""
    done: list[object] = []
    export = torch.export.export

    def counted(*given, **options):
        done.append(given)
        return export(*given, **options)

    monkeypatch.setattr(torch.export, "export", counted)
    return done


# What is computed.


@pytest.mark.parametrize(
    "architecture", ["gpt2", "opt", "pythia", "gemma3", "mistral", "qwen3"]
)
def test_logits_are_those_of_the_torch_model(architecture, tmp_path):
    model = GenericModel(tiny.save_folder(tmp_path / architecture, architecture))
    runner = open_runner(model, WHOLE)
    assert same(read(runner, [33, 1, 1, 20, 1]), expected(model))


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 40), max_size=12))
def test_however_a_text_is_divided_its_logits_are_the_same(llama, runner, sizes):
    assert same(read(runner, sizes), expected(llama))


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), data=st.data())
def test_texts_beside_each_other_do_not_change_each_other(runner, lengths, data):
    pasts = [data.draw(st.integers(0, length - 1)) for length in lengths]
    texts = [TEXT[i : i + length] for i, length in enumerate(lengths)]
    alone = [
        read(runner, [past], ids)[-1] for past, ids in zip(pasts, texts, strict=True)
    ]
    caches = [runner.open(length) for length in lengths]
    for cache, past, ids in zip(caches, pasts, texts, strict=True):
        if past:
            runner.step([Work(cache, ids[:past], 0)])
    together = runner.step(
        [Work(c, ids[p:]) for c, p, ids in zip(caches, pasts, texts, strict=True)]
    )
    for cache in caches:
        runner.release(cache)
    assert same(together, np.stack(alone), 1e-4)


def test_only_wanted_logits_are_returned_in_the_order_of_the_work(llama, runner):
    first, second, third = (runner.open(90) for _ in range(3))
    work = [Work(first, TEXT, 3), Work(second, OTHER[:9], 0), Work(third, OTHER, 2)]
    wanted = [expected(llama)[-3:], expected(llama, OTHER)[-2:]]
    assert same(runner.step(work), np.concatenate(wanted))


def test_where_no_logits_are_wanted_there_are_none(runner):
    logits = runner.step([Work(runner.open(9), TEXT[:9], 0)])
    assert logits.shape == (0, runner.vocabulary)


def test_a_copy_goes_on_from_the_tokens_that_it_was_given(llama, runner):
    source = runner.open(90)
    runner.step([Work(source, TEXT[:50], 0)])
    copied = runner.copy(source, 40, 90)
    runner.step([Work(source, OTHER[:30], 0)])
    assert copied.length == 40
    logits = runner.step([Work(copied, TEXT[40:], 50)])
    assert same(logits, expected(llama)[40:])


def test_what_a_copy_reads_does_not_change_its_source(llama, runner):
    source = runner.open(90)
    runner.step([Work(source, TEXT[:50], 0)])
    copied = runner.copy(source, 50, 90)
    runner.step([Work(copied, OTHER[:30], 0)])
    assert same(runner.step([Work(source, TEXT[50:], 40)]), expected(llama)[50:])


def test_after_a_trim_other_tokens_can_follow(llama, runner):
    cache = runner.open(90)
    runner.step([Work(cache, TEXT[:35] + OTHER[:20], 0)])
    runner.trim(cache, 35)
    assert same(runner.step([Work(cache, TEXT[35:], 55)]), expected(llama)[35:])


def test_more_memory_for_others_leaves_what_was_read(llama, runner):
    cache = runner.open(90)
    runner.step([Work(cache, TEXT[:50], 0)])
    others = [runner.open(400) for _ in range(20)]
    assert same(runner.step([Work(cache, TEXT[50:], 40)]), expected(llama)[50:])
    for other in others:
        runner.release(other)


def test_memory_that_was_given_back_is_used_again(runner):
    runner.release(runner.open(300))
    before = next(iter(runner._pool.tensors.values())).shape
    for _ in range(20):
        runner.release(runner.open(300))
    assert next(iter(runner._pool.tensors.values())).shape == before


# Which weights.


def test_rounded_weights_are_within_half_a_step(runner):
    weight = np.random.default_rng(0).normal(size=(7, 40)).astype(np.float32)
    codes, scales = rounded(weight)
    assert (np.abs(codes * scales - weight) <= scales / 2 * (1 + 1e-6)).all()


def test_int8_is_the_default_and_its_fidelity_is_kept_beside_it(llama, cache):
    open_runner(llama, EngineOptions()).close()
    cards = [keeping._card(file.parent) for file in cache.rglob(keeping.CARD)]
    agreements = [card.top1_agreement for card in cards if card.scheme == "int8"]
    assert agreements
    assert all(agreement > 0.9 for agreement in agreements)


def test_a_model_that_rounding_ruins_is_refused(tiny_folder):
    model = GenericModel(tiny_folder)
    with torch.no_grad():
        for layer in model.engine.model.model.layers:
            # A neuron that never fires, of huge weight: the others' are rounded away.
            layer.mlp.up_proj.weight[0] = 0
            layer.mlp.down_proj.weight[:, 0] = 1e4
    with pytest.raises(ModelError, match='only .*%.*whole: weights="none"'):
        open_runner(model, EngineOptions())


def test_an_adapter_is_worked_in_and_the_model_stays_as_it_was(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    for name, parameter in model.prepare_training().named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.engine.model.eval()
    before = expected(model)
    runner = open_runner(model, WHOLE)
    assert same(read(runner, []), before)
    assert model.has_adapter
    assert np.array_equal(expected(model), before)


def test_quantized_weights_are_taken_as_they_are(tiny_folder):
    model = BaseModel.create("generic_int4", model_name=tiny_folder)
    assert same(read(open_runner(model, WHOLE), []), expected(model))


def test_the_model_keeps_its_own_attention(llama, runner):
    assert llama.engine.model.config._attn_implementation == "sdpa"


# Which models.

REFUSED = {
    "bloom": "takes no position_ids",
    "falcon": "does not use transformers' attention interface",
    "gpt_oss": "its attention has sinks",
    "mamba": "takes no position_ids",
    "mixtral": "No conversion rule found",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("architecture", REFUSED)
def test_a_model_that_cannot_be_converted_is_refused_with_the_reason(
    architecture, tmp_path
):
    model = GenericModel(tiny.save_folder(tmp_path / architecture, architecture))
    with pytest.raises(ModelError, match=f"{REFUSED[architecture]}.*engine 'torch'"):
        open_runner(model, WHOLE)


def test_positions_that_depend_on_a_text_s_length_are_refused():
    options = tiny.GROUPED | {"num_hidden_layers": 1}
    scaled = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
        "factor": 8.0,
    }
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(**options, rope_parameters=scaled)
    )
    with pytest.raises(ModelError, match="carries numbers from one text to the next"):
        graph(traced(model.eval()), "llama")


def test_a_wrong_conversion_is_not_served(tiny_gpt2_folder, tmp_path, monkeypatch):
    model = GenericModel(tiny_gpt2_folder)

    def wrong(module):
        trace = traced(module)
        layers = [a.model_copy(update={"scale": 2.0}) for a in trace.layers]
        return SimpleNamespace(program=trace.program, layers=tuple(layers))

    monkeypatch.setattr(keeping, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "traced", wrong)
    with pytest.raises(ModelError, match="differ from torch's by"):
        open_runner(model, WHOLE)


def test_other_schemes_are_refused(llama):
    with pytest.raises(SettingsError, match="'int4'.*int8 and none"):
        open_runner(llama, EngineOptions(weights="int4"))


def test_adapters_beside_the_model_are_refused(llama):
    with pytest.raises(SettingsError, match="serves no adapters"):
        open_runner(llama, EngineOptions(adapters={"mine": Path("adapter")}))


# What is kept.


def never(graph, layers):
    pytest.fail("nothing is to be run here")


def test_a_model_is_converted_once(llama, runner, tiny_folder, monkeypatch):
    done = conversions(monkeypatch)
    again = open_runner(GenericModel(tiny_folder), WHOLE)
    assert not done
    assert same(read(again, []), expected(llama), 1e-6)


def test_other_weights_are_another_model(runner, tiny_folder, monkeypatch):
    done = conversions(monkeypatch)
    model = GenericModel(tiny_folder)
    with torch.no_grad():
        model.engine.model.lm_head.weight[7] += 1
    assert same(read(open_runner(model, WHOLE), []), expected(model))
    assert len(done) == 1


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "logits.npy", keeping.CARD])
def test_damaged_files_are_made_anew(name, llama, tmp_path, monkeypatch):
    made: list[Path] = []

    def convert(model, module, scheme, folder, run):
        made.append(folder)
        card = keeping.Card(layers=(), scheme=scheme, probe=())
        constant = openvino().opset13.constant(np.ones(3000, np.float32))
        keeping._write(folder, openvino().Model([constant], [], "x"), card, np.zeros(1))

    monkeypatch.setattr(keeping, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "_convert", convert)
    folder = keeping.kept(llama, "none", never).folder
    with (folder / name).open("r+b") as file:
        file.truncate(9)
    keeping.kept(llama, "none", never)
    keeping.kept(llama, "none", never)
    assert made == [folder, folder]


def test_logits_that_came_out_otherwise_are_not_served(llama, runner, monkeypatch):
    monkeypatch.setattr(keeping.Kept, "logits", lambda self: np.ones((48, 512)))
    with pytest.raises(ModelError, match="differ by .* from those when it was made"):
        open_runner(llama, WHOLE)


WATCHED = """
import sys
seen = []
kinds = "socket.connect", "socket.getaddrinfo", "socket.sendto"
sys.addaudithook(lambda event, given: event in kinds and seen.append((event, given)))
from xturing.models import GenericModel
{use}
names = [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert not seen and not names, (seen, names)
"""


OPENED = """
from xturing.models.inference.engine import EngineOptions
from xturing.models.inference.runners.openvino import open_runner
open_runner(GenericModel(sys.argv[1]), EngineOptions()).close()
"""
EXPORTED = """
from xturing.models.exporting import export
export(GenericModel(sys.argv[1]), "openvino", "exported")
"""


@pytest.mark.parametrize("use", [OPENED, EXPORTED], ids=["opened", "exported"])
def test_nothing_is_told_over_the_network(use, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XTURING_HOME", str(tmp_path / "cache"))
    command = [sys.executable, "-c", WATCHED.format(use=use), str(tiny_folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


STOPPED = """
import signal, sys
from xturing.models import GenericModel
from xturing.models.inference.engine import complete, open_engine
from xturing.models.inference.requests import Decoding, Request
engine = open_engine(GenericModel(sys.argv[1]), "openvino")
complete(engine, [Request(prompt=(5, 9, 7), decoding=Decoding(max_new_tokens=2))])
engine.close()
del engine
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    sys.exit(77)
"""


def test_a_program_can_be_interrupted_after_an_engine_was_closed(tiny_folder, cache):
    """OpenVINO has signals handled in memory that it gives back from any thread."""
    command = [sys.executable, "-c", STOPPED, str(tiny_folder)]
    home = os.environ | {"XTURING_HOME": str(cache)}
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=home
    )
    assert ended.returncode == 77, ended.stderr[-2000:]
