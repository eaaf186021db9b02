"""What a verb is about: the noun that leads the phrase behind it.

A rule of thumb on the order of words; knows nothing of sentences.
"""

from collections.abc import Sequence

from xturing.selfinstruct.reporting.english import (
    ADJECTIVE_ENDINGS,
    ADJECTIVES,
    AUXILIARIES,
    CONJUNCTIONS,
    DETERMINERS,
    ENDS_IN_IE,
    FOLLOWERS,
    IRREGULAR_PLURALS,
    LINKING,
    NO_ADVERBS,
    NO_PLURALS,
    PARTICLES,
    PREPOSITIONS,
    PRONOUNS,
    QUESTION_WORDS,
    RECIPIENTS,
)

FUNCTION_WORDS = (
    DETERMINERS
    | PRONOUNS
    | PREPOSITIONS
    | CONJUNCTIONS
    | AUXILIARIES
    | QUESTION_WORDS
    | FOLLOWERS
    | {"to", "not"}
)
"""Words that neither name nor do anything."""
JOINTS = ("and", "or", "but", ",")
"""Between adjectives, there is more of the noun phrase behind them."""
_ENDS = PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | PRONOUNS | {"to", "not"}


def direct_object(verb: str, words: list[str]) -> str | None:
    """Return the direct object in what follows a verb."""
    at = 0
    while at < len(words) and (words[at] in PARTICLES or is_adverb(words[at])):
        at += 1
    if at < len(words) and (verb, words[at]) in LINKING:
        at += 1
    if words[at : at + 2] == ["to", "me"]:
        at += 1
    if at < len(words) and words[at] in RECIPIENTS:
        at += 1
    return noun(words[at:])


def noun(words: Sequence[str]) -> str | None:
    """Return the head of the noun phrase with which the words begin."""
    head: str | None = None
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in DETERMINERS or word[0].isdigit() or is_adverb(word):
            if head is None or head in ADJECTIVES:
                continue
            # "the largest one" names nothing, and a second phrase is not wanted.
            head = None if word == "one" else head
            break
        if word == "of" and head is None and at > 0:
            continue
        if _ends_phrase(head, word, following):
            break
        if word not in JOINTS:
            head = word
    if head is None or head in ADJECTIVES:
        return None
    return _singular(head.removesuffix("'s"))


def _ends_phrase(head: str | None, word: str, following: str) -> bool:
    if word in JOINTS and head is not None and _is_adjective(head):
        # "a short and funny story"
        return following in FUNCTION_WORDS or not following.isalpha()
    if word in _ENDS or not word[0].isalpha():
        return True
    if head is None:
        return False
    if word.endswith("ing") and (following in DETERMINERS or following[:1].isdigit()):
        return True
    is_said_of_it = following in PREPOSITIONS or following == "to"
    return word in FOLLOWERS or (word.endswith("ed") and is_said_of_it)


def _is_adjective(word: str) -> bool:
    return word in ADJECTIVES or word.endswith(ADJECTIVE_ENDINGS)


def is_adverb(word: str) -> bool:
    """Return whether a word ends as adverbs do."""
    return len(word) > 4 and word.endswith("ly") and word not in NO_ADVERBS


def _singular(word: str) -> str:
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if word in ENDS_IN_IE:
        return word[:-1]
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word in NO_PLURALS:
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes", "oes")):
        return word[:-2]
    return word[:-1]
