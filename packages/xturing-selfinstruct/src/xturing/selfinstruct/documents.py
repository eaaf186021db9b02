"""Questions and answers out of documents, each row with its place in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.events import Notice, tell
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.clients import Client, open_client
from xturing.selfinstruct.exchange import Reply, Request
from xturing.selfinstruct.grounding import overlap
from xturing.selfinstruct.json_replies import objects
from xturing.selfinstruct.novelty import NoveltyFilter
from xturing.selfinstruct.passages import Passage, read_passages
from xturing.selfinstruct.prompts import Prompts
from xturing.selfinstruct.runs import (
    MESSAGES,
    Run,
    Stage,
    fingerprint,
    finish,
    opened,
    write_rows,
)
from xturing.selfinstruct.selection import message_rows
from xturing.selfinstruct.settings import DocumentsConfig
from xturing.selfinstruct.terms import Terms, asking_of, carry_out

STAGE = "documents"
JUDGING = "support"
PROMPTS = (STAGE, JUDGING)
JUDGE_TOKENS = 8
"""Longest answer to a question of yes or no."""


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer:
    """A question, and what a passage says to it."""

    question: str
    answer: str
    passage: Passage

    def as_row(self) -> dict[str, Any]:
        """Return a row for `InstructionDataset`, with where it comes from."""
        return {
            "instruction": self.question,
            "text": "",
            "target": self.answer,
            **self.origin(),
        }

    def as_seed(self, number: int) -> dict[str, Any]:
        """Return a seed task, with where it comes from."""
        return {
            "id": f"seed_task_{number}",
            "instruction": self.question,
            "instances": [{"input": "", "output": self.answer}],
            **self.origin(),
        }

    def origin(self) -> dict[str, Any]:
        """Return the file and the place in it."""
        place = self.passage
        names = ("source", "part", "start", "end")
        return {name: getattr(place, name) for name in names}


def from_documents(
    folder: str | Path,
    engine: str | Client,
    output: str | Path,
    config: DocumentsConfig | None = None,
    terms: Terms | None = None,
) -> Run:
    """Make a dataset of questions that a folder's files answer.

    `engine` is written as PROVIDER:MODEL. A run in the folder `output` goes on where it
    was, and asks nothing that was answered. Files that cannot be read are told and
    listed; the others are used.

    Raises:
        DataError: the folder is missing, or no file in it can be read.
        MissingDependencyError: a file's format needs the extra `documents`.
        SettingsError: a setting is wrong, a key is missing, or the folder `output` has
            a run that was begun otherwise.
        OutputError: that folder is in use.
        RemoteError: the service refused for good, or too often; what was answered is
            kept.
    """
    config, terms = config or DocumentsConfig(), terms or Terms()
    client = open_client(engine) if isinstance(engine, str) else engine
    passages, failures = read_passages(folder, config)
    prompts = Prompts(terms.prompts)
    identity = {
        "kind": "documents",
        "engine": f"{client.name}:{client.model}",
        "settings": config.model_dump(mode="json"),
        "prompts": prompts.hashes(PROMPTS),
        "passages": fingerprint([vars(passage) for passage in passages]),
    }
    target = Path(output).expanduser()
    with opened(target, identity, is_resumed=terms.is_resumed) as journal:
        asking = asking_of(client, journal, prompts, config, terms)
        for name, why in failures:
            asking.rejections.add(STAGE, "a file that cannot be read", name, why)
            tell(Notice(text=f"{name} {why}, so it is left out."))
        work = _Reading(asking, passages)
        carry_out(client, work.run())
        rows = [each.as_row() for each in work.accepted]
        seeds = [each.as_seed(at) for at, each in enumerate(work.accepted)]
        write_rows(target, "generated_tasks.jsonl", seeds)
        write_rows(target, MESSAGES, message_rows(rows))
        return finish(target, identity, asking, work.stages(), rows)


def passage_request(asking: Asking[DocumentsConfig], passage: Passage) -> Request:
    """Return the request for questions that a passage answers."""
    config = asking.config
    return asking.request(
        STAGE,
        max_tokens=config.max_tokens,
        title=passage.source,
        part=passage.part,
        text=passage.text,
        count=config.num_samples_per_chunk,
        words=config.most_answer_words,
    )


class _Reading:
    """Asks about passages and takes what can be used of the answers."""

    def __init__(
        self, asking: Asking[DocumentsConfig], passages: Sequence[Passage]
    ) -> None:
        self._asking = asking
        self._config = config = asking.config
        self._passages = passages
        self._novelty = NoveltyFilter(config.similarity_threshold)
        self._questions: set[str] = set()
        self._answered = self._found = self._judged = 0
        self.accepted: list[QuestionAnswer] = []

    async def run(self) -> None:
        asked = [(each, passage_request(self._asking, each)) for each in self._passages]
        candidates: list[QuestionAnswer] = []
        count = candidates.__len__
        async for passage, reply in self._asking.each(STAGE, asked, count):
            self._answered += 1
            candidates += self._read(passage, reply)
        if self._config.check == "judge":
            candidates = await self._judge(candidates)
        self.accepted = candidates

    def stages(self) -> list[Stage]:
        stages = [
            Stage(
                name=STAGE,
                requests=self._answered,
                found=self._found,
                accepted=self._judged or len(self.accepted),
            )
        ]
        if self._config.check == "judge":
            stages.append(
                Stage(
                    name=JUDGING,
                    requests=self._judged,
                    found=self._judged,
                    accepted=len(self.accepted),
                )
            )
        return stages

    def _read(self, passage: Passage, reply: Reply) -> Iterator[QuestionAnswer]:
        found = objects(reply.text)
        if not found and reply.text.strip() != "[]":
            said = reply.text or reply.finish_reason
            self._reject("no JSON in the answer", said, _place(passage))
        for value in found:
            self._found += 1
            pair = _pair(value)
            if pair is None:
                self._reject("no question or no answer", str(value), _place(passage))
                continue
            candidate = QuestionAnswer(
                question=pair[0], answer=pair[1], passage=passage
            )
            if self._is_usable(candidate):
                self._novelty.add(candidate.question)
                self._questions.add(candidate.question)
                yield candidate

    def _is_usable(self, candidate: QuestionAnswer) -> bool:
        question, passage = candidate.question, candidate.passage
        if self._config.check == "overlap":
            share = overlap(candidate.answer, passage.text)
            if share < self._config.least_overlap:
                said = f"{share:.2f} of its words: {candidate.answer}"
                self._reject("not supported by the passage", question, said)
                return False
        if question in self._questions:
            # Without a word in ASCII letters, ROUGE sees no likeness.
            self._reject("asked before", question, _place(passage))
            return False
        alike = self._novelty.closest(question)
        if alike:
            self._reject("too similar", question, f"{alike.score:.2f}: {alike.text}")
            return False
        return True

    async def _judge(
        self, candidates: Sequence[QuestionAnswer]
    ) -> list[QuestionAnswer]:
        asked = [
            (
                candidate,
                self._asking.request(
                    JUDGING,
                    max_tokens=JUDGE_TOKENS,
                    is_exact=True,
                    text=candidate.passage.text,
                    question=candidate.question,
                    answer=candidate.answer,
                ),
            )
            for candidate in candidates
        ]
        supported: list[QuestionAnswer] = []
        count = supported.__len__
        async for candidate, reply in self._asking.each(JUDGING, asked, count):
            self._judged += 1
            if reply.text.strip().lower().startswith("yes"):
                supported.append(candidate)
            else:
                self._asking.rejections.add(
                    JUDGING,
                    "not supported by the passage",
                    candidate.question,
                    f"{reply.text.strip()}: {candidate.answer}",
                )
        return supported

    def _reject(self, reason: str, text: str, detail: str) -> None:
        self._asking.rejections.add(STAGE, reason, text, detail)


def _pair(value: Mapping[str, Any]) -> tuple[str, str] | None:
    question, answer = value.get("question"), value.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    question, answer = question.strip(), answer.strip()
    return (question, answer) if question and answer else None


def _place(passage: Passage) -> str:
    where = f"{passage.source}, {passage.part}" if passage.part else passage.source
    return f"{where}, characters {passage.start} to {passage.end}"
