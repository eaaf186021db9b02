"""One row's ids and parts, put together from the tokens of its text and of its prompts.

The ids before an answer are those of the prompt tokenized alone; the answer's are those
that it has in the whole text. Most often these are the same tokens. Where they are not
(a line feed that melts into the next word, say), the prompt wins, because it is what
the model will be given when it is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError
from xturing.data.chat import Rendered, Tokenizer, Turn
from xturing.data.examples import Example, Part


@dataclass(frozen=True)
class Tokens:
    """A tokenized text: ids, and the characters where each starts and ends."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]

    def where(self, mask: NDArray[np.bool_]) -> "Tokens":
        """Return the tokens that the mask picks."""
        return Tokens(self.ids[mask], self.starts[mask], self.ends[mask])


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], *, special: bool
) -> list[Tokens]:
    """Return the tokens of each text; with `special`, those the tokenizer adds too."""
    encoding = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_offsets_mapping=True,
        return_attention_mask=False,
    )
    tokens = []
    for ids, offsets in zip(
        encoding["input_ids"], encoding["offset_mapping"], strict=True
    ):
        spans = np.array(offsets, dtype=np.int32).reshape(-1, 2)
        tokens.append(Tokens(np.array(ids, dtype=np.int32), spans[:, 0], spans[:, 1]))
    return tokens


class Line:
    """A row's tokens, from left to right.

    `ends` are the ids that can end a turn, see `end_tokens`.
    """

    def __init__(
        self, rendered: Rendered, tokenizer: Tokenizer, ends: list[int], place: str
    ) -> None:
        self._rendered = rendered
        self._tokenizer = tokenizer
        self._ends = ends
        self._place = place
        self._cursor = 0
        self._ids: list[NDArray[np.int32]] = []
        self._parts: list[NDArray[np.uint8]] = []

    def read(self, tokens: Tokens, until: int) -> None:
        """Add the tokens from the cursor to a character, none of them learnt."""
        # Tokens that the tokenizer adds by itself stand for no characters. Those before
        # a text belong to it; one after a prompt would end it too early.
        has_width = tokens.ends > tokens.starts
        leads = ~np.logical_or.accumulate(has_width) & (not self._ids)
        here = (tokens.starts >= self._cursor) & (tokens.starts < until)
        tokens = tokens.where(leads | (has_width & here))
        parts = np.full(len(tokens.ids), Part.TEMPLATE, dtype=np.uint8)
        for start, end in self._rendered.prompts:
            parts[(tokens.starts < end) & (tokens.ends > start)] = Part.PROMPT
        self._add(tokens.ids, parts)

    def learn(self, turn: Turn, whole: Tokens) -> None:
        """Add a turn's tokens up to the one that ends it, all of them learnt.

        Raises:
            DataError: nothing ends the turn.
        """
        speech = self._speech(turn, whole)
        parts = np.where(speech.starts < turn.answer_end, Part.ANSWER, Part.END)
        parts = parts.astype(np.uint8)
        if not turn.is_closed:
            end = np.array([self._end_of_text()], dtype=np.int32)
            self._add(speech.ids, parts)
            self._add(end, np.array([Part.END], dtype=np.uint8))
            self._cursor = turn.end
            return
        can_end = np.isin(speech.ids, self._ends)
        ending = np.flatnonzero(can_end & (parts == Part.END))
        if not len(ending):
            raise DataError(
                f"{self._place}: the chat template writes no token after the "
                "assistant's words that ends the turn, so the model would never learn "
                "to stop. Use a template that ends them with the end-of-text token."
            )
        last = int(ending[0])
        self._add(speech.ids[: last + 1], parts[: last + 1])
        self._cursor = int(speech.ends[last])

    def example(self, row: int) -> Example:
        """Return the row."""
        ids = np.concatenate(self._ids)
        parts = np.concatenate(self._parts)
        # Nothing precedes the first token, so it cannot be learnt.
        parts[0] = min(parts[0], Part.PROMPT)
        return Example(ids, parts, row)

    def _speech(self, turn: Turn, whole: Tokens) -> Tokens:
        if not ((whole.starts < turn.start) & (turn.start < whole.ends)).any():
            inside = (whole.starts >= turn.start) & (whole.ends <= turn.end)
            return whole.where(inside & (whole.ends > whole.starts))
        # A token that is half prompt cannot follow the prompt's own ids.
        said = self._rendered.text[turn.start : turn.end]
        alone = tokenize(self._tokenizer, [said], special=False)[0]
        return Tokens(alone.ids, alone.starts + turn.start, alone.ends + turn.start)

    def _end_of_text(self) -> int:
        if self._tokenizer.eos_token_id is None:
            raise DataError(
                "The tokenizer has no end-of-text token, so a text's end cannot be "
                "learnt. Set its eos_token."
            )
        return self._tokenizer.eos_token_id

    def _add(self, ids: NDArray[np.int32], parts: NDArray[np.uint8]) -> None:
        self._ids.append(ids)
        self._parts.append(parts)


def end_tokens(tokenizer: Tokenizer) -> list[int]:
    """Return the ids that can end a turn: those that never stand for words."""
    ends = set(tokenizer.added_tokens_decoder)
    return sorted(ends | ({tokenizer.eos_token_id} - {None}))
