"""What is replied, in the shapes that OpenAI's clients read."""

from typing import Any, Literal

from pydantic import BaseModel

FinishReason = Literal["stop", "length", "tool_calls"]


class PromptDetails(BaseModel):
    """Tokens that did not have to be read again."""

    cached_tokens: int


class Usage(BaseModel):
    """How many tokens there were."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class Alternative(BaseModel):
    """A token that could have been written."""

    token: str
    logprob: float
    bytes: list[int] | None
    """None: it shows only with the tokens beside it."""


class TokenLogprob(Alternative):
    """A token that was written."""

    top_logprobs: list[Alternative]


class ChatLogprobs(BaseModel):
    """The tokens of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


class CalledFunction(BaseModel):
    """The function that is to be called, its arguments written as JSON."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call that the model makes."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AnswerMessage(BaseModel):
    """What the assistant says."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(BaseModel):
    """An answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


class ChatReply(BaseModel):
    """The answers to a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: None = None


class TextLogprobs(BaseModel):
    """The tokens of a text, and where each begins in it."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    """A text that was continued."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: FinishReason


class TextReply(BaseModel):
    """The continuations of some texts."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class ServedModel(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["xturing"] = "xturing"


class ServedModels(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ServedModel]


class Failure(BaseModel):
    """Why there is no answer."""

    message: str
    type: str
    param: str | None
    code: str | None


class FailureReply(BaseModel):
    """The same, as a reply."""

    error: Failure


class Health(BaseModel):
    """How the server is."""

    success: Literal[True] = True
    message: str
    model: str
    engine: str
    running: int
    waiting: int


def failures(*statuses: int, model: Any = FailureReply) -> dict[int | str, Any]:
    """Return what a route's documentation says of its errors."""
    return {status: {"model": model} for status in statuses}


ANSWERING = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503)
"""Statuses of errors of routes that answer prompts."""
