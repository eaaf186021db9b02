"""POST /v1/chat/completions."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response

from xturing.models.inference.requests import Completion, Decoding, Finish, Token
from xturing.server.answering import Asking
from xturing.server.decoding import check_length, requested
from xturing.server.events import GAP, Chunk, EventStream, TextEvent, chunks, event
from xturing.server.prompts import Ids
from xturing.server.refusals import RefusedError
from xturing.server.schemas.chat import ChatRequest
from xturing.server.schemas.fields import JsonObject, JsonSchema
from xturing.server.schemas.replies import (
    ANSWERING,
    AnswerMessage,
    ChatChoice,
    ChatLogprobs,
    ChatReply,
    FinishReason,
    ToolCall,
    failures,
)
from xturing.server.service import Service
from xturing.server.tokens import chat_logprobs, usage, usage_of
from xturing.server.tools import call_schema, read_bare_call, read_calls

STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


@dataclass(frozen=True)
class Answer:
    """What a model wrote, its calls of tools apart."""

    text: str
    calls: Sequence[ToolCall]
    reason: FinishReason


def router(service: Service) -> APIRouter:
    """Return the route."""
    routes = APIRouter()

    @routes.post(
        "/v1/chat/completions",
        response_model=ChatReply,
        responses={200: STREAM, **failures(*ANSWERING)},
    )
    async def create_chat_completion(asked: ChatRequest, http: Request) -> Response:
        """Continue a conversation."""
        adapter = service.adapter(asked.model)
        decoding = _decoding(service, asked)
        prompt = await _prompt(service, asked)
        asking = await service.ask(
            [prompt], decoding, choices=asked.choices, adapter=adapter
        )
        if asked.stream:
            events = _events(service, asked, asking)
            seconds = service.settings.retry_after_seconds
            return EventStream(events, asking.cancel, seconds)
        completions = await asking.completions(http)
        reply = _reply(service, asked, completions)
        return Response(
            reply.model_dump_json(exclude_unset=True), media_type="application/json"
        )

    return routes


def _decoding(service: Service, asked: ChatRequest) -> Decoding:
    newer = asked.max_completion_tokens
    length, name = newer, "max_completion_tokens"
    if newer is None:
        length, name = asked.max_tokens, "max_tokens"
    check_length(length, service.settings.max_new_tokens, name)
    return requested(
        service.defaults,
        asked,
        length,
        json_schema=_schema(asked),
        logprobs=asked.alternatives,
    )


def _schema(asked: ChatRequest) -> str | None:
    """Return the JSON schema that the answer has to fit."""
    if asked.must_call:
        return call_schema(asked.offered)
    match asked.response_format:
        case JsonObject():
            return "{}"
        case JsonSchema(json_schema=named):
            return json.dumps(named.json_schema)
    return None


async def _prompt(service: Service, asked: ChatRequest) -> Ids:
    tools = asked.offered
    if tools and not service.prompts.writes_tools:
        raise RefusedError(
            400,
            "The chat template of this model does not write tools, so that the model "
            "would not see them. Leave them out.",
            param="tools",
            code="unsupported_value",
        )
    return await service.prompts.chat(
        [message.as_template() for message in asked.messages],
        [tool.as_template() for tool in tools],
    )


def _answer(asked: ChatRequest, text: str, finish: Finish) -> Answer:
    reason: FinishReason = "stop" if finish.reason == "stop" else "length"
    if not asked.offered:
        return Answer(text, (), reason)
    if asked.must_call:
        calls = read_bare_call(text, asked.offered)
        rest = "" if calls else text
    else:
        rest, calls = read_calls(text, asked.offered)
    return Answer(rest, calls, "tool_calls" if calls else reason)


def _reply(
    service: Service, asked: ChatRequest, completions: Sequence[Completion]
) -> ChatReply:
    used = usage_of(completions, asked.choices)
    service.metrics.count_tokens(used.prompt_tokens, used.completion_tokens)
    return ChatReply(
        id=_id(),
        object="chat.completion",
        created=service.now(),
        model=asked.model,
        choices=[
            _choice(index, asked, completion, _logprobs(service, asked, completion))
            for index, completion in enumerate(completions)
        ],
        usage=used,
        system_fingerprint=None,
    )


def _choice(
    index: int,
    asked: ChatRequest,
    completion: Completion,
    logprobs: ChatLogprobs | None,
) -> ChatChoice:
    answer = _answer(asked, completion.text, completion.finish)
    content = None if answer.calls and not answer.text else answer.text
    message = AnswerMessage(role="assistant", content=content, refusal=None)
    if answer.calls:
        message.tool_calls = list(answer.calls)
    return ChatChoice(
        index=index, message=message, logprobs=logprobs, finish_reason=answer.reason
    )


def _logprobs(
    service: Service, asked: ChatRequest, completion: Completion
) -> ChatLogprobs | None:
    if asked.alternatives is None:
        return None
    return chat_logprobs(service.engine.tokenizer, completion.tokens)


async def _events(
    service: Service, asked: ChatRequest, asking: Asking
) -> AsyncIterator[bytes]:
    """Yield the chunks of all answers: roles, then texts as they come, then usage."""
    head = {
        "id": _id(),
        "object": "chat.completion.chunk",
        "created": service.now(),
        "model": asked.model,
        "system_fingerprint": None,
    }
    chunk = chunks(head, tells_usage=asked.tells_usage)
    texts: list[TextEvent] = []
    for index in range(asked.choices):
        opening = _delta(index, {"role": "assistant", "content": "", "refusal": None})
        yield event(chunk(opening))
        texts.append(TextEvent(chunk(_delta(index, {"content": GAP}))))
    written = [""] * asked.choices
    answer_tokens, cached = 0, 0
    async for index, piece in asking.pieces():
        answer_tokens += len(piece.tokens)
        cached = max(cached, piece.cached_tokens)
        written[index] += piece.text
        told = _told(service, asked, piece.tokens)
        # What may yet turn out to be a call of a tool is kept back.
        if told is not None and not asked.offered:
            yield event(chunk(_delta(index, {"content": piece.text}, told)))
        elif piece.text and not asked.offered:
            yield texts[index].of(piece.text)
        if piece.finish is not None:
            answer = _answer(asked, written[index], piece.finish)
            for delta in _last(index, asked, answer):
                yield event(chunk(delta))
    prompt_tokens = len(asking.requests[0].prompt)
    service.metrics.count_tokens(prompt_tokens, answer_tokens)
    if asked.tells_usage:
        used = usage(prompt_tokens, answer_tokens, cached)
        yield event({**chunk(), "usage": used.model_dump()})


def _last(index: int, asked: ChatRequest, answer: Answer) -> list[Chunk]:
    """Return what ends an answer."""
    deltas = []
    if asked.offered and answer.text:
        deltas.append(_delta(index, {"content": answer.text}))
    if answer.calls:
        calls = [
            {"index": number, **call.model_dump()}
            for number, call in enumerate(answer.calls)
        ]
        deltas.append(_delta(index, {"tool_calls": calls}))
    return [*deltas, _delta(index, {}, reason=answer.reason)]


def _delta(
    index: int, delta: Chunk, logprobs: Chunk | None = None, reason: str | None = None
) -> Chunk:
    return {
        "index": index,
        "delta": delta,
        "logprobs": logprobs,
        "finish_reason": reason,
    }


def _told(
    service: Service, asked: ChatRequest, tokens: Sequence[Token]
) -> Chunk | None:
    if asked.alternatives is None or not tokens:
        return None
    return chat_logprobs(service.engine.tokenizer, tokens).model_dump()


def _id() -> str:
    return f"chatcmpl-{uuid4().hex}"
