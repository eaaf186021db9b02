"""Which instructions a text model can be asked, by rules on their words.

The rules are those of Self-Instruct (Wang et al. 2022, section 2.2 and its code), held
against whole words.
"""

import re
from collections.abc import Sequence

KEYWORDS = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files"),
    *("map", "maps", "draw", "plot", "go to"),
)
"""Words of tasks that text alone does not do."""
FEWEST_WORDS = 4
MOST_WORDS = 150
PROGRAM = "write a program"
"""What opens instructions that are mostly too vague to be carried out."""

_SPACES = re.compile(r"\s+")


def tidy(text: str) -> str:
    """Return an instruction in one line, its first letter a capital."""
    line = _SPACES.sub(" ", text).strip()
    return line[:1].upper() + line[1:]


def objection(
    instruction: str, keywords: Sequence[str] = KEYWORDS
) -> tuple[str, str] | None:
    """Return why an instruction is not taken, and what of it is to blame."""
    words = instruction.split()
    if len(words) < FEWEST_WORDS:
        return "too short", f"{len(words)} words"
    if len(words) > MOST_WORDS:
        return "too long", f"{len(words)} words"
    found = _keyword(instruction, tuple(keywords))
    if found:
        return "keyword", found
    if instruction.lower().startswith(PROGRAM):
        return "asks for a program", PROGRAM
    first = instruction[0]
    if not first.isascii():
        return "begins with a letter that is not ASCII", first
    if not first.isalnum():
        return "begins with a sign", first
    return None


def _keyword(instruction: str, keywords: tuple[str, ...]) -> str | None:
    if not keywords:
        return None
    choices = "|".join(map(re.escape, keywords))
    found = re.search(rf"(?<!\w)(?:{choices})(?!\w)", instruction, re.IGNORECASE)
    return found[0].lower() if found else None
