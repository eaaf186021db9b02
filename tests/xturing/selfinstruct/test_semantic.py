import asyncio

import numpy as np
import pytest
from asked import Asked, caller, reply

from xturing.core.errors import ModelError
from xturing.selfinstruct import Seed, SelfInstructConfig
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.bootstrap import Bootstrap
from xturing.selfinstruct.prompts import Prompts
from xturing.selfinstruct.semantic import SemanticFilter, sentence_embedder

SAME = "Explain how plants make their food from light."
OTHER = "How does photosynthesis work? Describe it."


def turned(texts):
    """Return vectors at the angle that each text names in degrees."""
    angles = np.deg2rad([float(text) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_text_is_found_if_its_cosine_is_above_the_threshold():
    kept = SemanticFilter(0.5, turned)
    kept.add("0")
    assert kept.closest("59").score == pytest.approx(np.cos(np.deg2rad(59)), abs=1e-6)
    assert kept.closest("61") is None


def test_the_nearest_of_many_is_found():
    kept = SemanticFilter(0.0, turned)
    for angle in range(200):
        kept.add(str(angle))
    assert kept.closest("123.4").text == "123"


def test_nothing_is_near_where_nothing_is_kept():
    assert SemanticFilter(0.0, turned).closest("1") is None


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="no folder .*nowhere"):
        sentence_embedder(tmp_path / "nowhere")


@pytest.mark.slow
def test_other_words_for_the_same_are_left_out_where_that_is_wanted():
    config = SelfInstructConfig(num_instructions=1, patience=1, semantic_threshold=0.6)
    asking = Asking(caller(Asked([reply(f"1. {OTHER}")])), Prompts(), config)
    search = Bootstrap(asking, [Seed(instruction=SAME, instances=())])
    asyncio.run(search.run())
    assert search.accepted == []
    assert list(asking.rejections.by_reason()) == ["too similar in meaning"]
