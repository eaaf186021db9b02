"""What every runner has to do, and which way the torch runner reads a model."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from engines import (
    IDS,
    NOT_ALONE,
    RUNNERS,
    logits_of,
    read,
    tiny_torch_model,
    torch_model,
)
from tiny import CONFIGS, EXPERTS, GROUPED
from transformers import Gemma2Config, Llama4TextConfig, LlamaConfig, RwkvConfig

from xturing.core.errors import EngineError, ModelError
from xturing.models.inference.runner import Work
from xturing.models.inference.runners.torch import OneByOneRunner, open_runner

EVERYWHERE = ("llama", "qwen2_5", "qwen3", "mistral", "smollm3", "odd")
REWINDING = [
    *(("rows", name) for name in ("gpt2", "gemma3", "deepseek", "mixtral")),
    *(("one by one", name) for name in ("bloom", "falcon", "odd")),
    *((way, name) for way in ("rows", "native") for name in EVERYWHERE),
]
FORGETFUL = [("one by one", name) for name in ("mistral", "gpt_oss", "mamba")]
"""Runners that cannot go back: windows and states have forgotten what was there."""


class Case:
    """A runner, and the logits that are right."""

    def __init__(self, way: str, architecture: str) -> None:
        model = tiny_torch_model(architecture)
        self.runner = RUNNERS[way](model)
        self.wanted = logits_of(model, IDS)
        self.beside = logits_of(model, NOT_ALONE)

    def step(self, *work: tuple) -> np.ndarray:
        return self.runner.step([Work(*each) for each in work])

    def begun(self, length: int, capacity: int = len(IDS)):
        """Return a cache that has read the first tokens."""
        made = self.runner.open(capacity)
        self.step((made, IDS[:length], 0))
        return made


made = cache(Case)


@pytest.fixture(params=[*REWINDING, *FORGETFUL], ids=" ".join)
def case(request):
    return made(*request.param)


@pytest.fixture(params=REWINDING, ids=" ".join)
def rewinding(request):
    return made(*request.param)


def are_near(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.shape == wanted.shape and bool(
        np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()
    )


@pytest.mark.parametrize(
    "cuts",
    [(), (1, 2, 9, 11), tuple(range(1, len(IDS)))],
    ids=["whole", "pieces", "token by token"],
)
def test_logits_are_those_of_transformers_however_a_text_is_cut(case, cuts):
    assert are_near(read(case.runner, IDS, cuts), case.wanted)


def test_logits_are_those_of_transformers_beside_others(case):
    one, other = case.runner.open(len(IDS)), case.runner.open(len(NOT_ALONE))
    first = case.step((other, NOT_ALONE[:3], 3), (one, IDS[:9], 9))
    second = case.step((one, IDS[9:], len(IDS) - 9), (other, NOT_ALONE[3:4], 1))
    third = case.step((other, NOT_ALONE[4:], 3))
    assert are_near(np.concatenate([first[3:], second[:-1]]), case.wanted)
    assert are_near(np.concatenate([first[:3], second[-1:], third]), case.beside)


def test_only_the_wanted_logits_are_returned(case):
    caches = [case.runner.open(len(IDS)) for _ in range(3)]
    found = case.step((caches[0], IDS, 0), (caches[1], IDS, 1), (caches[2], IDS, 5))
    wanted = np.concatenate([case.wanted[-1:], case.wanted[-5:]])
    assert are_near(found, wanted)
    assert found.dtype == np.float32


def test_a_step_of_which_nothing_is_wanted_is_taken_all_the_same(case):
    cache = case.begun(9)
    assert cache.length == 9
    assert are_near(case.step((cache, IDS[9:], 13)), case.wanted[9:])


def test_nothing_wanted_has_a_row_for_nothing(case):
    cache = case.runner.open(4)
    assert case.step((cache, IDS[:4], 0)).shape == (0, case.runner.vocabulary)


def test_more_than_there_is_room_for_is_an_error(case):
    cache = case.begun(4, capacity=6)
    with pytest.raises(EngineError, match="6 tokens"):
        case.step((cache, IDS[4:7], 1))
    assert cache.length == 4


def test_a_cache_can_be_filled_to_its_capacity(case):
    cache = case.begun(4, capacity=6)
    assert are_near(case.step((cache, IDS[4:6], 2)), case.wanted[4:6])


@pytest.mark.parametrize("length", [1, 21])
def test_a_copy_goes_on_as_its_beginning_would(rewinding, length):
    source = rewinding.begun(21)
    copy = rewinding.runner.copy(source, length, len(IDS))
    rest = len(IDS) - length
    assert copy.length == length
    assert are_near(
        rewinding.step((copy, IDS[length:], rest)), rewinding.wanted[length:]
    )


def test_a_copy_and_its_source_do_not_touch_each_other(rewinding):
    source = rewinding.begun(9)
    copy = rewinding.runner.copy(source, 5, 12)
    rewinding.step((copy, NOT_ALONE, 0))
    found = rewinding.step((source, IDS[9:], len(IDS) - 9))
    assert are_near(found, rewinding.wanted[9:])


def test_a_copy_outlives_its_source(rewinding):
    source = rewinding.begun(9)
    copy = rewinding.runner.copy(source, 9, len(IDS))
    rewinding.runner.release(source)
    found = rewinding.step((copy, IDS[9:], len(IDS) - 9))
    assert are_near(found, rewinding.wanted[9:])


@pytest.mark.parametrize("length", [1, 15])
def test_what_was_trimmed_is_forgotten(rewinding, length):
    cache = rewinding.begun(length)
    rewinding.step((cache, NOT_ALONE[:5], 0))
    rewinding.runner.trim(cache, length)
    found = rewinding.step((cache, IDS[length:], len(IDS) - length))
    assert are_near(found, rewinding.wanted[length:])


def test_another_runners_cache_is_refused(case):
    with pytest.raises(TypeError, match="no cache of this runner"):
        case.step((SimpleNamespace(length=0, capacity=9, adapter=None), [1], 1))


# ---------------------------------------------------------------- the way that is taken


def chosen(model):
    checkpoint = SimpleNamespace(model=model, device=SimpleNamespace(name="cpu"))
    return open_runner(checkpoint, {})


@pytest.mark.parametrize(
    ("architecture", "way", "rewinds"),
    [
        ("llama", "RowRunner", True),
        ("mistral", "RowRunner", True),
        ("gemma3", "RowRunner", True),
        ("gpt2", "RowRunner", True),
        ("bloom", "OneByOneRunner", True),
        ("gptj", "OneByOneRunner", True),
        ("gpt_oss", "OneByOneRunner", False),
        ("mamba", "OneByOneRunner", False),
    ],
)
def test_a_model_is_read_in_rows_where_that_is_right(architecture, way, rewinds):
    runner = chosen(tiny_torch_model(architecture))
    assert type(runner).__name__ == way
    assert runner.can_rewind is rewinds


LATE = {
    "rope that scales with the length": LlamaConfig(
        **GROUPED,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
    ),
    "attention in chunks": Llama4TextConfig(
        **EXPERTS | {"num_hidden_layers": 4},
        head_dim=8,
        attention_chunk_size=64,
        intermediate_size_mlp=64,
    ),
    "capped scores": Gemma2Config(**GROUPED, head_dim=8, attn_logit_softcapping=1e4),
}


@pytest.mark.parametrize("reason", LATE)
def test_no_row_has_what_a_short_text_does_not_show(reason):
    assert isinstance(chosen(torch_model(LATE[reason])), OneByOneRunner)


def test_a_model_that_keeps_nothing_is_refused():
    small = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
    model = torch_model(RwkvConfig(**small, attention_hidden_size=32))
    with pytest.raises(ModelError, match="Rwkv.* cannot go on with what it has read"):
        chosen(model)


def test_the_model_attends_in_its_own_way_afterwards():
    model = tiny_torch_model("llama")
    before = model.config._attn_implementation
    read(chosen(model), IDS)
    assert model.config._attn_implementation == before


def test_a_broken_step_leaves_the_model_as_it_was():
    model = tiny_torch_model("llama")
    runner, before = chosen(model), model.config._attn_implementation
    with pytest.raises(IndexError):
        read(runner, [CONFIGS["llama"]().vocab_size])
    assert model.config._attn_implementation == before
