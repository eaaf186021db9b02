"""Evaluation of the real model on real rows."""

import math
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from xturing.data import BaseDataset, TextDataset, open_dataset
from xturing.data.encoding import encode_records
from xturing.eval import Passage, Scorer, evaluate, open_task, text_likelihood
from xturing.eval.passages import PaddingSide

LONGEST = 64
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


def shared(name: str) -> Path:
    file = Path(__file__).parents[3] / "shared" / "data" / name
    if not file.is_file():
        pytest.skip("the real rows are kept beside the project, not in it")
    return file


def instructions(tokenizer) -> BaseDataset:
    """Return the first real rows that are neither very short nor long."""
    dataset = open_dataset(shared("alpaca_en.json"), limit=200)
    examples = encode_records(dataset.records(), tokenizer)
    lengths = [len(example) for example in examples]
    return dataset.select([row for row, n in enumerate(lengths) if n <= LONGEST][:ROWS])


def texts(tokenizer) -> BaseDataset:
    """Return the beginnings of real articles, each shorter than the one before."""
    lines = shared("wiki.txt").read_text(encoding="utf-8").splitlines()[:ROWS]
    lengths = range(LONGEST, 0, -LONGEST // ROWS)
    starts = [
        tokenizer(line[:999])["input_ids"][:length]
        for line, length in zip(lines, lengths, strict=False)
    ]
    return TextDataset([{"text": tokenizer.decode(start)} for start in starts])


@pytest.fixture(scope="module", params=[instructions, texts], ids=["alpaca", "wiki"])
def asked(request, smollm2, in_double):
    """Return some real rows, and their perplexity in double precision."""
    dataset = request.param(smollm2.engine.tokenizer)
    assert len(dataset) == ROWS
    examples = encode_records(dataset.records(), smollm2.engine.tokenizer)
    every = [loss for each in examples for loss in losses(in_double, Passage.of(each))]
    return dataset, math.exp(math.fsum(every) / len(every))


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
def test_a_long_text_is_scored_after_as_much_as_its_windows_hold(smollm2, in_double):
    text = shared("wiki.txt").read_text(encoding="utf-8")[:300]
    ids = np.array(smollm2.engine.tokenizer(text)["input_ids"])
    width, stride = 48, 32
    every, done = [], 1
    for start in range(0, len(ids) - 1, stride):
        window = ids[start : start + width]
        new = np.arange(start, start + len(window)) >= done
        done = start + len(window)
        if new.any():
            every += losses(in_double, Passage(window, new))
    found = text_likelihood(smollm2, text, window=width, stride=stride)
    assert found.tokens == len(every) == len(ids) - 1
    assert found.loss == pytest.approx(math.fsum(every) / len(every), abs=1e-5)


@pytest.mark.slow
def test_common_sense_is_better_than_chance(smollm2):
    found = evaluate([smollm2], open_task("common_sense"))
    score = found.results[0].score("choice_accuracy")
    assert score.low > 0.25
