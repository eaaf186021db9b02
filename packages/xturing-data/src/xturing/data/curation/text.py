"""When two texts are the same, and what their words are."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from xturing.data.curation.passages import Passage

# Scripts that put no space between words: each of their characters counts as one.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Accents and vowel signs, which `\w` leaves out and which would cut words in two.
MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
    "\u0980-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a51\u0a81-\u0a83\u0abc-\u0acd"
    "\u0b01-\u0b03\u0b3c-\u0b57\u0bbe-\u0bcd\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83"
    "\u0cbc-\u0cd6\u0d00-\u0d03\u0d3b-\u0d4d\u0d81-\u0d83\u0dca-\u0ddf"
)
WORD = re.compile(rf"[{UNSPACED}]|(?:[^\W{UNSPACED}]|[{MARKS}])+")
TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")
ASCII_WORD = re.compile(r"\w+", re.ASCII)
ASCII_TOKEN = re.compile(r"\w+|[^\w\s]", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """What two texts may differ in and still count as the same."""

    unicode: bool = True
    """How characters are composed (NFC)."""
    whitespace: bool = True
    """How much white space there is between words, and any at the ends."""
    case: bool = False
    """Upper and lower case."""

    def __call__(self, text: str) -> str:
        """Return the text that stands for all that count as the same."""
        if self.case:
            # Folded in pieces, or composed letters would fold otherwise than these.
            text = text if text.isascii() else unicodedata.normalize("NFD", text)
            text = text.casefold()
        if (self.unicode or self.case) and not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return " ".join(text.split()) if self.whitespace else text


FOLDED = Normalisation(case=True)
"""White space, case and composition do not count."""


def digest(texts: Iterable[Passage], same: Normalisation) -> bytes:
    """Return 16 bytes that two records share only if their texts are the same."""
    state = hashlib.blake2b(digest_size=16)
    for passage in texts:
        text = same(passage.text).encode(errors="surrogatepass")
        state.update(f"{passage.role}\n{len(text)}\n".encode(errors="surrogatepass"))
        state.update(text)
    return state.digest()


def words(text: str) -> list[str]:
    """Return the words of a text; where none are spaced, its characters."""
    return (ASCII_WORD if text.isascii() else WORD).findall(text)


def tokens(text: str) -> list[str]:
    """Return the words of a text, and each sign between them."""
    return (ASCII_TOKEN if text.isascii() else TOKEN).findall(text)
