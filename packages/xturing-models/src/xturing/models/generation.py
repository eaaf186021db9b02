"""Prompts in, answers out: batched or as a stream.

Knows nothing of datasets: whoever calls brings texts or messages.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import torch
from torch import Tensor

from xturing.core.errors import ModelError
from xturing.models.checkpoint import Checkpoint
from xturing.models.contrastive import contrastive_search
from xturing.models.inference.decoding.text import TextStream
from xturing.models.settings import CONTRASTIVE_CANDIDATES, GenerationConfig
from xturing.models.template import prompt_ids, stop_ids

Prompt = str | Sequence[dict[str, str]]
"""A question for the chat template, or a conversation so far."""


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    tokens: int
    """How many tokens it took, the end token included."""
    stopped: bool
    """Whether the model ended it, rather than the limit on new tokens."""


def prompt_tokens(tokenizer: Any, prompt: Prompt, *, raw: bool = False) -> list[int]:
    """Return a prompt's ids: through the chat template, or with `raw` as it stands.

    Raises:
        ModelError: the prompt is empty, or the template refuses it.
    """
    if not prompt:
        raise ModelError("The prompt is empty; give it at least a word.")
    if isinstance(prompt, str) and raw:
        ids = list(tokenizer(prompt)["input_ids"])
        # Some tokenizers end every text, but this one is to be continued.
        adds_end = tokenizer("x")["input_ids"][-1:] == [tokenizer.eos_token_id]
        return ids[:-1] if adds_end else ids
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    return prompt_ids(tokenizer, prompt)


def generate(
    checkpoint: Checkpoint,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    batch_size: int,
) -> list[Answer]:
    """Return an answer to each prompt, in order.

    Prompts of like length go together, padded on the left.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers: dict[int, Answer] = {}
    with _writing(checkpoint.model, config):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = [prompts[index] for index in chosen]
            answers |= zip(chosen, _answers(checkpoint, batch, config), strict=True)
    return [answers[index] for index in range(len(prompts))]


def stream(
    checkpoint: Checkpoint, prompt: Sequence[int], config: GenerationConfig
) -> Iterator[str]:
    """Yield an answer's text as it is written.

    Leaving the iteration early stops the model.
    """
    from transformers import TextIteratorStreamer

    streamer = TextIteratorStreamer(
        checkpoint.tokenizer, skip_prompt=False, skip_special_tokens=True
    )
    stopped = Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with _writing(checkpoint.model, config):
                _answers(checkpoint, [prompt], config, _Tap(streamer, stopped))
        except BaseException as error:  # noqa: BLE001  # handed to the reader below
            failures.append(error)
        finally:
            streamer.end()

    writer = Thread(target=write, daemon=True)
    writer.start()
    try:
        yield from (text for text in streamer if text)
    finally:
        stopped.set()
        writer.join()
    if failures:
        raise failures[0]


class _Tap:
    """A stopping criterion that hands each new token on."""

    def __init__(self, streamer: Any, stopped: Event) -> None:
        self._streamer = streamer
        self._stopped = stopped

    def __call__(self, ids: Tensor, scores: object, **_: object) -> Tensor:
        self._streamer.put(ids[0, -1:].cpu())
        return torch.full(ids.shape[:1], self._stopped.is_set(), device=ids.device)


def _answers(
    checkpoint: Checkpoint,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    tap: _Tap | None = None,
) -> list[Answer]:
    ids, mask = _left_padded(prompts, checkpoint)
    stops = stop_ids(checkpoint.tokenizer)
    if config.penalty_alpha is not None:
        written = contrastive_search(
            checkpoint.model,
            ids,
            mask,
            candidates=config.top_k or CONTRASTIVE_CANDIDATES,
            penalty_alpha=config.penalty_alpha,
            max_new_tokens=config.max_new_tokens,
            stop_ids=stops,
            tap=tap,
        )
    else:
        criteria: list[Any] = [StopTexts(checkpoint.tokenizer, config.stop, ids)]
        output = checkpoint.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=_hf_config(config, stops, checkpoint.pad_id),
            stopping_criteria=[*criteria, tap] if tap is not None else criteria,
            logits_processor=[AnswerPenalties(config, ids.shape[1])],
        )
        written = output[:, ids.shape[1] :]
    return [
        _answer(checkpoint.tokenizer, line, stops, config.stop)
        for line in written.tolist()
    ]


def _answer(
    tokenizer: Any, ids: list[int], stops: list[int], stop_texts: Sequence[str]
) -> Answer:
    ends = [index for index, token in enumerate(ids) if token in stops]
    if ends:
        ids = ids[: ends[0] + 1]
    if not stop_texts:
        text = tokenizer.decode(ids, skip_special_tokens=True)
        return Answer(text, len(ids), stopped=bool(ends))
    stream = TextStream(tokenizer, stop_texts)
    text, read = "", 0
    while read < len(ids) and stream.stopped is None:
        text += stream.feed(ids[read])
        read += 1
    if stream.stopped is None:
        text += stream.rest()
    return Answer(text, read, stopped=bool(ends) or stream.stopped is not None)


class StopTexts:
    """A stopping criterion: which lines have come to a text that ends them."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], ids: Tensor) -> None:
        self._streams = [TextStream(tokenizer, stops) for _ in range(len(ids))]
        self._is_on = bool(stops)

    def __call__(self, ids: Tensor, scores: object, **_: object) -> Tensor:
        """Return which lines are done, of shape (batch,)."""
        if not self._is_on:
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        for stream, token in zip(self._streams, ids[:, -1].tolist(), strict=True):
            if stream.stopped is None:
                stream.feed(token)
        done = [stream.stopped is not None for stream in self._streams]
        return torch.tensor(done, device=ids.device)


class AnswerPenalties:
    """A logits processor: less for tokens that the answer has already."""

    def __init__(self, config: GenerationConfig, start: int) -> None:
        self._frequency = config.frequency_penalty
        self._presence = config.presence_penalty
        self._start = start

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits, of shape (batch, vocab), less the penalties."""
        if not (self._frequency or self._presence):
            return scores
        written = ids[:, self._start :]
        counts = torch.zeros_like(scores)
        counts.scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


def _hf_config(config: GenerationConfig, stops: list[int], pad_id: int) -> Any:
    from transformers import GenerationConfig as HFGenerationConfig

    options: dict[str, Any] = {}
    if config.do_sample and config.min_p is not None:
        options["min_p"] = config.min_p
    if config.do_sample:
        # transformers has limits of its own where none is given.
        options |= {
            "top_k": config.top_k or 0,
            "top_p": config.top_p or 1.0,
            "temperature": config.temperature or 1.0,
        }
    if config.repetition_penalty is not None:
        options["repetition_penalty"] = config.repetition_penalty
    return HFGenerationConfig(
        do_sample=config.do_sample,
        max_new_tokens=config.max_new_tokens,
        eos_token_id=stops,
        pad_token_id=pad_id,
        **options,
    )


def _left_padded(
    prompts: Sequence[Sequence[int]], checkpoint: Checkpoint
) -> tuple[Tensor, Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), checkpoint.pad_id)
    mask = torch.zeros_like(ids)
    for line, prompt in enumerate(prompts):
        ids[line, width - len(prompt) :] = torch.tensor(prompt)
        mask[line, width - len(prompt) :] = 1
    return ids.to(checkpoint.device.name), mask.to(checkpoint.device.name)


@contextmanager
def _writing(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Set the model up to write, with draws of its own, and put it back after."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), torch.random.fork_rng(enabled=config.do_sample):
            if config.seed is not None:
                torch.manual_seed(config.seed)
            yield
    finally:
        model.train(was_training)
