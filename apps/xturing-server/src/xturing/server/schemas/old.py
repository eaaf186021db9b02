"""The request and replies of POST /api, as they were before OpenAI's protocol."""

from typing import Annotated, Literal

from pydantic import Field

from xturing.server.schemas.completions import MOST_PROMPTS
from xturing.server.schemas.fields import FIRST_FAULT, MOST_TOKENS, Fields


class OldParams(Fields):
    """How answers are written, with the defaults that they always had here."""

    penalty_alpha: Annotated[float, Field(ge=0, le=1)] | None = 0.6
    top_k: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 50
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    do_sample: bool = False
    max_new_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 256


class OldRequest(Fields):
    """A question, or several."""

    prompt: (
        str
        | Annotated[
            list[str], Field(min_length=1, max_length=MOST_PROMPTS), FIRST_FAULT
        ]
    )
    params: OldParams = OldParams()


class OldReply(Fields):
    """The answers, in order."""

    success: Literal[True]
    response: list[str]


class OldFailure(Fields):
    """Why there are none."""

    success: Literal[False]
    message: str
