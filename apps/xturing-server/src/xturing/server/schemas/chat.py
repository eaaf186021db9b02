"""Requests for the next turn of a conversation."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xturing.server.schemas.fields import (
    FIRST_FAULT,
    MOST_TOKENS,
    Alternatives,
    Fields,
    ResponseFormat,
    Sampling,
)

Name = Annotated[str, Field(min_length=1, max_length=64)]


class TextPart(Fields):
    """A part of a message."""

    type: Literal["text"]
    text: str


Content = str | Annotated[list[TextPart], FIRST_FAULT]


class CalledFunction(Fields):
    """The function that a model called, its arguments written as JSON."""

    name: Name
    arguments: str


class ToolCall(Fields):
    """A call that a model made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def as_template(self) -> dict[str, Any]:
        """Return the call as chat templates expect it: its arguments as an object."""
        try:
            arguments = json.loads(self.function.arguments)
        except ValueError:
            arguments = self.function.arguments
        called = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": called}


class Message(Fields):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """developer: as system."""
    content: Content | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], FIRST_FAULT] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    """Without effect, as what follows; answers of OpenAI's have them."""
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _check_content(self) -> "Message":
        if self.content is None and self.role != "assistant":
            raise ValueError("a message needs content")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are of the role assistant")
        return self

    def as_template(self) -> dict[str, Any]:
        """Return the message as chat templates expect it."""
        content = self.content or ""
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": content}
        if self.name is not None:
            message["name"] = self.name
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            message["tool_calls"] = [call.as_template() for call in self.tool_calls]
        return message


class Function(Fields):
    """A function that a model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema."""
    strict: bool | None = None
    """Without effect."""


class Tool(Fields):
    """Something that a model may use."""

    type: Literal["function"]
    function: Function

    def as_template(self) -> dict[str, Any]:
        """Return the tool as chat templates expect it."""
        return self.model_dump(exclude_none=True, exclude={"function": {"strict"}})


class ChosenFunction(Fields):
    """The name of a function."""

    name: Name


class ChosenTool(Fields):
    """The tool that has to be used."""

    type: Literal["function"]
    function: ChosenFunction


ToolChoice = Literal["none", "auto", "required"] | ChosenTool


class ChatRequest(Sampling):
    """A conversation to be continued by the assistant."""

    messages: Annotated[list[Message], Field(min_length=1), FIRST_FAULT]
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    """The same by its newer name, which wins."""
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128), FIRST_FAULT] | None = None
    tool_choice: ToolChoice | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = None
    """Only empty: `tools` took their place."""
    modalities: Annotated[list[Literal["text"]], FIRST_FAULT] | None = None
    metadata: dict[str, Any] | None = None
    """Without effect, as all that follow."""
    store: bool | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    prediction: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    verbosity: str | None = None

    @model_validator(mode="after")
    def _check_together(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs: true")
        if self.must_call and self.response_format is not None:
            raise ValueError("an answer is a call of a tool or has a response_format")
        if isinstance(self.tool_choice, ChosenTool):
            names = {tool.function.name for tool in self.tools or ()}
            if self.tool_choice.function.name not in names:
                raise ValueError("tool_choice names none of the tools")
        if self.tool_choice == "required" and not self.tools:
            raise ValueError("tool_choice is required, and there are no tools")
        return self

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be the call of a tool."""
        return self.tool_choice == "required" or isinstance(
            self.tool_choice, ChosenTool
        )

    @property
    def offered(self) -> list[Tool]:
        """The tools that may be called."""
        if self.tool_choice == "none" or not self.tools:
            return []
        if isinstance(self.tool_choice, ChosenTool):
            name = self.tool_choice.function.name
            return [tool for tool in self.tools if tool.function.name == name]
        return self.tools

    @property
    def alternatives(self) -> int | None:
        """How many likeliest tokens are told of; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None
