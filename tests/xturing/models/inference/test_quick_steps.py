"""Steps by graphs: whose logits they give, when they are taken, and what has none."""

import numpy as np
import pytest
import torch
from engines import IDS, NOT_ALONE, logits_of, tiny_torch_model
from peft import LoraConfig, get_peft_model

from xturing.models.inference.runner import Work
from xturing.models.inference.runners import quick
from xturing.models.inference.runners.torch import RowRunner
from xturing.models.inference.runners.workers import dismiss_workers
from xturing.quant import quantize

TAKEN = (
    *("llama", "gpt2", "gemma3", "qwen2_5", "qwen3", "mistral", "smollm3", "odd"),
    *("olmo2", "phi3", "pythia", "cerebras"),
)
"""Graphs can be taken of these; biases, windows and odd sizes are among them."""
ROUTED = ("mixtral", "deepseek", "minimax_m2")
"""Experts are chosen by what a token is."""


class Watched:
    """A runner, and how often its model's own way was taken."""

    def __init__(self, model, adapters=()):
        self.runner = RowRunner(model, "cpu", adapters)
        self.asked = 0
        plain = model.get_base_model() if adapters else model
        plain.register_forward_hook(self._count)

    def _count(self, *_):
        self.asked += 1

    def begun(self, ids, adapter=None):
        cache = self.runner.open(len(IDS), adapter)
        self.runner.step([Work(cache, ids[:1], 0)])
        return cache

    def written(self, *texts, adapter=None):
        """Return each text's logits after the first token, read token by token."""
        caches = [self.begun(text, adapter) for text in texts]
        found = [[] for _ in texts]
        for place in range(1, max(map(len, texts))):
            going = [n for n, text in enumerate(texts) if place < len(text)]
            work = [Work(caches[n], texts[n][place : place + 1]) for n in going]
            for n, logits in zip(going, self.runner.step(work), strict=True):
                found[n].append(logits)
        return [np.stack(each) for each in found]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(quick, "PATIENCE", 2)


def are_near(found, wanted):
    return np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize("architecture", [*TAKEN, *ROUTED])
def test_logits_stay_those_of_the_model(architecture):
    model = tiny_torch_model(architecture)
    (found,) = Watched(model).written(IDS)
    assert are_near(found, logits_of(model, IDS)[1:])


@pytest.mark.parametrize("architecture", TAKEN)
def test_the_models_own_way_is_left_once_a_text_is_under_way(architecture):
    watched = Watched(tiny_torch_model(architecture))
    watched.written(IDS)
    before = watched.asked
    watched.written(IDS)
    assert watched.asked == before


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "odd", "mixtral"])
@pytest.mark.parametrize("others", [1, 2, 4])
def test_sequences_beside_each_other_have_the_logits_that_each_has_alone(
    architecture, others
):
    model = tiny_torch_model(architecture)
    texts = [IDS, *[NOT_ALONE] * others]
    for found, text in zip(Watched(model).written(*texts), texts, strict=True):
        assert are_near(found, logits_of(model, text)[1:])


def test_a_graph_gives_only_the_logits_that_are_wanted():
    model = tiny_torch_model("llama")
    watched = Watched(model)
    watched.written(IDS, NOT_ALONE)
    caches = [watched.begun(IDS), watched.begun(NOT_ALONE)]
    work = [Work(caches[0], IDS[1:2], 0), Work(caches[1], NOT_ALONE[1:2], 1)]
    found = watched.runner.step(work)
    assert found.shape == (1, 512)
    assert are_near(found[0], logits_of(model, NOT_ALONE)[1])


def test_each_adapter_has_graphs_of_its_own():
    model = get_peft_model(
        tiny_torch_model("llama"), LoraConfig(r=2, target_modules=["q_proj", "up_proj"])
    )
    model.add_adapter("law", LoraConfig(r=2, target_modules=["v_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.fill_(0.1)
    wanted = {}
    for name in ("default", "law"):
        model.set_adapter(name)
        wanted[name] = logits_of(model, IDS)[1:]
    with model.disable_adapter():
        wanted[None] = logits_of(model, IDS)[1:]
    watched = Watched(model, ("default", "law"))
    for name in ("law", None, "default", None, "law"):
        assert are_near(watched.written(IDS, adapter=name)[0], wanted[name])


def test_weights_are_read_where_the_model_has_them():
    model = tiny_torch_model("llama")
    watched = Watched(model)
    watched.written(IDS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert are_near(watched.written(IDS)[0], logits_of(model, IDS)[1:])


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_packed_weights_are_read_by_graphs_too(scheme):
    model = quantize(tiny_torch_model("llama"), scheme)
    watched = Watched(model)
    (wanted,) = watched.written(IDS[:3])
    watched.written(IDS)
    before = watched.asked
    (found,) = watched.written(IDS[:3])
    assert watched.asked == before
    assert are_near(found, wanted)


def test_a_model_whose_way_depends_on_the_text_keeps_its_own():
    model = tiny_torch_model("llama")
    layer = model.model.layers[0].mlp
    before = layer.forward
    # Each token is told apart from the others, as experts tell them.
    layer.forward = lambda x: torch.cat(
        [before(row) * (2 if row.sum().item() > 0 else 1) for row in x.split(1, 1)], 1
    )
    watched = Watched(model)
    (found,) = watched.written(IDS)
    assert watched.asked == len(IDS)
    assert are_near(found, logits_of(model, IDS)[1:])


def test_what_cannot_be_taken_is_not_tried_twice(monkeypatch):
    tries = []

    def refusing(*given):
        tries.append(given)
        raise RuntimeError("no graph of this")

    monkeypatch.setattr(quick, "captured", refusing)
    model = tiny_torch_model("llama")
    (found,) = Watched(model).written(IDS)
    assert are_near(found, logits_of(model, IDS)[1:])
    assert len(tries) == 1


def test_a_graph_with_other_logits_is_not_used(monkeypatch):
    monkeypatch.setattr(
        quick, "captured", lambda *_: lambda ids, _: torch.ones(*ids.shape, 512)
    )
    model = tiny_torch_model("llama")
    (found,) = Watched(model).written(IDS)
    assert are_near(found, logits_of(model, IDS)[1:])


def test_other_number_formats_are_read_in_the_models_own_way(monkeypatch):
    monkeypatch.setattr(quick, "captured", None)
    watched = Watched(tiny_torch_model("llama").to(torch.bfloat16))
    watched.written(IDS)
    assert watched.asked == len(IDS)


def test_dismissed_workers_are_replaced():
    a = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    before, threads = a @ a, torch.get_num_threads()
    dismiss_workers()
    assert torch.equal(a @ a, before)
    assert torch.get_num_threads() == threads
