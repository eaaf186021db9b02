"""What a run will ask and cost, as far as can be told before anything is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from xturing.selfinstruct.asking import Asking, Config
from xturing.selfinstruct.bootstrap import STAGE as INSTRUCTIONS
from xturing.selfinstruct.bootstrap import Bootstrap
from xturing.selfinstruct.clients import Client
from xturing.selfinstruct.documents import JUDGING, passage_request
from xturing.selfinstruct.documents import STAGE as DOCUMENTS
from xturing.selfinstruct.exchange import Usage
from xturing.selfinstruct.instances import KINDS, instance_request, kind_request
from xturing.selfinstruct.instances import STAGE as INSTANCES
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.passages import Passage
from xturing.selfinstruct.prices import price_of
from xturing.selfinstruct.prompts import Prompts
from xturing.selfinstruct.seeds import Seed
from xturing.selfinstruct.settings import DocumentsConfig, SelfInstructConfig
from xturing.selfinstruct.terms import Terms, asking_of

CHARACTERS_PER_TOKEN = 4
"""Of English, with usual tokenizers."""
KEPT = 0.7
"""Share of new instructions that are unlike all others, in most runs."""
INSTRUCTION_TOKENS = 25
INSTANCE_TOKENS = 80
ANSWER_TOKENS = 100
"""Of a question and its answer."""
VERDICT_TOKENS = 2


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the requests of one stage are expected to take."""

    stage: str
    prompt: str
    """The first that will be sent, or one like it."""
    requests: int
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run is expected to take."""

    stages: tuple[Expected, ...]
    cost: float | None
    """US dollars; None if the model's price is not known."""

    @property
    def requests(self) -> int:
        """Requests of all stages."""
        return sum(stage.requests for stage in self.stages)

    @property
    def usage(self) -> Usage:
        """Tokens of all stages."""
        return sum((stage.usage for stage in self.stages), start=Usage())


def forecast_generation(
    seeds: Sequence[Seed],
    client: Client,
    config: SelfInstructConfig,
    terms: Terms,
) -> Forecast:
    """Return what `generate` is expected to ask and cost; nothing is sent.

    Raises:
        SettingsError: a template or the table of prices is wrong.
    """
    asking = _idle(client, config, terms)
    count = config.num_instructions
    batches = -(-count // max(round(KEPT * config.instructions_per_request), 1))
    first = Bootstrap(asking, seeds).request(0).prompt
    task = seeds[0].instruction
    kind = kind_request(asking, task).prompt
    instance = instance_request(asking, task, is_classification=False).prompt
    listed = config.instructions_per_request * INSTRUCTION_TOKENS
    examples = config.instances_per_instruction * INSTANCE_TOKENS
    stages = [
        _expected(INSTRUCTIONS, first, batches, listed),
        _expected(KINDS, kind, count, VERDICT_TOKENS),
        _expected(INSTANCES, instance, count, examples),
    ]
    if config.classification_only or config.answers == "plain":
        del stages[1]
    return _forecast(client, terms, stages)


def forecast_documents(
    passages: Sequence[Passage],
    client: Client,
    config: DocumentsConfig,
    terms: Terms,
) -> Forecast:
    """Return what `from_documents` is expected to ask and cost; nothing is sent.

    Raises:
        SettingsError: a template or the table of prices is wrong.
    """
    asking = _idle(client, config, terms)
    prompts = [passage_request(asking, passage).prompt for passage in passages]
    answers = config.num_samples_per_chunk
    stages = [
        Expected(
            stage=DOCUMENTS,
            prompt=prompts[0],
            requests=len(prompts),
            usage=Usage(
                prompt_tokens=sum(map(len, prompts)) // CHARACTERS_PER_TOKEN,
                completion_tokens=len(prompts) * answers * ANSWER_TOKENS,
            ),
        )
    ]
    if config.check == "judge":
        stages.append(
            _expected(JUDGING, prompts[0], len(prompts) * answers, VERDICT_TOKENS)
        )
    return _forecast(client, terms, stages)


def _idle(client: Client, config: Config, terms: Terms) -> Asking[Config]:
    """Return what makes requests, and is not told to send them."""
    return asking_of(client, Journal(None), Prompts(terms.prompts), config, terms)


def _expected(stage: str, prompt: str, requests: int, answer_tokens: int) -> Expected:
    usage = Usage(
        prompt_tokens=requests * len(prompt) // CHARACTERS_PER_TOKEN,
        completion_tokens=requests * answer_tokens,
    )
    return Expected(stage=stage, prompt=prompt, requests=requests, usage=usage)


def _forecast(client: Client, terms: Terms, stages: Sequence[Expected]) -> Forecast:
    price = price_of(client.name, client.model, terms.prices)
    usage = sum((stage.usage for stage in stages), start=Usage())
    return Forecast(stages=tuple(stages), cost=price.of(usage) if price else None)
