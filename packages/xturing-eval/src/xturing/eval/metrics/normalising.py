"""Texts made alike, so that a difference that does not matter is none."""

import re
import string
from typing import Literal

Normalise = Literal["none", "spaces", "label", "squad"]
"""What is made alike: nothing; runs of white space; these, case and a full stop at the
end; or what the evaluation of SQuAD leaves out."""

_ARTICLES = re.compile(r"\b(?:an?|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str, how: Normalise) -> str:
    """Return a text as it is compared."""
    match how:
        case "none":
            return text
        case "spaces":
            return _folded(text)
        case "label":
            return _folded(_folded(text).removesuffix(".").casefold())
    return squad(text)


def squad(text: str) -> str:
    """Return a text without case, ASCII punctuation, articles and runs of white space.

    As the evaluation of SQuAD has it (Rajpurkar et al. 2016, arXiv 1606.05250,
    section 6.1).
    """
    plain = text.lower().translate(_WITHOUT_PUNCTUATION)
    return _folded(_ARTICLES.sub(" ", plain))


def _folded(text: str) -> str:
    return " ".join(text.split())
