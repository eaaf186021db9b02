"""What instructions ask for: the verb that each begins with, and that verb's object.

Found by a rule of thumb on the order of words, with lists of English words and without
a parser; meant for counts, and wrong on single sentences now and then.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xturing.selfinstruct.reporting.english import (
    AUXILIARIES,
    DETERMINERS,
    FORMS_OF_BE,
    LABELS,
    OPENERS,
    PAST,
    PREPOSITIONS,
    PRONOUNS,
    QUESTION_VERBS,
    QUESTION_WORDS,
    SUPPOSING,
    VERBS,
)
from xturing.selfinstruct.reporting.nouns import (
    FUNCTION_WORDS,
    direct_object,
    is_adverb,
    noun,
)

MOST_SENTENCES = 20
"""How far into a text it is looked for what it asks."""
LONGEST_SENTENCE = 1000
"""Characters of a sentence that are looked at."""
MOST_BEFORE_AUXILIARY = 8
"""Words of "how many of the …" before the verb of a question."""

AMOUNTS = ("many", "much")
BREAKS = (",", "-", "\N{EN DASH}", "\N{EM DASH}")

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n+|(?<=\w):(?=\D)")
_LETTERS = "[a-z\u00df-\u024f]+"
_PIECE = re.compile(
    rf"{_LETTERS}(?:['-]{_LETTERS})*|\d+(?:[.,]\d+)*(?:-{_LETTERS})*|[^\w\s]"
)
_REQUEST = re.compile(
    r"(?:can|could|would|will) you |(?:i|we) (?:want|need|would like) you to |"
    r"i'd like (?:you )?to |(?:i|we) (?:want|need|would like) to |"
    r"you (?:need|have|want|are (?:asked|required|supposed)) to |"
    r"you (?:should|must|will|can) |your (?:task|job|goal|aim) is to |"
    r"help (?:me|us) (?:to )?|let (?:me|us) |(?:make sure|feel free|try|be sure) to "
)


@dataclass(frozen=True)
class Root:
    """What a sentence asks to do."""

    verb: str
    """In its base form."""
    object: str | None
    """Noun in the singular that the verb is about; None if there is no direct one."""


@dataclass(frozen=True)
class Verb:
    """How often a verb is what is asked for."""

    name: str
    count: int
    objects: tuple[tuple[str, int], ...]
    """Its objects and how often each is one, the most frequent first."""


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """How much instructions differ in what they ask for."""

    instructions: int
    with_verb: int
    with_object: int
    verbs: tuple[Verb, ...]
    """The most frequent first."""

    @property
    def pairs(self) -> int:
        """How many different verbs with an object there are."""
        return sum(len(verb.objects) for verb in self.verbs)


def diversity_of(instructions: Iterable[str]) -> Diversity:
    """Count verbs and their objects; equal counts stand in alphabetical order."""
    roots = [root_of(instruction) for instruction in instructions]
    found = [root for root in roots if root is not None]
    verbs = Counter(root.verb for root in found)
    objects: dict[str, Counter[str]] = {name: Counter() for name in verbs}
    for root in found:
        if root.object is not None:
            objects[root.verb][root.object] += 1
    return Diversity(
        instructions=len(roots),
        with_verb=len(found),
        with_object=sum(root.object is not None for root in found),
        verbs=tuple(
            Verb(name, count, _ranked(objects[name])) for name, count in _ranked(verbs)
        ),
    )


def root_of(text: str) -> Root | None:
    """Return what the first sentence asks to do that asks for anything.

    None if no sentence is seen to be an instruction or a question.
    """
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for sentence in _SENTENCE_END.split(text)[:MOST_SENTENCES]:
        root = _root(_PIECE.findall(sentence[:LONGEST_SENTENCE]))
        if root is not None:
            return root
    return None


def _ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _root(words: list[str]) -> Root | None:
    """Return the root of a sentence: that of its first part that has one."""
    root = _question(words) or _imperative(words)
    if root is not None:
        return root
    for part in _parts(words):
        # Without the sign, "which is blue" is more likely said of something.
        is_asked = words[-1] == "?"
        root = (_question(part) if is_asked else None) or _imperative(
            part, is_first=False
        )
        if root is not None:
            return root
    return _imperative(_based(_opened(words)))


def _parts(words: list[str]) -> Iterator[list[str]]:
    """Yield what follows each comma or dash of a sentence, or "and" before "you"."""
    for at, word in enumerate(words):
        if word in BREAKS or words[at : at + 2] == ["and", "you"]:
            yield words[at + 1 :]


def _based(words: list[str]) -> list[str]:
    """Return a sentence such as "Solving the equation" with its verb in base form."""
    if words and words[0].endswith("ing"):
        return [_base(words[0]) or words[0], *words[1:]]
    return words


def _imperative(words: list[str], *, is_first: bool = True) -> Root | None:
    words = _opened(words)
    if not words or not _is_imperative(words, is_first=is_first):
        return None
    verb, *rest = words
    if len(rest) > 1 and rest[0] in ("and", "or", ",", "/") and rest[1] in VERBS:
        rest = rest[2:]
    return Root(verb, direct_object(verb, rest))


def _is_imperative(words: Sequence[str], *, is_first: bool) -> bool:
    """Return whether an opened sentence begins with a verb.

    One that is in no list is known by the article or number behind it; a name or a
    noun seldom has one there.
    """
    verb = words[0]
    following = words[1] if len(words) > 1 else ""
    is_scene = verb in SUPPOSING and following in (PRONOUNS | {"that"})
    is_label = verb in LABELS and following == ":"
    if following in AUXILIARIES or is_scene or is_label:
        return False
    if verb in VERBS:
        return True
    is_unknown = verb.isalpha() and verb not in FUNCTION_WORDS
    is_form = verb.endswith(("ing", "ed", "'s"))
    return is_first and is_unknown and not is_form and following in DETERMINERS


def _opened(words: list[str]) -> list[str]:
    """Return a sentence without the politeness at its beginning."""
    while True:
        start = 0
        while start < len(words) and _is_opener(words[start]):
            start += 1
        words = words[start:]
        request = _REQUEST.match(" ".join(words))
        if request is None:
            return words
        words = words[len(request[0].split()) :]


def _is_opener(word: str) -> bool:
    return word in OPENERS or is_adverb(word) or not word[0].isalpha()


def _question(words: list[str]) -> Root | None:
    start = 0
    while start < len(words) and _is_opener(words[start]):
        start += 1
    words = words[start:]
    if not words or _REQUEST.match(" ".join(words)):
        return None
    if words[0] in FORMS_OF_BE:
        return Root("be", None)
    if words[0] in AUXILIARIES:
        return _after_subject(words[1:], None)
    # "In what ways can …" does not ask for ways.
    is_about = words[0] in PREPOSITIONS
    words = words[1:] if is_about else words
    if not words or words[0] not in QUESTION_WORDS:
        return None
    if words[0] in ("when", "where") and words[-1] != "?":
        return None
    return _asked(words[0], words[1:], is_about=is_about)


def _asked(asking: str, words: list[str], *, is_about: bool) -> Root | None:
    """Return the root of what follows "what", "how" and the like."""
    if words[:1] == ["to"]:
        return _imperative(words[1:])
    for at, word in enumerate(words[:MOST_BEFORE_AUXILIARY]):
        if word in FORMS_OF_BE:
            return Root("be", None)
        if word in AUXILIARIES:
            # "How many …" asks for things, "how fast" does not.
            is_about = is_about or (asking == "how" and words[0] not in AMOUNTS)
            wanted = None if is_about else noun(words[:at])
            is_verb = word in ("has", "have", "had") and words[at + 1 : at + 2] != []
            if is_verb and words[at + 1] not in PRONOUNS:
                return Root("have", noun(words[at + 1 :]))
            return _after_subject(words[at + 1 :], wanted)
    verb = _base(words[0]) if words and asking in ("who", "what") else None
    return Root(verb, direct_object(verb, words[1:])) if verb else None


def _after_subject(words: list[str], wanted: str | None) -> Root | None:
    """Return the root of a question after its auxiliary; `wanted` is what is asked."""
    if words[:1] == ["be"]:
        return Root("be", None)
    start = 2 if words and words[0] in DETERMINERS else 0
    if words and words[0] in PRONOUNS:
        for at, word in enumerate(words[1:], start=1):
            if not is_adverb(word):
                is_verb = word.isalpha() and word not in FUNCTION_WORDS - {"be"}
                return _found(word, words[at + 1 :], wanted) if is_verb else None
    for at, word in enumerate(words[start:], start=start):
        if word in QUESTION_VERBS:
            return _found(word, words[at + 1 :], wanted)
    return None


def _found(verb: str, rest: list[str], wanted: str | None) -> Root:
    if verb == "be":
        return Root(verb, None)
    return Root(verb, wanted or direct_object(verb, rest))


def _base(word: str) -> str | None:
    """Return the base form of a verb that is known."""
    if word in PAST:
        return PAST[word]
    forms = [word]
    if word.endswith("ing"):
        stem = word[:-3]
        forms += [stem, f"{stem}e", stem[:-1]]
    elif word.endswith(("s", "d")):
        forms += [word[:-1], word[:-2]]
    return next((form for form in forms if form in QUESTION_VERBS), None)
