"""How an answer's tokens are chosen, held against transformers and OpenAI's formula."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from xturing.core.errors import EngineError
from xturing.models.inference.decoding.candidates import candidates
from xturing.models.inference.decoding.penalties import Penalties
from xturing.models.inference.decoding.sampling import Sampler
from xturing.models.inference.requests import Decoding

VOCABULARY = 12
NO_NUMBER = float("nan")
INFINITE = float("inf")

# Distinct, so that no two tokens stand at a border of top-k or top-p together.
distinct = st.lists(
    st.integers(-80, 80), min_size=VOCABULARY, max_size=VOCABULARY, unique=True
).map(lambda values: np.array(values, dtype=np.float32) / 8)
ids = st.lists(st.integers(0, VOCABULARY - 1), max_size=30)


def drawn(logits, count=1, prompt=(), **options) -> list[int]:
    options = {"temperature": 1.0, "seed": 0} | options
    sampler = Sampler(Decoding(**options), prompt)
    return [sampler.choose(np.array(logits, np.float32)).id for _ in range(count)]


def chosen(logits, prompt=(), answer=(), **options) -> np.ndarray:
    """Return logits as the penalties leave them after an answer."""
    penalties = Penalties(Decoding(**options), prompt)
    for each in answer:
        penalties.count(each)
    scores = logits.copy()
    penalties.apply(scores)
    return scores


def probabilities(logits, **options) -> np.ndarray:
    ids, weights = candidates(logits, Decoding(**options))
    found = np.zeros(len(logits))
    found[ids] = weights / weights.sum(dtype=np.float64)
    return found


@given(distinct, ids, ids, st.floats(0.1, 5))
def test_the_repetition_penalty_is_that_of_transformers(logits, prompt, answer, size):
    expected = RepetitionPenaltyLogitsProcessor(size)(
        torch.tensor([prompt + answer], dtype=torch.long), torch.tensor(logits)[None]
    )
    found = chosen(logits, prompt, answer, repetition_penalty=size)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-6)


@given(distinct, ids, ids, st.floats(-2, 2), st.floats(-2, 2))
def test_the_other_penalties_are_those_of_openai(logits, prompt, answer, often, there):
    # "mu[j] -> mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence"
    counts = np.bincount(np.array(answer, dtype=int), minlength=VOCABULARY)
    expected = logits - counts * often - (counts > 0) * there
    options = {"frequency_penalty": often, "presence_penalty": there}
    found = chosen(logits, prompt, answer, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@given(
    distinct,
    st.floats(0.3, 3),
    st.integers(0, VOCABULARY + 3),
    st.floats(0.01, 1),
    st.floats(0, 1),
)
def test_tokens_are_as_likely_as_in_transformers(logits, heat, count, share, least):
    options = {"temperature": heat, "top_k": count, "top_p": share, "min_p": least}
    exact = torch.tensor(logits, dtype=torch.float64)[None]
    # As transformers orders them, too.
    before = LogitsProcessorList([TemperatureLogitsWarper(heat)])
    if count:
        before.append(TopKLogitsWarper(count))
    nobody = torch.zeros((1, 0), dtype=torch.long)
    kept = before(nobody, exact).softmax(-1)
    # Float32 may decide otherwise about a token that is just at a border.
    up_to = kept.sort().values.cumsum(-1)
    assume((up_to - (1 - share)).abs().min() > 1e-5)
    assume((kept / kept.max() - least).abs().min() > 1e-5)
    after = [TopPLogitsWarper(share)] if share < 1 else []
    after += [MinPLogitsWarper(least)] if least else []
    expected = LogitsProcessorList([*before, *after])(nobody, exact).softmax(-1)
    found = probabilities(logits, **options)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-4, atol=1e-12)


def test_tokens_as_likely_as_the_last_of_top_k_stay_with_it():
    # So does TopKLogitsWarper of transformers.
    found = probabilities(np.float32([1, 3, 1, 0]), temperature=1.0, top_k=2)
    assert np.flatnonzero(found).tolist() == [0, 1, 2]


@given(st.integers(1, 40), st.floats(1e-6, 1, exclude_max=True))
def test_of_tokens_that_are_alike_top_p_takes_the_fewest(count, share):
    found = probabilities(np.zeros(count, np.float32), temperature=1.0, top_p=share)
    fewest = next(n for n in range(1, count + 1) if n >= share * count)
    assert np.flatnonzero(found).tolist() == list(range(fewest))


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"top_k": 4}, {"top_p": 0.7}, {"min_p": 0.2}],
    ids=str,
)
def test_draws_are_as_frequent_as_they_are_likely(options):
    logits = np.float32([0.3, -1, 2, 1.5, 0, -3, 1, 0.9])
    expected = probabilities(logits, **({"temperature": 1.0} | options)) * 5_000
    found = np.bincount(drawn(logits, 5_000, **options), minlength=len(logits))
    is_possible = expected > 0
    assert not found[~is_possible].any()
    squares = ((found - expected)[is_possible] ** 2 / expected[is_possible]).sum()
    # Chi-square with 7 degrees of freedom is over 24.3 once in a thousand times.
    assert squares < 24.3


@given(distinct, st.integers(-(2**63), 2**64 - 1))
def test_a_seed_gives_the_same_answer_again(logits, seed):
    again = [drawn(logits, 20, temperature=2.0, seed=seed) for _ in range(2)]
    assert again[0] == again[1]


def test_without_a_seed_answers_differ():
    even = np.zeros(1000, np.float32)
    assert drawn(even, 20, seed=None) != drawn(even, 20, seed=None)


def test_a_seed_gives_the_same_answer_whatever_is_drawn_beside_it():
    even = np.zeros(50, np.float32)
    alone = drawn(even, 10, seed=7)
    one, other = (Sampler(Decoding(temperature=1, seed=7 + i), ()) for i in range(2))
    together = []
    for _ in range(10):
        np.random.default_rng().random()
        other.choose(even)
        together.append(one.choose(even).id)
    assert together == alone


@given(distinct, st.booleans())
def test_greedy_takes_the_likeliest(logits, with_penalty):
    options = {"repetition_penalty": 1.5} if with_penalty else {}
    found = drawn(logits, temperature=0.0, **options)
    assert found == [int(logits.argmax())]


def test_of_the_likeliest_greedy_takes_the_one_of_the_lowest_id():
    assert drawn([1, 5, 5, 0], temperature=0.0) == [1]


def test_a_low_temperature_is_as_good_as_none():
    assert drawn([1, 5, 5.01, 0], temperature=5e-324) == [2]


def test_an_answer_goes_on_with_what_was_not_said__frequency_penalty():
    found = drawn([3, 2, 1, 0], 4, temperature=0.0, frequency_penalty=100.0)
    assert found == [0, 1, 2, 3]


def test_the_prompt_is_no_part_of_the_answer__frequency_penalty():
    assert drawn([3, 2], prompt=[0, 0], temperature=0.0, frequency_penalty=9.0) == [0]


@given(distinct)
def test_the_logits_are_left_as_they_are(logits):
    before = logits.copy()
    logits.flags.writeable = False
    sampler = Sampler(Decoding(temperature=1, presence_penalty=1, logprobs=2), [1])
    sampler.choose(logits)
    np.testing.assert_array_equal(logits, before)


@given(distinct, st.integers(0, 20))
def test_log_probabilities_are_those_of_the_model_itself(logits, count):
    expected = torch.tensor(logits).double().log_softmax(-1)
    # Nothing of this is in them.
    changes = {"temperature": 2.0, "top_k": 3, "presence_penalty": 2.0}
    sampler = Sampler(Decoding(logprobs=count, seed=0, **changes), [1])
    sampler.choose(logits)
    token = sampler.choose(logits)
    assert token.logprob == pytest.approx(float(expected[token.id]))
    order = expected.argsort(descending=True)[:count].tolist()
    assert [each for each, _ in token.alternatives] == order
    found = [logprob for _, logprob in token.alternatives]
    assert found == pytest.approx(expected[order].tolist())


def test_of_alternatives_that_are_alike_the_lowest_ids_are_told():
    sampler = Sampler(Decoding(logprobs=3), [])
    found = sampler.choose(np.float32([1, 2, 1, 1, 2])).alternatives
    assert [each for each, _ in found] == [1, 4, 0]


def test_log_probabilities_are_told_only_if_asked_for():
    token = Sampler(Decoding(), []).choose(np.float32([1, 2]))
    assert (token.logprob, token.alternatives) == (None, ())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_logit_that_is_no_number_is_an_error(temperature):
    with pytest.raises(EngineError, match="logit of token 2 is not a number"):
        drawn([1, 9, NO_NUMBER, INFINITE], temperature=temperature)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_state_in_which_no_token_is_allowed_is_an_error(temperature):
    with pytest.raises(EngineError, match="No token is allowed"):
        drawn([-INFINITE] * 3, temperature=temperature)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_impossible_token_is_never_chosen(temperature):
    found = drawn([-INFINITE, -3, -INFINITE], 20, temperature=temperature)
    assert set(found) == {1}


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.9}, {"min_p": 0.1}])
def test_only_infinite_logits_are_drawn_where_there_are_some(options):
    logits = [INFINITE, 3e38, INFINITE, -INFINITE]
    assert set(drawn(logits, 50, **options)) == {0, 2}


def test_an_infinite_logit_is_certain():
    sampler = Sampler(Decoding(logprobs=2), [])
    token = sampler.choose(np.float32([3, INFINITE, 1]))
    assert (token.id, token.logprob) == (1, 0.0)


def test_numbers_at_the_ends_of_float32_are_no_trouble():
    extremes = [3e38, -3e38, 3e38]
    penalties = {"repetition_penalty": 0.01, "frequency_penalty": -100.0}
    assert set(drawn(extremes, 30, prompt=[1], **penalties)) <= {0, 2}
