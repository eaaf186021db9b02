"""One row's ids and parts, put together from the tokens of its text and of its prompts.

The ids before an answer are those of the prompt tokenized alone; the answer's are those
that it has in the whole text. Most often these are the same tokens. Where they are not
(a line feed that melts into the next word, say), the prompt wins, because it is what
the model will be given when it is served.

A prompt is not tokenized anew from its start. Tokenizers cut a text at their added
tokens before they look at anything else, so its ids are those of the whole text up to
the last added token in it, and only what comes from there on can differ. That tail is
mostly the same in all rows (the mark of the assistant's turn), and then looked up.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError
from xturing.data.chat import Rendered, Tokenizer, Turn
from xturing.data.examples import Part
from xturing.data.spelling import speller

TAILS_KEPT = 1024
"""Most tails that are remembered."""
LONGEST_TAIL = 200
"""Characters of the longest tail that is worth remembering."""


class Tokens:
    """A tokenized text: ids, and the characters where each starts and ends.

    A few characters are looked up in what the tokenizer returned; to copy all of them
    takes longer than to tokenize a tenth of the text.
    """

    def __init__(
        self,
        ids: NDArray[np.int32],
        spans: NDArray[np.int32] | None = None,
        lookup: Any = None,
    ) -> None:
        self.ids = ids
        self._spans = spans
        self._lookup = lookup

    @classmethod
    def read(cls, encoding: Any) -> "Tokens":
        """Return what is in an `Encoding` of the tokenizers library."""
        return cls(np.array(encoding.ids, dtype=np.int32), lookup=encoding)

    @classmethod
    def joined(cls, *parts: "Tokens") -> "Tokens":
        """Return tokens one after the other."""
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.spans for part in parts]),
        )

    @property
    def spans(self) -> NDArray[np.int32]:
        """Where each token starts and ends, of shape (seq, 2)."""
        if self._spans is None:
            flat = chain.from_iterable(self._lookup.offsets)
            spans = np.fromiter(flat, dtype=np.int32, count=2 * len(self))
            self._spans = spans.reshape(-1, 2)
        return self._spans

    def __getitem__(self, part: slice) -> "Tokens":
        return Tokens(self.ids[part], self.spans[part])

    def __len__(self) -> int:
        return len(self.ids)

    def moved(self, characters: int) -> "Tokens":
        """Return the tokens as they stand that much further on in a text."""
        return Tokens(self.ids, self.spans + np.int32(characters))

    def start(self, index: int) -> int:
        """Return the character where a token starts."""
        return self._span(index)[0]

    def end(self, index: int) -> int:
        """Return the character after a token's last."""
        return self._span(index)[1]

    def token_at(self, character: int) -> int:
        """Return the index of the first token that starts there or after it."""
        found = self._covering(character)
        if found is not None and self.start(found) == character:
            return found
        return int(self.spans[:, 0].searchsorted(character))

    def token_over(self, character: int) -> int:
        """Return the index of the first token that ends after that character."""
        found = self._covering(character)
        if found is not None:
            return found
        return int(self.spans[:, 1].searchsorted(character, side="right"))

    def _span(self, index: int) -> tuple[int, int]:
        if self._spans is None:
            return self._lookup.token_to_chars(index)
        return tuple(self._spans[index].tolist())

    def _covering(self, character: int) -> int | None:
        """Return the first token that a character is in, if the lookup tells."""
        if self._spans is not None:
            return None
        found = self._lookup.char_to_token(character)
        # One without characters may stand before it.
        if found and self.start(found - 1) == character:
            return None
        return found


class Reader:
    """A tokenizer, and what was found out about it.

    Texts that have to be tokenized as a whole are given to a thread, which lets Python
    go on meanwhile; to one alone, because a tokenizer has a state.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not tokenizer.is_fast:
            raise DataError(
                f"{type(tokenizer).__name__} does not tell where in the text its "
                "tokens stand. Load the model with its fast tokenizer (tokenizer.json)."
            )
        self.tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._speller = speller(tokenizer, self._encodings)
        added = tokenizer.added_tokens_decoder
        self._can_end = _lookup({*added, tokenizer.eos_token_id} - {None})
        self._cuts = _lookup(
            {
                token
                for token, added_token in added.items()
                if not (
                    added_token.normalized
                    or added_token.lstrip
                    or added_token.rstrip
                    or added_token.single_word
                )
            }
        )
        self._tails: dict[str, Tokens] = {}
        self.leads = self._leads()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def begin(self, texts: Sequence[str]) -> Callable[[], list[Tokens]]:
        """Begin to tokenize texts; what is returned waits for their tokens.

        They are without what a tokenizer puts around a text.
        """
        spelled = self._speller.read(texts) if self._speller else [None] * len(texts)
        pairs = zip(texts, spelled, strict=True)
        rest = [text for text, found in pairs if found is None]
        coming = self._thread.submit(self._encodings, rest)

        def wait() -> list[Tokens]:
            encodings = iter(coming.result())
            return [
                Tokens.read(next(encodings) if found is None else found)
                for found in spelled
            ]

        return wait

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text, without those a tokenizer puts around it."""
        return self.begin(texts)()

    def _encodings(self, texts: list[str]) -> Sequence[Any]:
        backend = self.tokenizer.backend_tokenizer
        if backend.truncation or backend.padding or backend.encode_special_tokens:
            # Left by a call with such options; any other call undoes it.
            self.tokenizer("x")
        # As the tokenizer itself would; but it would copy what is not needed, too.
        return backend.encode_batch(texts, add_special_tokens=False)

    def tails(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """Return the tokens of each text, those that were asked for before at once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._tails]
        found = dict(zip(new, self.tokenize(new), strict=True)) if new else {}
        if len(self._tails) > TAILS_KEPT:
            self._tails.clear()
        known = found | {text: self._tails[text] for text in texts if text not in found}
        self._tails |= {t: found[t] for t in new if len(t) <= LONGEST_TAIL}
        return known

    def cuts(self, tokens: Tokens) -> NDArray[np.intp]:
        """Return where the tokens stand at which every text is cut in two."""
        return _where(self._cuts, tokens.ids)

    def can_end(self, tokens: Tokens) -> NDArray[np.intp]:
        """Return where those stand that can end a turn: they never stand for words."""
        return _where(self._can_end, tokens.ids)

    def end_of_text(self) -> int:
        """Return the id that ends a text.

        Raises:
            DataError: the tokenizer has none.
        """
        if self.tokenizer.eos_token_id is None:
            raise DataError(
                "The tokenizer has no end-of-text token, so a text's end cannot be "
                "learnt. Set its eos_token."
            )
        return self.tokenizer.eos_token_id

    def _leads(self) -> NDArray[np.int32]:
        bare = self.tokenizer("x", add_special_tokens=False)["input_ids"]
        dressed = self.tokenizer("x", add_special_tokens=True)["input_ids"]
        count = next(
            index
            for index in range(len(dressed) + 1)
            if dressed[index : index + len(bare)] == bare
        )
        return np.array(dressed[:count], dtype=np.int32)


@dataclass(frozen=True)
class _Seam:
    """Where the tokens of a prompt meet those of the answer that follows it."""

    tail_from: int
    """Index of the token from which on the prompt alone may have other tokens."""
    answer_from: int
    """Index of the answer's first token."""


class Line:
    """A row's tokens on their way to ids and parts."""

    def __init__(
        self, rendered: Rendered, whole: Tokens, reader: Reader, place: str
    ) -> None:
        self._rendered = rendered
        self._tokens = whole
        self._reader = reader
        self._place = place
        self._cuts = reader.cuts(whole)
        self._seams = [self._seam(turn) for turn in rendered.turns]

    def tails(self) -> list[str]:
        """Return the ends of the prompts, of which the tokens must be known."""
        return list(map(self._tail, self._rendered.turns, self._seams))

    def written(
        self, tails: dict[str, Tokens]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return the ids and parts.

        Raises:
            DataError: nothing ends a turn.
        """
        cursor = 0
        parts = []
        is_spliced = False
        for turn, known in zip(self._rendered.turns, self._seams, strict=True):
            seam = self._seam(turn) if is_spliced else known
            tail = tails[self._tail(turn, seam)]
            if not np.array_equal(
                tail.ids, self._tokens.ids[seam.tail_from : seam.answer_from]
            ):
                self._splice(turn, seam, tail, cursor)
                is_spliced = True
                seam = self._seam(turn)
            start = seam.answer_from
            words_end = self._tokens.token_at(turn.answer_end)
            cursor = self._end(turn, words_end)
            parts.append((start, words_end, cursor))
        return self._labelled(parts)

    def _seam(self, turn: Turn) -> _Seam:
        answer_from = self._tokens.token_at(turn.start)
        before = int(self._cuts.searchsorted(answer_from))
        tail_from = int(self._cuts[before - 1]) if before else 0
        return _Seam(tail_from, answer_from)

    def _tail(self, turn: Turn, seam: _Seam) -> str:
        first = self._tokens.start(seam.tail_from) if seam.tail_from else 0
        return self._rendered.text[first : turn.start]

    def _splice(self, turn: Turn, seam: _Seam, tail: Tokens, cursor: int) -> None:
        """Put the prompt's own tokens in, from `cursor` on."""
        tokens, text = self._tokens, self._rendered.text
        tail = tail.moved(turn.start - len(self._tail(turn, seam)))
        head = tokens[: max(seam.tail_from, cursor)]
        if cursor > seam.tail_from:
            tail = tail[tail.token_at(tokens.end(cursor - 1)) :]
        rest = tokens[seam.answer_from :]
        if seam.answer_from and tokens.end(seam.answer_from - 1) > turn.start:
            # A token that is half prompt cannot follow the prompt's own ids.
            after = int(self._cuts.searchsorted(seam.answer_from))
            until = int(self._cuts[after]) if after < len(self._cuts) else len(tokens)
            last = tokens.start(until) if until < len(tokens) else len(text)
            said = self._reader.tokenize([text[turn.start : last]])[0]
            rest = Tokens.joined(said.moved(turn.start), tokens[until:])
        self._tokens = Tokens.joined(head, tail, rest)
        self._cuts = self._reader.cuts(self._tokens)

    def _end(self, turn: Turn, words_end: int) -> int:
        """Return the index after the token that ends the turn."""
        if not turn.is_closed:
            return len(self._tokens)
        ends = self._reader.can_end(self._tokens)
        later = int(ends.searchsorted(words_end))
        if later < len(ends):
            end = int(ends[later])
            first = self._tokens.start(end)
            if not self._rendered.text[turn.answer_end : first].strip():
                return end + 1
        raise DataError(
            f"{self._place}: the chat template writes no token after the assistant's "
            "words that ends the turn, so the model would never learn to stop. Use a "
            "template that ends them with the end-of-text token, or add its end token "
            "to the tokenizer's special tokens."
        )

    def _labelled(
        self, answers: Sequence[tuple[int, int, int]]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        tokens = self._tokens
        parts = np.zeros(len(tokens), dtype=np.uint8)
        for start, end in self._rendered.prompts:
            first = tokens.token_over(start)
            parts[first : tokens.token_at(end)] = Part.PROMPT
        for start, words_end, end in answers:
            parts[start:words_end] = Part.ANSWER
            parts[words_end:end] = Part.END
        if self._rendered.turns[-1].is_closed:
            return tokens.ids, parts
        return self._as_text(parts)

    def _as_text(
        self, parts: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        ids, leads = self._tokens.ids, self._reader.leads
        # A text that already begins with what the tokenizer would add needs no second.
        if np.array_equal(ids[: len(leads)], leads):
            leads = leads[:0]
        end = np.array([self._reader.end_of_text()], dtype=np.int32)
        front = np.zeros(len(leads), dtype=np.uint8)
        back = np.array([Part.END], dtype=np.uint8)
        return np.concatenate([leads, ids, end]), np.concatenate([front, parts, back])


def _lookup(ids: set[int]) -> NDArray[np.bool_]:
    table = np.zeros(max(ids, default=0) + 2, dtype=np.bool_)
    table[list(ids)] = True
    return table


def _where(table: NDArray[np.bool_], ids: NDArray[np.int32]) -> NDArray[np.intp]:
    # Ids beyond the table share its last entry, which is of no token.
    return np.flatnonzero(table[np.minimum(ids, len(table) - 1)])
