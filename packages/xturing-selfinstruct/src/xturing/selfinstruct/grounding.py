"""Whether a passage says what an answer says, by the words they share."""

import re

_WORD = re.compile(r"\w+(?:[.,]\d+)*")
COMMON = frozenset(
    "a about above after again all also am an and any are as at be because been before "
    "being below between both but by can could did do does down during each few for "
    "from further had has have he her here hers him his how i if in into is it its "
    "itself just may me might more most must my no nor not now of off on once only or "
    "other our ours out over own same shall she should so some such than that the "
    "their theirs them then there these they this those through to too under until up "
    "upon us very was we were what when where which while who whom whose why will with "
    "would yes you your yours".split()
)
"""Words that are in every text, so that they support nothing."""
SHORTEST_STEM = 4


def overlap(answer: str, passage: str) -> float:
    """Return the share of an answer's own words that a passage has; 1 if it has none.

    Words that differ in their endings only count as one.
    """
    words = {_stem(word) for word in _words(answer)}
    if not words:
        return 1.0
    return len(words & {_stem(word) for word in _words(passage)}) / len(words)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in COMMON]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "ly"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= SHORTEST_STEM:
            return stem.removesuffix("e")
    return word.removesuffix("e") if len(word) > SHORTEST_STEM else word
