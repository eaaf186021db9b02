"""Answers that have to fit a JSON schema: which tokens may come next."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import EngineError, SettingsError
from xturing.core.extras import require

LONGEST_SCHEMA = 64 * 1024
"""Bytes."""
SCHEMAS_KEPT = 16
OPTIONS = {
    # As JSON is usually written, on one line or indented. What is allowed here is
    # allowed once, so that no model writes spaces without end.
    "whitespace_pattern": r" |\n {0,16}",
    "whitespace_flexible": True,
    "item_separator": ",",
    "key_separator": ":",
    # The answer fits the whole schema, or the schema is refused.
    "lenient": False,
    "coerce_one_of": False,
}


class Constraint(Protocol):
    """What an answer has to be like, and how far it has come."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end here."""
        ...

    def mask(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of logits in which tokens that may not come next have -inf."""
        ...

    def advance(self, token_id: int) -> None:
        """Take on the answer's next token."""
        ...


class Schemas:
    """Constraints from JSON schemas, for the tokens of one model; from any thread.

    `vocabulary` is how many logits there are, of which the last may belong to no token;
    `ends` are the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        self._hf_tokenizer = tokenizer
        self._vocabulary = max(vocabulary, len(tokenizer))
        self._ends = sorted(end for end in ends if end < vocabulary)
        self._tokenizer: Any = None
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def constraint(self, json_schema: str) -> Constraint:
        """Return the constraint of a schema, at the beginning of an answer.

        Raises:
            SettingsError: it is no JSON schema, or has what cannot be held to.
            MissingDependencyError: llguidance is not installed.
        """
        with self._lock:
            if json_schema not in self._kept:
                self._kept[json_schema] = self._matcher(_checked(json_schema))
            self._kept.move_to_end(json_schema)
            if len(self._kept) > SCHEMAS_KEPT:
                self._kept.popitem(last=False)
            matcher = self._kept[json_schema].deep_copy()
        return _SchemaConstraint(matcher, self._ends, self._vocabulary)

    def _matcher(self, schema: str) -> Any:
        library = require("llguidance", package="xturing-models", extra="json")
        if self._tokenizer is None:
            self._tokenizer = self._compiled_tokenizer()
        quiet = library.LLParserLimits(verbose_errors=False)
        make = library.LLMatcher.grammar_from_json_schema
        try:
            grammar = make(schema, overrides=OPTIONS)
        except ValueError as error:
            raise _refusal(str(error)) from error
        matcher = library.LLMatcher(self._tokenizer, grammar, log_level=0, limits=quiet)
        # Some schemas turn out to fit nothing only when there is something to choose.
        if not matcher.is_error():
            matcher.compute_bitmask()
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        return matcher

    def _compiled_tokenizer(self) -> Any:
        library = require("llguidance.hf", package="xturing-models", extra="json")
        try:
            return library.from_tokenizer(
                self._hf_tokenizer, n_vocab=self._vocabulary, eos_token=self._ends
            )
        except ValueError as error:
            raise SettingsError(
                f"json_schema cannot be used with this model's tokenizer: {error}. "
                "Leave it out, or use another model."
            ) from error


class _SchemaConstraint:
    """A JSON schema, at some place of an answer."""

    def __init__(self, matcher: Any, ends: Sequence[int], vocabulary: int) -> None:
        self._matcher = matcher
        self._ends = ends
        self._bits = np.zeros((vocabulary + 31) // 32, dtype=np.int32)

    @property
    def is_complete(self) -> bool:
        return self._matcher.is_accepting()

    def mask(self, logits: NDArray[Any]) -> NDArray[Any]:
        bits = self._bits
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._check()
        flags = np.unpackbits(bits.view(np.uint8), bitorder="little")
        allowed = flags[: len(logits)].view(np.bool_)
        # To some tokenizers an end is a text like others, which a string could hold.
        allowed[self._ends] = self.is_complete
        return np.where(allowed, logits, np.float32(-np.inf))

    def advance(self, token_id: int) -> None:
        if token_id not in self._ends:
            self._matcher.consume_token(token_id)
            self._check()

    def _check(self) -> None:
        # A matcher that is stopped at the end of the schema has no error.
        if self._matcher.is_error():
            raise EngineError(
                "The answer cannot be held to json_schema any more: "
                f"{_plain(self._matcher.get_error())}. Use a simpler schema."
            )


def _refusal(reason: str) -> SettingsError:
    # What follows is advice on options that are not to be had here.
    reason = _plain(reason.partition(" Enable ")[0])
    return SettingsError(
        f"json_schema asks for what answers cannot be held to: {reason}. Write it "
        "without that (anyOf does for most uses of oneOf)."
    )


def _plain(reason: str) -> str:
    """Return the library's words on one line."""
    if "NoExtension" in reason:
        return "no answer fits it"
    return " ".join(reason.replace("<non-verbose/>", "").split()).rstrip(".")


def _checked(json_schema: str) -> str:
    """Return a schema as it is compiled.

    Raises:
        SettingsError: it is too long, no JSON, or no object.
    """
    size = len(json_schema.encode(errors="replace"))
    if size > LONGEST_SCHEMA:
        raise SettingsError(
            f"json_schema has {size} bytes; give one of at most {LONGEST_SCHEMA}."
        )
    try:
        schema = json.loads(json_schema)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"json_schema is no JSON: {error}. Give a schema as JSON, such as "
            '{"type": "object"}.'
        ) from error
    if not isinstance(schema, dict):
        raise SettingsError(
            f"json_schema is {json_schema[:40]!r}, which is no JSON object. Give a "
            'schema such as {"type": "object"}.'
        )
    return json.dumps(schema or {"type": "object"})
