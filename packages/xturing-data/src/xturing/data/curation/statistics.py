"""What a dataset is like: how long its rows are, what they have, in what scripts."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xturing.data.chat import Tokenizer
from xturing.data.curation.passages import Passage, answer, passages
from xturing.data.curation.rows import Rows, placed
from xturing.data.curation.scripts import count_scripts
from xturing.data.curation.text import words
from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Message,
    Placed,
    Preference,
    Record,
)

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
ROWS_AT_ONCE = 256
FEATURES = ("multi-turn", "system", "tools", "tool calls")


@dataclass(frozen=True)
class Lengths:
    """How long the rows are."""

    total: int
    least: int
    most: int
    mean: float
    percentiles: Mapping[int, int]
    """The length that so many percent of the rows do not exceed."""

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Lengths":
        """Return what there is to say of the lengths of rows."""
        ranked = sorted(lengths) or [0]
        last = len(ranked) - 1
        return cls(
            total=sum(ranked),
            least=ranked[0],
            most=ranked[-1],
            mean=sum(ranked) / len(ranked),
            percentiles={p: ranked[-(-last * p // 100)] for p in PERCENTILES},
        )


@dataclass(frozen=True)
class Listed:
    """A row that is listed for what it is."""

    row: int
    place: str


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a dataset is like. All texts count, those of tools included."""

    rows: int
    characters: Lengths
    words: Lengths
    tokens: Lengths | None
    """Of the texts alone, without what a chat template adds; None if not counted."""
    answers: Lengths
    """Words of the last answer, or of a text."""
    turns: Mapping[int, int]
    """How many rows have so many messages."""
    features: Mapping[str, float]
    """Share of rows with each of: multi-turn, system, tools, tool calls."""
    scripts: Mapping[str, float]
    """Share of all letters in each script, most first."""
    main_scripts: Mapping[str, int]
    """How many rows have most of their letters in each script, most first."""
    empty_answers: tuple[Listed, ...]
    long_rows: tuple[Listed, ...]
    """Rows with more words than was given as `long`."""


def gather_statistics(
    rows: Rows, *, tokenizer: Tokenizer | None = None, long: int = 2048
) -> Statistics:
    """Return what a dataset is like, in one pass over its rows.

    Rows of more than `long` words are listed; 2,048 fill most context windows that
    small models are trained with.
    """
    tally = _Tally(long)
    batch: list[str] = []
    tokens = array("q")
    for index, row in enumerate(placed(rows)):
        texts = passages(row.record)
        tally.add(index, row, texts)
        if tokenizer is not None:
            batch.append("\n".join(passage.text for passage in texts))
            if len(batch) == ROWS_AT_ONCE:
                tokens.extend(_token_counts(tokenizer, batch))
                batch = []
    if tokenizer is not None and batch:
        tokens.extend(_token_counts(tokenizer, batch))
    return tally.statistics(None if tokenizer is None else Lengths.of(tokens))


@dataclass
class _Tally:
    """What has been counted so far; eight bytes a row for each kind of length."""

    long: int
    characters: "array[int]" = field(default_factory=lambda: array("q"))
    words: "array[int]" = field(default_factory=lambda: array("q"))
    answers: "array[int]" = field(default_factory=lambda: array("q"))
    turns: Counter[int] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    main_scripts: Counter[str] = field(default_factory=Counter)
    empty: list[Listed] = field(default_factory=list)
    too_long: list[Listed] = field(default_factory=list)

    def add(self, index: int, row: Placed, texts: Sequence[Passage]) -> None:
        answered = answer(row.record)
        spoken = sum(len(words(passage.text)) for passage in texts)
        self.characters.append(sum(len(passage.text) for passage in texts))
        self.words.append(spoken)
        self.answers.append(sum(len(words(passage.text)) for passage in answered))
        if not any(passage.text.strip() for passage in answered):
            self.empty.append(Listed(index, row.place))
        if spoken > self.long:
            self.too_long.append(Listed(index, row.place))
        self.turns[len(_messages(row.record))] += 1
        self.features.update(_features(row.record))
        found = count_scripts("".join(passage.text for passage in texts))
        self.scripts.update(found)
        if found:
            self.main_scripts[found.most_common(1)[0][0]] += 1

    def statistics(self, tokens: Lengths | None) -> Statistics:
        count = max(len(self.words), 1)
        letters = max(self.scripts.total(), 1)
        return Statistics(
            rows=len(self.words),
            characters=Lengths.of(self.characters),
            words=Lengths.of(self.words),
            tokens=tokens,
            answers=Lengths.of(self.answers),
            turns=dict(sorted(self.turns.items())),
            features={name: self.features[name] / count for name in FEATURES},
            scripts={n: times / letters for n, times in self.scripts.most_common()},
            main_scripts=dict(self.main_scripts.most_common()),
            empty_answers=tuple(self.empty),
            long_rows=tuple(self.too_long),
        )


def _features(record: Record) -> Iterator[str]:
    messages = _messages(record)
    if sum(message.role == "user" for message in messages) > 1:
        yield "multi-turn"
    if any(message.role == "system" for message in messages):
        yield "system"
    if _tools(record):
        yield "tools"
    if any(message.tool_calls for message in messages):
        yield "tool calls"


def _messages(record: Record) -> tuple[Message, ...]:
    """Return the turns of a row, with the better answer of a preference."""
    match record:
        case Conversation(messages):
            return messages
        case Preference(prompt, chosen):
            return (*prompt, *chosen)
        case Judgement(conversation):
            return conversation.messages
        case Document():
            return ()


def _tools(record: Record) -> Sequence[Mapping[str, Any]]:
    match record:
        case Conversation() | Preference():
            return record.tools
        case Judgement(conversation):
            return conversation.tools
        case Document():
            return ()


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[int]:
    encoding = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False
    )
    return (len(ids) for ids in encoding["input_ids"])
