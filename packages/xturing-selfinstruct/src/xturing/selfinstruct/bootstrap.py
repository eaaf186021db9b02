"""Instructions from instructions: more and more of them, each unlike all others.

The first step of Self-Instruct (Wang et al. 2022, section 2.2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from xturing.core.events import Notice, tell
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.events import StageMoved
from xturing.selfinstruct.exchange import Reply, Request
from xturing.selfinstruct.filters import objection, tidy
from xturing.selfinstruct.novelty import NoveltyFilter
from xturing.selfinstruct.seeds import Seed
from xturing.selfinstruct.semantic import SemanticFilter, sentence_embedder
from xturing.selfinstruct.settings import SelfInstructConfig

STAGE = "instructions"
MOST_MACHINE_MADE = 2
"""Instructions in a prompt that were generated; the others are seeds."""
MOST_SIMILAR = 10
"""Texts that are listed with an instruction because they are most like it."""

_NUMBER = re.compile(r"^[ \t*]*\d+[ \t]*[.)][ \t*]*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """An instruction that was generated and taken."""

    text: str
    request: int
    """Which request it comes from."""
    most_similar: dict[str, float]
    """ROUGE-L F1 with the seeds and earlier instructions that are most like it."""
    average_similarity: float
    """Mean ROUGE-L F1 with all of them."""
    finish_reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return the instruction for a file of JSON lines."""
        return {
            "instruction": self.text,
            "most_similar": self.most_similar,
            "avg_similarity_score": self.average_similarity,
            "request_idx": self.request,
            "metadata": {"finish_reason": self.finish_reason},
        }


class Bootstrap:
    """Generates instructions until there are enough."""

    def __init__(
        self, asking: Asking[SelfInstructConfig], seeds: Sequence[Seed]
    ) -> None:
        self._asking = asking
        self._config = config = asking.config
        self._seeds = [
            seed.instruction
            for seed in seeds
            if seed.is_classification or not config.classification_only
        ]
        self._novelty = NoveltyFilter(config.similarity_threshold)
        self._meanings = _meanings(config)
        for text in self._seeds:
            self._keep(text)
        self.requests = 0
        self.found = 0
        """Instructions that were in the answers."""
        self.accepted: list[Instruction] = []

    async def run(self) -> None:
        """Generate; what was taken is in `accepted`."""
        fruitless = 0
        while len(self.accepted) < self._config.num_instructions:
            before = len(self.accepted)
            is_whole = await self._round()
            self._tell()
            fruitless = 0 if len(self.accepted) > before else fruitless + 1
            if not is_whole:
                return
            if fruitless == self._config.patience:
                tell(
                    Notice(
                        text=f"{fruitless} batches of requests brought no new "
                        f"instruction, so there are {len(self.accepted)} of "
                        f"{self._config.num_instructions}. More seeds, or another "
                        "model, may bring more."
                    )
                )
                return

    async def _round(self) -> bool:
        """Ask a batch of requests; return whether all were answered."""
        first = self.requests
        batch = [self.request(first + at) for at in range(self._batch_size())]
        self.requests += len(batch)
        replies = await self._asking.replies(batch)
        for number, reply in enumerate(replies, start=first):
            if reply is not None:
                self._read(number, reply)
        return None not in replies

    def _batch_size(self) -> int:
        """Return how many requests may be needed: no more than a batch."""
        config = self._config
        missing = config.num_instructions - len(self.accepted)
        needed = -(-missing // config.instructions_per_request)
        return min(config.request_batch_size, needed)

    def request(self, number: int) -> Request:
        """Return the request of that number, as things are now."""
        config = self._config
        # Each request has a chance of its own, whichever were answered before.
        chance = Random(f"{config.seed} {STAGE} {number}")
        made = [instruction.text for instruction in self.accepted]
        wanted = min(MOST_MACHINE_MADE, config.num_prompt_instructions - 1, len(made))
        tasks = chance.sample(made, wanted)
        others = min(config.num_prompt_instructions - len(tasks), len(self._seeds))
        tasks += chance.sample(self._seeds, others)
        chance.shuffle(tasks)
        return self._asking.request(
            STAGE,
            sample=number,
            max_tokens=config.max_instruction_tokens,
            tasks=[tidy(task) for task in tasks],
            wanted=config.instructions_per_request,
            classification_only=config.classification_only,
        )

    def _read(self, number: int, reply: Reply) -> None:
        asking = self._asking
        items = listed(reply.text)
        if not items:
            asking.rejections.add(STAGE, "no list in the answer", reply.text)
        if items and reply.finish_reason == "length":
            self.found += 1
            asking.rejections.add(STAGE, "cut off", items.pop())
        for item in items:
            self.found += 1
            if len(self.accepted) < self._config.num_instructions:
                self._consider(item, number, reply)
            else:
                asking.rejections.add(STAGE, "more than wanted", item)

    def _consider(self, text: str, number: int, reply: Reply) -> None:
        rejections = self._asking.rejections
        against = objection(text, self._config.excluded_words)
        if against:
            rejections.add(STAGE, against[0], text, against[1])
            return
        alike = self._novelty.closest(text)
        if alike:
            detail = f"{alike.score:.2f} with: {alike.text}"
            rejections.add(STAGE, "too similar", text, detail)
            return
        same = self._meanings.closest(text) if self._meanings else None
        if same:
            detail = f"{same.score:.2f} with: {same.text}"
            rejections.add(STAGE, "too similar in meaning", text, detail)
            return
        self.accepted.append(self._instruction(text, number, reply))
        self._keep(text)

    def _keep(self, text: str) -> None:
        self._novelty.add(text)
        if self._meanings:
            self._meanings.add(text)

    def _instruction(self, text: str, number: int, reply: Reply) -> Instruction:
        scores = self._novelty.similarities(text)
        # Of equal scores the earlier text comes first, so that files stay the same.
        order = (-scores).argsort(kind="stable")[:MOST_SIMILAR]
        texts = self._novelty.texts
        return Instruction(
            text=text,
            request=number,
            most_similar={texts[int(at)]: float(scores[at]) for at in order},
            average_similarity=float(scores.mean()) if len(scores) else 0.0,
            finish_reason=reply.finish_reason,
        )

    def _tell(self) -> None:
        tell(
            StageMoved(
                stage=STAGE,
                done=len(self.accepted),
                total=self._config.num_instructions,
                accepted=len(self.accepted),
                rejected=self._asking.rejections.count(STAGE),
            )
        )


def _meanings(config: SelfInstructConfig) -> SemanticFilter | None:
    threshold = config.semantic_threshold
    if threshold is None:
        return None
    return SemanticFilter(threshold, sentence_embedder(config.semantic_model))


def listed(text: str) -> list[str]:
    """Return the items of a numbered list, each in one line."""
    _, *items = _NUMBER.split(text)
    return [item for item in map(tidy, items) if item]
