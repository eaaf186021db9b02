"""Log-probabilities: the same however they are batched, padded and shared."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.eval import Passage, Scorer
from xturing.eval.passages import alike, row_of
from xturing.models import GenericLoraModel, GenericModel

VOCABULARY = 480
ARCHITECTURES = ("llama", "gpt2", "bloom", "mamba", "mistral", "gemma3", "opt", "phi3")
"""Positions of all kinds: rotated, learnt, ALiBi, states, and windows of 8 tokens."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return {name: tiny.save_folder(place / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, folders):
    return GenericModel(folders[request.param])


@pytest.fixture(scope="module")
def llama(folders):
    return GenericModel(folders["llama"])


def passages(seed: int = 0, count: int = 12) -> list[Passage]:
    """Return passages of many lengths; every three of them begin alike."""
    numbers = np.random.default_rng(seed)

    def ids(length):
        return numbers.integers(3, VOCABULARY, length).tolist()

    contexts = [ids(numbers.integers(1, 24)) for _ in range(count // 3)]
    return [
        Passage.continued(contexts[index // 3], ids(numbers.integers(1, 9)))
        for index in range(count)
    ]


@torch.inference_mode()
def reference(model, passage: Passage) -> list[float]:
    """Return the losses of a passage by itself, computed in double precision."""
    network = model.engine.model
    ids = torch.from_numpy(passage.ids)[None]
    logits = network.double()(input_ids=ids).logits[0]
    network.float()
    places = np.flatnonzero(passage.is_scored)
    return [
        -float(logits[place - 1].log_softmax(-1)[passage.ids[place]])
        for place in places
    ]


def losses(model, asked, **options) -> list[np.ndarray]:
    scorer = Scorer(model.engine, **options)
    return [found.losses for found in scorer.score_all(asked)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_losses_are_those_of_each_passage_alone__predecessor_fault_7(
    model, batch_size, side
):
    asked = passages()
    found = losses(model, asked, batch_size=batch_size, padding_side=side)
    for passage, each in zip(asked, found, strict=True):
        assert each == pytest.approx(reference(model, passage), abs=1e-4)


def test_rows_are_shared_only_by_models_that_can(folders):
    asked = passages()
    shared = {
        name: any(
            len(group) > 1
            for batch in Scorer(GenericModel(folders[name]).engine).plan(asked)
            for group in batch
        )
        for name in ("llama", "gpt2", "bloom", "mamba", "mistral")
    }
    assert shared == {
        "llama": True,
        "gpt2": True,
        # Distances by ALiBi, a state, and layers that look back over 8 tokens only.
        "bloom": False,
        "mamba": False,
        "mistral": False,
    }


def test_a_shared_row_reads_a_question_once(llama):
    context = list(range(10, 40))
    asked = [Passage.continued(context, [100 + n, 7, 9]) for n in range(4)]
    ((group,),) = Scorer(llama.engine).plan(asked)
    assert sorted(group) == [0, 1, 2, 3]
    # Nothing comes after a choice's last token, so it need not be read.
    assert len(row_of(asked)) == 30 + 4 * 2


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_every_passage_is_in_one_place_of_a_plan(llama, seed, batch_size):
    asked = passages(seed)
    for options in ({"batch_size": batch_size}, {"tokens_at_once": batch_size}):
        plan = Scorer(llama.engine, **options).plan(asked)
        indices = [index for batch in plan for group in batch for index in group]
        assert sorted(indices) == list(range(len(asked)))


def test_passages_that_begin_alike_are_found():
    first, second = [1, 2, 3], [1, 2, 4]
    asked = [Passage.continued(c, [9]) for c in (first, second, first)]
    assert alike(asked) == [(0, 2), (1,)]


def test_the_likeliest_token_is_told(llama):
    ids = [5, 6, 7, 8]
    with torch.inference_mode():
        logits = llama.engine.model(input_ids=torch.tensor([ids])).logits[0, -1]
    best, worst = int(logits.argmax()), int(logits.argmin())
    asked = [Passage.continued(ids, [token]) for token in (best, worst)]
    found = Scorer(llama.engine).score_all(asked)
    assert [bool(each.is_likeliest.all()) for each in found] == [True, False]


def test_logits_that_a_model_caps_are_capped(folders):
    model = GenericModel(folders["gemma3"])
    model.engine.model.config.final_logit_softcapping = 0.5
    found = losses(model, passages())
    for passage, each in zip(passages(), found, strict=True):
        assert each == pytest.approx(reference(model, passage), abs=1e-4)


def test_scoring_leaves_the_model_as_it_was(folders):
    model = GenericLoraModel(folders["llama"])
    network = model.prepare_training().train()
    Scorer(model.engine).score_all(passages())
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_adapters_count(folders):
    model = GenericLoraModel(folders["llama"])
    before = losses(model, passages())
    with torch.no_grad():
        for name, parameter in model.prepare_training().named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    after = losses(model, passages())
    alone = losses(model, passages(), shares_rows=False)
    assert not np.allclose(np.concatenate(before), np.concatenate(after))
    assert np.concatenate(after) == pytest.approx(np.concatenate(alone), abs=1e-4)


def test_a_batch_of_no_rows_is_refused(llama):
    with pytest.raises(SettingsError, match="batch_size is 0, but is 1 or more"):
        Scorer(llama.engine, batch_size=0)


@pytest.mark.parametrize("scored", [[True, True], [False, False]])
def test_a_passage_scores_something_that_comes_after_something(scored):
    with pytest.raises(ValueError, match="some tokens after the first"):
        Passage(np.array([1, 2]), np.array(scored))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_come_to_the_same_within_its_number_format(llama):
    apart = losses(llama, passages(), batch_size=1, shares_rows=False)
    together = losses(llama, passages())
    for one, other in zip(apart, together, strict=True):
        assert one == pytest.approx(other, abs=0.1)
