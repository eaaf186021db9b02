"""Penalties for saying things again."""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.models.inference.requests import Decoding


class Penalties:
    """What is taken off the logits of tokens that were there before."""

    def __init__(self, decoding: Decoding, prompt: Iterable[int]) -> None:
        self._repetition = decoding.repetition_penalty
        self._frequency = decoding.frequency_penalty
        self._presence = decoding.presence_penalty
        self.are_idle = (self._repetition, self._frequency, self._presence) == (1, 0, 0)
        # Only tokens that were there are touched, so a large vocabulary costs nothing.
        self._ids = array("q", dict.fromkeys([] if self.are_idle else prompt))
        self._times = array("q", bytes(self._ids.itemsize * len(self._ids)))
        self._places = {each: place for place, each in enumerate(self._ids)}

    def count(self, token_id: int) -> None:
        """Take note of the answer's next token."""
        if self.are_idle:
            return
        place = self._places.setdefault(token_id, len(self._ids))
        if place == len(self._ids):
            self._ids.append(token_id)
            self._times.append(0)
        self._times[place] += 1

    def apply(self, scores: NDArray[Any]) -> None:
        """Change logits of shape (vocabulary,) in place.

        The repetition penalty (arXiv 1909.05858) is for tokens of the prompt and of
        the answer; the others, as OpenAI's API reference defines them, for those of the
        answer alone.
        """
        ids, times = np.asarray(self._ids), np.asarray(self._times)
        found = scores[ids]
        with np.errstate(over="ignore"):
            if self._repetition != 1:
                lower, higher = found * self._repetition, found / self._repetition
                found = np.where(found < 0, lower, higher)
            off = times * self._frequency + (times > 0) * self._presence
            scores[ids] = found - off.astype(np.float32)
