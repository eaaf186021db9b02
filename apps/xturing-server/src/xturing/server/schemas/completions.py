"""Requests for texts to be continued as they stand."""

from typing import Annotated

from pydantic import Field, model_validator

from xturing.server.schemas.fields import (
    FIRST_FAULT,
    MOST_TOKENS,
    Alternatives,
    Sampling,
)

MOST_PROMPTS = 128

Ids = Annotated[list[int], Field(min_length=1), FIRST_FAULT]
Many = Field(min_length=1, max_length=MOST_PROMPTS)
Prompt = (
    str
    | Ids
    | Annotated[list[str], Many, FIRST_FAULT]
    | Annotated[list[Ids], Many, FIRST_FAULT]
)


class CompletionRequest(Sampling):
    """Texts, or token ids, to be continued."""

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    """0 goes with echo."""
    echo: bool | None = None
    """Begin each answer with its prompt."""
    logprobs: Alternatives | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    """Only as many as `n`."""
    suffix: Annotated[str, Field(max_length=0)] | None = None
    """Only empty: texts are not filled in here."""

    @model_validator(mode="after")
    def _check_together(self) -> "CompletionRequest":
        if self.best_of not in (None, self.choices):
            raise ValueError("best_of is not there; ask for n answers instead")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens is 0, which goes with echo: true only")
        if self.stream and self.echo:
            raise ValueError("echo goes with answers that are not streamed")
        return self

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts, where there may have been one."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [prompt]  # pyright: ignore[reportReturnType]  # its first is an id
        return prompt  # pyright: ignore[reportReturnType]  # its first is no id
