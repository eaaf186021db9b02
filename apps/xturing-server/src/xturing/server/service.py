"""What all routes share: the engine, and what the server knows of its model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from xturing.core.errors import SettingsError
from xturing.models.inference.engine import Engine
from xturing.models.inference.requests import Completion, Decoding, Request
from xturing.models.settings import GenerationConfig
from xturing.server.admission import Gate
from xturing.server.answering import Asking
from xturing.server.decoding import choices_of
from xturing.server.metrics import Metrics
from xturing.server.prompts import Ids, PromptWriter
from xturing.server.refusals import unknown_model
from xturing.server.settings import ServerSettings


class Configured(Protocol):
    """A model, as far as the server needs it."""

    def generation_config(self) -> GenerationConfig:
        """Return how the model writes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Service:
    """A served model. Nothing of it changes between two requests."""

    engine: Engine
    settings: ServerSettings
    model_name: str
    defaults: Decoding
    """How the model writes if a request does not say."""
    prompts: PromptWriter
    gate: Gate
    metrics: Metrics
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def names(self) -> list[str]:
        """What can be asked: the base model, then its adapters."""
        return [self.model_name, *self.engine.adapters]

    def now(self) -> int:
        """Return the time of a reply, in seconds since 1970."""
        return int(time.time())

    def adapter(self, name: str) -> str | None:
        """Return the adapter that a request means; None: the base.

        Raises:
            RefusedError: there is no such model.
        """
        if name == self.model_name:
            return None
        if name not in self.engine.adapters:
            raise unknown_model(name, self.names)
        return name

    async def ask(
        self,
        prompts: Sequence[Ids],
        decoding: Decoding,
        *,
        choices: int = 1,
        adapter: str | None = None,
    ) -> Asking:
        """Have answers begun, `choices` of them to each prompt.

        Raises:
            BusyError: the engine has no room.
            SettingsError: it cannot do what is asked.
        """
        self._check_engine(decoding)
        deadline = time.monotonic() + self.settings.request_seconds
        requests = [
            Request(prompt=prompt, decoding=own, adapter=adapter, deadline=deadline)
            for prompt in prompts
            for own in choices_of(decoding, choices)
        ]
        asking = Asking(
            self.engine,
            requests,
            retry_after_seconds=self.settings.retry_after_seconds,
            first_token=self.metrics.first_token_seconds.observe,
        )
        await asking.start()
        return asking

    def _check_engine(self, decoding: Decoding) -> None:
        can = self.engine.capabilities
        lacking = {
            "contrastive search (penalty_alpha)": decoding.penalty_alpha is not None
            and not can.contrastive_search,
            "answers that fit a JSON schema": decoding.json_schema is not None
            and not can.json_schema,
            "log-probabilities": decoding.logprobs is not None
            and not can.log_probabilities,
        }
        for name, is_lacking in lacking.items():
            if is_lacking:
                raise SettingsError(
                    f"The engine '{self.engine.name}' has no {name}; ask without, or "
                    "serve the model by another --engine."
                )


def service_for(
    engine: Engine, settings: ServerSettings, *, model_name: str, model: Configured
) -> Service:
    """Return what routes need for an engine, with the model's settings as they are."""
    return Service(
        engine=engine,
        settings=settings,
        model_name=model_name,
        defaults=_defaults(engine, settings, model),
        prompts=PromptWriter(engine.tokenizer, _prompt_limit(engine, settings)),
        gate=Gate(settings.retry_after_seconds),
        metrics=Metrics(engine),
    )


def texts(completions: Sequence[Completion]) -> list[str]:
    """Return what was written."""
    return [completion.text for completion in completions]


def _defaults(engine: Engine, settings: ServerSettings, model: Configured) -> Decoding:
    own = Decoding.of(model.generation_config())
    if not engine.capabilities.contrastive_search:
        own = replace(own, penalty_alpha=None)
    return replace(own, max_new_tokens=min(own.max_new_tokens, settings.max_new_tokens))


def _prompt_limit(engine: Engine, settings: ServerSettings) -> int | None:
    context = engine.context_length
    # A token has to fit behind the prompt.
    limits = [settings.max_prompt_tokens, None if context is None else context - 1]
    return min((limit for limit in limits if limit is not None), default=None)
