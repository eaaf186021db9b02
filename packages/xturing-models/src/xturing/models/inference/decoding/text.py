"""An answer's text, shown while its tokens are being written."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from xturing.models.inference.decoding.stops import StopTexts

MOST_DECODED = 48
"""Tokens that are decoded again with a new one; some more where they show nothing."""
FEWEST_DECODED = 16
"""Enough to know the text after them: what a text begins with (spaces that are left
out, bytes of a character that was cut) is decoded in another way."""
FEWEST_CHARACTERS = 4
"""For the same reason: bytes of a cut character show as at most three."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BYTE = re.compile("<0x[0-9A-F]{2}>")
TIDIED = " .?!,'"
"""Beside these, spaces are left out by tokenizers that tidy up; which ones, may change
with what follows."""
LONGEST_TIDIED = 3
"""Letters and apostrophes before which a space is left out, as that before n't."""


class TextStream:
    """The text of one answer, as far as tokens to come cannot change it.

    All that it returns, put together, is what `tokenizer.decode` makes of all tokens
    without special ones, up to the earliest stop text.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._decode = _decoder(tokenizer)
        self._stops = StopTexts(stop)
        self._ids: list[int] = []
        """The last tokens."""
        self._shown = 0
        """Characters of theirs that went to the stop texts."""
        self._in_bytes = False
        self._tidies = getattr(tokenizer, "clean_up_tokenization_spaces", False)

    @property
    def stopped(self) -> str | None:
        """The stop text that the answer came to; look again after `rest`."""
        return self._stops.met

    def feed(self, token_id: int) -> str:
        """Return what can be shown with another token."""
        if self.stopped is not None:
            return ""
        self._ids.append(token_id)
        if self._is_open(token_id):
            return ""
        text = self._decode(self._ids)
        certain = text[self._shown : self._certain(text)]
        self._shown += len(certain)
        if len(self._ids) > MOST_DECODED:
            self._forget(text)
        return self._stops.read(certain)

    def rest(self) -> str:
        """Return what was held back, now that no more tokens come."""
        text = self._decode(self._ids)[self._shown :]
        self._ids, self._shown = [], 0
        return self._stops.read(text) + self._stops.end()

    def _is_open(self, token_id: int) -> bool:
        """Whether tokens of single bytes go on.

        Where words are not made of bytes, one byte out of place changes how all beside
        it are shown.
        """
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        is_byte = token is not None and BYTE.fullmatch(token) is not None
        # A token that shows nothing, as special ones, does not part two bytes.
        goes_on = self._in_bytes and not self._decode([token_id])
        self._in_bytes = is_byte or goes_on
        return self._in_bytes

    def _certain(self, text: str) -> int:
        """Return how many characters are the same whatever comes."""
        # One replacement character may stand for a character that is not whole yet.
        end = len(text) - text.endswith(REPLACEMENT)
        if not self._tidies:
            return end
        return len(text[: max(end - LONGEST_TIDIED, 0)].rstrip(TIDIED))

    def _forget(self, text: str) -> None:
        """Leave out the tokens that what comes does not depend on."""
        last = self._decode(self._ids[-FEWEST_DECODED:])
        shown = len(last) - (len(text) - self._shown)
        if shown >= FEWEST_CHARACTERS and text.endswith(last[FEWEST_CHARACTERS:]):
            self._ids, self._shown = self._ids[-FEWEST_DECODED:], shown
        else:
            self._ids = [each for each in self._ids if not self._is_special(each)]

    def _is_special(self, token_id: int) -> bool:
        # A space alone shows nothing to some tokenizers, but is not left out.
        return not self._decode([token_id]) and self._tokenizer.decode([token_id]) != ""


def _decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """Return what decodes ids, special ones left out.

    Where transformers adds nothing to what the tokenizer beneath it decodes, that one
    is asked at once: what is done around it for each token takes longer than it does.
    """
    from transformers import PreTrainedTokenizerFast as Fast

    # Also of one object alone, decoding may have been replaced.
    own = [getattr(tokenizer, name, None) for name in ("decode", "_decode")]
    is_plain = [getattr(each, "__func__", None) for each in own] == [
        Fast.decode,
        Fast._decode,  # noqa: SLF001  # what `decode` calls
    ] and not tokenizer.clean_up_tokenization_spaces
    inner = tokenizer.backend_tokenizer if is_plain else tokenizer
    return partial(inner.decode, skip_special_tokens=True)
