"""Preferences and judgements to token ids, ready for losses that compare answers."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from xturing.core.errors import DataError
from xturing.data.chat import Tokenizer
from xturing.data.encoding import encode_records
from xturing.data.examples import Example
from xturing.data.records import Conversation, Judgement, Placed, Preference


@dataclass(frozen=True, eq=False)
class Pair:
    """Two ways to go on from one prompt, of which only these are learnt."""

    chosen: Example
    rejected: Example
    prompt_length: int
    """How many tokens from the start are the same prompt in both."""

    @property
    def place(self) -> str:
        """Where the row came from."""
        return self.chosen.place


@dataclass(frozen=True, eq=False)
class Judged:
    """An example, and whether its answer is wanted."""

    example: Example
    is_wanted: bool


def encode_pairs(records: Iterable[Placed], tokenizer: Tokenizer) -> Iterator[Pair]:
    """Yield each preference as two examples that begin with the same prompt ids.

    Of the prompt's own turns none is learnt.

    Raises:
        DataError: a record is no preference, or the chat template does not fit it.
    """
    sides = encode_records(_sides(records), tokenizer)
    # Both sides of a row come one after the other.
    for chosen, rejected in zip(sides, sides, strict=True):
        row = chosen.row // 2
        yield Pair(
            replace(chosen, row=row),
            replace(rejected, row=row),
            _shared(chosen, rejected),
        )


def encode_judgements(
    records: Iterable[Placed], tokenizer: Tokenizer
) -> Iterator[Judged]:
    """Yield each judgement as an example and its verdict.

    Of the turns before the last answer none is learnt: they were not judged.

    Raises:
        DataError: a record is no judgement, or the chat template does not fit it.
    """
    verdicts: deque[bool] = deque()

    def conversations() -> Iterator[Placed]:
        for row in records:
            if not isinstance(row.record, Judgement):
                raise _wrong(row, "judgement")
            verdicts.append(row.record.is_wanted)
            yield Placed(_judged(row.record), row.place)

    for example in encode_records(conversations(), tokenizer):
        yield Judged(example, verdicts.popleft())


def _sides(records: Iterable[Placed]) -> Iterator[Placed]:
    for row in records:
        record = row.record
        if not isinstance(record, Preference):
            raise _wrong(row, "preference")
        prompt = tuple(replace(turn, is_learnt=False) for turn in record.prompt)
        for side in (record.chosen, record.rejected):
            yield Placed(Conversation((*prompt, *side), record.tools), row.place)


def _judged(judgement: Judgement) -> Conversation:
    """Return the conversation, of which only what was judged is learnt."""
    talk = judgement.conversation
    earlier = tuple(replace(turn, is_learnt=False) for turn in judgement.prompt)
    return replace(talk, messages=(*earlier, *talk.messages[len(earlier) :]))


def _shared(chosen: Example, rejected: Example) -> int:
    """Return the length of the prompt, whose ids are the same in both."""
    length = min(chosen.first_learnt, rejected.first_learnt)
    if (chosen.ids[:length] == rejected.ids[:length]).all() and (
        chosen.first_learnt == rejected.first_learnt
    ):
        return length
    raise DataError(
        f"{chosen.place}: the chat template writes the prompt differently before the "
        "chosen and the rejected answer, so they cannot be compared. Use a template "
        "that keeps earlier turns as they are."
    )


def _wrong(row: Placed, wanted: str) -> DataError:
    kind = type(row.record).__name__.lower()
    return DataError(
        f"{row.place} is a {kind}, not a {wanted}. Rows must be of one kind."
    )
