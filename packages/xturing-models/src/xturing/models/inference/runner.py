"""What computes the logits: the one part in which most engines differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Cache(Protocol):
    """What a runner keeps of one sequence that it has read."""

    length: int
    """Tokens read so far."""
    capacity: int
    """Tokens that there is room for."""
    adapter: str | None


@dataclass(frozen=True)
class Work:
    """Tokens for a sequence to go on with."""

    cache: Cache
    ids: Sequence[int]
    wanted: int = 1
    """The logits after so many of the last tokens are wanted; 0: none."""


class Runner(Protocol):
    """A model that reads several sequences at once, each with a cache of its own.

    Used from one thread. What a sequence's logits are does not depend on what is read
    beside it, up to the rounding that the runner's own file tells of.
    """

    vocabulary: int
    """How many logits there are for a token."""
    context_length: int | None
    """Most tokens of a sequence, where there is a limit."""
    adapters: Sequence[str]
    """Names that `open` takes."""

    def open(self, capacity: int, adapter: str | None = None) -> Cache:
        """Return an empty cache with room for so many tokens."""
        ...

    def step(self, work: Sequence[Work]) -> "NDArray[Any]":
        """Read new tokens, and return the wanted logits in float32.

        Their shape is (sum of wanted, vocabulary), in the order of the work. Each
        cache is in the work once at most, and is longer by its tokens afterwards.
        """
        ...

    def copy(self, cache: Cache, length: int, capacity: int) -> Cache:
        """Return a new cache that begins with the first tokens of another."""
        ...

    def trim(self, cache: Cache, length: int) -> None:
        """Forget all but the first tokens."""
        ...

    def release(self, cache: Cache) -> None:
        """Give a cache's memory back; it is not used again."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
