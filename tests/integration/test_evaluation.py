"""Evaluation of the real model on real rows."""

import math
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from xturing.data import open_dataset
from xturing.data.encoding import encode_records
from xturing.eval import Passage, Scorer, evaluate, open_task
from xturing.eval.passages import PaddingSide

LONGEST = 120
"""Tokens of the rows that are taken, for the time that double precision takes."""
ROWS = 8


@pytest.fixture(scope="module")
def in_double(smollm2):
    """Return the model in double precision; the one in single precision stays."""
    return deepcopy(smollm2.engine.model).double()


@torch.inference_mode()
def losses(network, passage: Passage) -> list[float]:
    """Return the loss of each scored token, of a row by itself."""
    logits = network(input_ids=torch.from_numpy(passage.ids)[None]).logits[0]
    places = np.flatnonzero(passage.is_scored)
    return [
        -float(logits[place - 1].log_softmax(-1)[passage.ids[place]])
        for place in places
    ]


@pytest.fixture(scope="module", params=["alpaca_en.json", "wiki.txt"])
def asked(request, smollm2, in_double):
    """Return some real rows, and their perplexity in double precision."""
    file = Path(__file__).parents[3] / "shared" / "data" / request.param
    if not file.is_file():
        pytest.skip("the real rows are kept beside the project, not in it")
    dataset = open_dataset(file, limit=40)
    examples = list(encode_records(dataset.records(), smollm2.engine.tokenizer))
    short = [each.row for each in examples if 20 < len(each) <= LONGEST][:ROWS]
    assert len(short) == ROWS
    every = [
        loss for row in short for loss in losses(in_double, Passage.of(examples[row]))
    ]
    return dataset.select(short), math.exp(math.fsum(every) / len(every))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_perplexity_is_that_of_double_precision_row_by_row__predecessor_fault_7(
    smollm2, asked, batch_size: int, side: PaddingSide
):
    rows, expected = asked
    examples = encode_records(rows.records(), smollm2.engine.tokenizer)
    scorer = Scorer(smollm2.engine, batch_size=batch_size, padding_side=side)
    scored = scorer.score_all([Passage.of(example) for example in examples])
    nats = math.fsum(each.nats for each in scored)
    perplexity = math.exp(nats / sum(len(each.losses) for each in scored))
    assert perplexity == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_evaluate_returns_that_perplexity(smollm2, asked):
    rows, expected = asked
    assert smollm2.evaluate(rows) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_common_sense_is_better_than_chance(smollm2):
    found = evaluate([smollm2], open_task("common_sense"))
    score = found.results[0].score("choice_accuracy")
    assert score.low > 0.25
