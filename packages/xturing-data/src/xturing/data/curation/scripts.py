"""The scripts that a text is written in, by the names of its letters.

A script is no language: Latin may be English or Turkish. It is what can be said of a
short text with certainty, and without a model.
"""

import unicodedata
from collections import Counter
from functools import cache

# Unicode's name for the script is the first word of a letter's name, but for these.
SAME = {
    "CJK": "Han",
    "FULLWIDTH": "Latin",
    "HALFWIDTH": "Katakana",
    "MODIFIER": "Common",
    "MATHEMATICAL": "Common",
    "SUPERSCRIPT": "Common",
    "SUBSCRIPT": "Common",
    "FEMININE": "Latin",
    "MASCULINE": "Latin",
    "MICRO": "Common",
    "OHM": "Common",
    "KELVIN": "Common",
    "ANGSTROM": "Common",
    "DOUBLE-STRUCK": "Common",
    "SCRIPT": "Common",
    "BLACK-LETTER": "Common",
    "IDEOGRAPHIC": "Han",
}


def count_scripts(text: str) -> Counter[str]:
    """Return how many letters of each script there are in a text."""
    counts: Counter[str] = Counter()
    for letter, times in Counter(text).items():
        if letter.isalpha():
            counts[script(letter)] += times
    return counts


@cache
def script(letter: str) -> str:
    """Return the script of a letter: "Latin", "Han", "Devanagari" and so on.

    Letters of no script, such as those of formulas, are "Common".
    """
    first = unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
    return SAME.get(first, first.capitalize())
