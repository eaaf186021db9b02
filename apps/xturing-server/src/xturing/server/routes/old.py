"""POST /api: questions and their answers, as they were before OpenAI's protocol."""

from fastapi import APIRouter, Request

from xturing.server.decoding import check_length, requested_before
from xturing.server.schemas.old import OldFailure, OldReply, OldRequest
from xturing.server.schemas.replies import ANSWERING, failures
from xturing.server.service import Service, texts


def router(service: Service) -> APIRouter:
    """Return the route."""
    routes = APIRouter()
    most = service.settings.max_new_tokens
    statuses = [status for status in ANSWERING if status != 404]

    @routes.post("/api", responses=failures(*statuses, model=OldFailure))
    async def answer(asked: OldRequest, http: Request) -> OldReply:
        """Answer a question, or several, each on its own."""
        params = asked.params
        if "max_new_tokens" in params.model_fields_set:
            check_length(params.max_new_tokens, most, "params.max_new_tokens")
        decoding = requested_before(
            params,
            has_contrastive_search=service.engine.capabilities.contrastive_search,
            most_new_tokens=most,
        )
        questions = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        prompts = [
            await service.prompts.chat([{"role": "user", "content": question}])
            for question in questions
        ]
        asking = await service.ask(prompts, decoding)
        completions = await asking.completions(http)
        service.metrics.count_tokens(
            sum(completion.prompt_tokens for completion in completions),
            sum(len(completion.tokens) for completion in completions),
        )
        return OldReply(success=True, response=texts(completions))

    return routes
