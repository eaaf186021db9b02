"""One answer that is being written: what was read, what comes next, and its end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from xturing.models.inference.decoding.lookup import Lookup
from xturing.models.inference.decoding.sampling import Sampler
from xturing.models.inference.decoding.text import TextStream
from xturing.models.inference.engine import Event, Tell
from xturing.models.inference.requests import Finish, Piece, Request, Token
from xturing.models.inference.runner import Cache, Work

if TYPE_CHECKING:
    from xturing.models.inference.batching import Parts
    from xturing.models.inference.decoding.constraint import Constraint


class Answer:
    """A request on its way through an engine. Only `cancel` is for other threads."""

    def __init__(
        self, request: Request, tell: Tell, parts: "Parts", longest: int
    ) -> None:
        decoding = request.decoding
        self.request = request
        self._tell = tell
        self._is_cancelled = False
        self._ends = parts.ends
        self._most = min(decoding.max_new_tokens, longest - len(request.prompt))
        self._text = TextStream(parts.tokenizer, decoding.stop)
        self.writer: Iterator[int] | None = None
        if decoding.penalty_alpha is not None and parts.contrastive is not None:
            self.writer = parts.contrastive(request)
        else:
            self._sampler = Sampler(decoding, request.prompt, self._constraint(parts))
        guesses = decoding.lookup_tokens if parts.can_rewind else 0
        self._lookup = Lookup(request.prompt) if guesses else None
        self._draft: list[int] = []
        self.known = list(request.prompt)
        """The prompt, and what was written so far."""
        self._written = 0
        self.cache: Cache | None = None
        self.cached = 0
        """Tokens of the prompt that were known from another request."""
        self.reading = 0
        """Tokens of the prompt that are being read."""
        self.surplus = 0
        """Tokens at the end of the cache that were guessed wrongly."""

    def _constraint(self, parts: "Parts") -> "Constraint | None":
        schema = self.request.decoding.json_schema
        return None if schema is None else parts.schemas.constraint(schema)

    def cancel(self) -> None:
        """Stop writing."""
        self._is_cancelled = True

    def tell(self, event: Event) -> None:
        """Tell whoever asked. What goes wrong there is none of the engine's affairs."""
        try:
            self._tell(event)
        except Exception:  # noqa: BLE001
            self._is_cancelled = True

    @property
    def capacity(self) -> int:
        """Tokens that there has to be room for."""
        return len(self.request.prompt) + self._most

    def overdue(self, now: float) -> bool:
        """Whether it shall not go on."""
        deadline = self.request.deadline
        return self._is_cancelled or (deadline is not None and now >= deadline)

    def broken_off(self, now: float) -> Piece:
        """Return the end of an answer that is cancelled or overdue."""
        if self._is_cancelled or self.request.deadline is None:
            return self.cancelled()
        return self._last(Finish("deadline"))

    def cancelled(self) -> Piece:
        """Return the end of an answer that nobody waits for."""
        return self._last(Finish("cancelled"))

    @property
    def is_reading(self) -> bool:
        """Whether its prompt is not read to the end yet."""
        return self.writer is None and not self._written

    def work(self, most: int) -> Work | None:
        """Return what to read next, at most so many tokens of the prompt.

        None if there is no room for any of them.
        """
        if self.cache is None:
            return None
        unread = self.known[self.cache.length :]
        self.reading = 0
        if self._written:
            self._draft = self._guess()
            return Work(self.cache, [*unread, *self._draft], 1 + len(self._draft))
        ids = unread[:most]
        if not ids:
            return None
        self.reading = len(ids)
        return Work(self.cache, ids, int(len(ids) == len(unread)))

    def _guess(self) -> list[int]:
        if self._lookup is None:
            return []
        room = self._most - self._written - 1
        return self._lookup.draft(min(self.request.decoding.lookup_tokens, room))

    def read(self, logits: NDArray[Any]) -> Piece | None:
        """Take on the logits that were wanted; None where there were none."""
        texts, tokens, finish = [], [], None
        for row, guess in zip(logits, [*self._draft, None], strict=False):
            token = self._sampler.choose(row)
            tokens.append(token)
            text, finish = self._take(token.id)
            texts.append(text)
            if finish is not None or token.id != guess:
                break
        self.surplus = max(len(self._draft) + 1 - len(tokens), 0) if tokens else 0
        self._draft = []
        return self._piece("".join(texts), tokens, finish) if tokens else None

    def written(self) -> Piece:
        """Have the answer's own writer go on by a token."""
        if self.writer is None:
            raise RuntimeError("the answer has no writer of its own")
        token = next(self.writer)
        text, finish = self._take(token)
        return self._piece(text, [Token(token)], finish)

    def _take(self, token: int) -> tuple[str, Finish | None]:
        self.known.append(token)
        self._written += 1
        if self._lookup is not None:
            self._lookup.append(token)
        if token in self._ends:
            return "", Finish("stop")
        text = self._text.feed(token)
        if self._text.stopped is not None:
            return text, Finish("stop", self._text.stopped)
        return text, Finish("length") if self._written >= self._most else None

    def _piece(self, text: str, tokens: list[Token], finish: Finish | None) -> Piece:
        if finish is None:
            return Piece(text, tuple(tokens))
        return self._last(finish, text, tuple(tokens))

    def _last(
        self, finish: Finish, text: str = "", tokens: tuple[Token, ...] = ()
    ) -> Piece:
        if finish.stop is None:
            text += self._text.rest()
            # A shorter stop text may have waited for a longer one to come true.
            if self._text.stopped is not None:
                finish = Finish("stop", self._text.stopped)
            # A stop text may have waited for a longer one, or for the end.
            if self._text.stopped is not None and finish.reason != "cancelled":
                finish = Finish("stop", self._text.stopped)
        return Piece(text, tokens, finish, self.cached)

    def close(self) -> None:
        """Let go of what writes it."""
        close = getattr(self.writer, "close", None)
        if close is not None:
            close()
