"""POST /v1/completions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response

from xturing.core.errors import BusyError
from xturing.models.inference.requests import (
    Completion,
    Decoding,
    Finish,
    Piece,
    Token,
)
from xturing.server.answering import Asking
from xturing.server.decoding import check_length, requested
from xturing.server.events import GAP, Chunk, EventStream, TextEvent, chunks, event
from xturing.server.prompts import Ids
from xturing.server.refusals import RefusedError
from xturing.server.routes.chat import STREAM
from xturing.server.schemas.completions import CompletionRequest
from xturing.server.schemas.replies import (
    ANSWERING,
    FinishReason,
    TextChoice,
    TextLogprobs,
    TextReply,
    failures,
)
from xturing.server.service import Service
from xturing.server.tokens import joined, text_logprobs, usage, usage_of


@dataclass(frozen=True)
class Echo:
    """A prompt as it is repeated before its answers."""

    text: str
    logprobs: TextLogprobs | None


NO_ECHO = Echo("", None)


def router(service: Service) -> APIRouter:
    """Return the route."""
    routes = APIRouter()
    scoring = asyncio.Lock()

    @routes.post(
        "/v1/completions",
        response_model=TextReply,
        responses={200: STREAM, **failures(*ANSWERING)},
    )
    async def create_completion(asked: CompletionRequest, http: Request) -> Response:
        """Continue texts as they stand."""
        adapter = service.adapter(asked.model)
        decoding = _decoding(service, asked)
        prompts = [await _ids(service, prompt) for prompt in asked.prompts]
        echoes = await _echoes(service, asked, prompts, scoring)
        if decoding is None:
            return _json(_reply(service, asked, _nothing(prompts, asked), echoes))
        asking = await service.ask(
            prompts, decoding, choices=asked.choices, adapter=adapter
        )
        if asked.stream:
            events = _events(service, asked, asking)
            seconds = service.settings.retry_after_seconds
            return EventStream(events, asking.cancel, seconds)
        completions = await asking.completions(http)
        return _json(_reply(service, asked, completions, echoes))

    return routes


def _decoding(service: Service, asked: CompletionRequest) -> Decoding | None:
    """Return how answers are written; None: there is only the prompt to repeat."""
    check_length(asked.max_tokens, service.settings.max_new_tokens, "max_tokens")
    if asked.max_tokens == 0:
        return None
    return requested(service.defaults, asked, asked.max_tokens, logprobs=asked.logprobs)


async def _ids(service: Service, prompt: str | list[int]) -> Ids:
    if isinstance(prompt, str):
        return await service.prompts.text(prompt)
    return service.prompts.ids(prompt)


async def _echoes(
    service: Service,
    asked: CompletionRequest,
    prompts: Sequence[Ids],
    scoring: asyncio.Lock,
) -> list[Echo]:
    if not asked.echo:
        return [NO_ECHO] * len(prompts)
    texts = [
        prompt if isinstance(prompt, str) else service.prompts.shown(prompt)
        for prompt in asked.prompts
    ]
    if asked.logprobs is None:
        return [Echo(text, None) for text in texts]
    if service.adapter(asked.model) is not None:
        raise RefusedError(
            400,
            "Prompts are given log-probabilities by the base model only; leave out "
            "echo or logprobs.",
            param="logprobs",
            code="unsupported_value",
        )
    if scoring.locked():
        raise BusyError("prompts are being scored already")
    async with scoring:
        scores = await asyncio.to_thread(service.engine.score, prompts)
    tokenizer = service.engine.tokenizer
    echoes = []
    for text, prompt, score in zip(texts, prompts, scores, strict=True):
        rest = zip(prompt[1:], score.tolist(), strict=True)
        tokens = [Token(prompt[0]), *(Token(*pair, (pair,)) for pair in rest)]
        told = text_logprobs(tokenizer, tokens, of_prompt=True)
        echoes.append(Echo(text, told))
    return echoes


def _nothing(prompts: Sequence[Ids], asked: CompletionRequest) -> list[Completion]:
    return [
        Completion("", (), Finish("length"), len(prompt))
        for prompt in prompts
        for _ in range(asked.choices)
    ]


def _reply(
    service: Service,
    asked: CompletionRequest,
    completions: Sequence[Completion],
    echoes: Sequence[Echo],
) -> TextReply:
    used = usage_of(completions, asked.choices)
    service.metrics.count_tokens(used.prompt_tokens, used.completion_tokens)
    return TextReply(
        id=_id(),
        object="text_completion",
        created=service.now(),
        model=asked.model,
        choices=[
            TextChoice(
                index=index,
                text=echoes[index // asked.choices].text + completion.text,
                logprobs=_logprobs(
                    service, asked, completion, echoes[index // asked.choices]
                ),
                finish_reason=_reason(completion.finish),
            )
            for index, completion in enumerate(completions)
        ],
        usage=used,
    )


def _logprobs(
    service: Service, asked: CompletionRequest, completion: Completion, echo: Echo
) -> TextLogprobs | None:
    if asked.logprobs is None:
        return None
    tokenizer = service.engine.tokenizer
    own = text_logprobs(tokenizer, completion.tokens, len(echo.text))
    return own if echo.logprobs is None else joined(echo.logprobs, own)


async def _events(
    service: Service, asked: CompletionRequest, asking: Asking
) -> AsyncIterator[bytes]:
    """Yield the chunks of all answers: texts as they come, then usage."""
    head = {
        "id": _id(),
        "object": "text_completion",
        "created": service.now(),
        "model": asked.model,
    }
    chunk = chunks(head, tells_usage=asked.tells_usage)
    texts = [
        TextEvent(chunk(_choice(index, GAP))) for index in range(len(asking.requests))
    ]
    offsets = [0] * len(asking.requests)
    answer_tokens, cached = 0, [0] * len(asking.requests)
    async for index, piece in asking.pieces():
        answer_tokens += len(piece.tokens)
        cached[index] = piece.cached_tokens
        if piece.finish or asked.logprobs is not None:
            told = _told(service, asked, piece, offsets[index])
            yield event(chunk(_choice(index, piece.text, told, piece.finish)))
        elif piece.text:
            yield texts[index].of(piece.text)
        offsets[index] += len(piece.text)
    prompts = asking.requests[:: asked.choices]
    prompt_tokens = sum(len(request.prompt) for request in prompts)
    service.metrics.count_tokens(prompt_tokens, answer_tokens)
    if asked.tells_usage:
        used = usage(prompt_tokens, answer_tokens, sum(cached[:: asked.choices]))
        yield event({**chunk(), "usage": used.model_dump()})


def _told(
    service: Service, asked: CompletionRequest, piece: Piece, offset: int
) -> Chunk | None:
    if asked.logprobs is None:
        return None
    return text_logprobs(service.engine.tokenizer, piece.tokens, offset).model_dump()


def _choice(
    index: int,
    text: str,
    logprobs: Chunk | None = None,
    finish: Finish | None = None,
) -> Chunk:
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": None if finish is None else _reason(finish),
    }


def _reason(finish: Finish) -> FinishReason:
    return "stop" if finish.reason == "stop" else "length"


def _json(reply: TextReply) -> Response:
    return Response(reply.model_dump_json(), media_type="application/json")


def _id() -> str:
    return f"cmpl-{uuid4().hex}"
