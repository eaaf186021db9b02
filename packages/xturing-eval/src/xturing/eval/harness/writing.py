"""Texts that a model continues until a stop string, as lm-eval's HFLM has it done.

Generation takes the same arguments, so that greedy decoding comes to the same text. But
each row stops by itself, where HFLM goes on until all of a batch have come to a stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xturing.core.errors import SettingsError
from xturing.eval.harness.surroundings import library
from xturing.models.checkpoint import Checkpoint

EXTRA_TOKENS = 2
"""A stop string may come in more tokens than it is encoded in; HFLM allows as many."""
SAMPLING = "temperature", "top_k", "top_p", "min_p"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How texts are continued."""

    stops: tuple[str, ...]
    """Texts before which an answer is cut, that of the end token included."""
    max_new_tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)
    """The other arguments of transformers' `generate`."""

    @classmethod
    def of(cls, given: Mapping[str, Any], end: str | None) -> "Manner":
        """Return what a task's `generation_kwargs` come to.

        Greedy unless `do_sample` is on or there is a temperature.

        Raises:
            SettingsError: they ask for beam search.
        """
        utils = library("models.utils")
        options = dict(utils.normalize_gen_kwargs(dict(given)))
        if options.get("num_beams", 1) != 1:
            raise SettingsError(
                f"A task asks for {options['num_beams']} beams, but answers are "
                "decoded greedily or drawn. Leave num_beams out of its "
                "generation_kwargs."
            )
        stops = utils.handle_stop_sequences(options.pop("until"), eos=end)
        if not options["do_sample"] or options.get("temperature") == 0:
            options = {k: v for k, v in options.items() if k not in SAMPLING}
            options["do_sample"] = False
        return cls(
            stops=tuple(stop for stop in stops if stop),
            max_new_tokens=options.pop("max_gen_toks"),
            options=options,
        )


def write(
    checkpoint: Checkpoint, prompts: Sequence[Sequence[int]], manner: Manner
) -> list[str]:
    """Return what a model makes of prompts, which are one batch."""
    rows = [torch.tensor(prompt) for prompt in prompts]
    ids = _left_padded(rows, checkpoint.pad_id).to(checkpoint.device.name)
    mask = _left_padded([torch.ones_like(row) for row in rows], 0).to(ids.device)
    start = ids.shape[1]
    ends = Ends(checkpoint.tokenizer, manner.stops, start)
    model = checkpoint.model
    was_training = model.training
    model.eval()
    try:
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=manner.max_new_tokens,
            stopping_criteria=[ends],
            pad_token_id=checkpoint.pad_id,
            use_cache=True,
            **manner.options,
        )
    finally:
        model.train(was_training)
    cut = library("models.utils").postprocess_generated_text
    return [
        cut(
            checkpoint.tokenizer.decode(
                line[start : ends.found.get(row)], skip_special_tokens=True
            ),
            stop=list(manner.stops),
            think_end_token=None,
        )
        for row, line in enumerate(output.tolist())
    ]


class Ends:
    """A stopping criterion: where each row has written a stop string."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], start: int) -> None:
        lengths = [len(tokenizer.encode(s, add_special_tokens=False)) for s in stops]
        self.found: dict[int, int] = {}
        """Of rows that have, their length then, the prompt included."""
        self._tokenizer = tokenizer
        self._stops = stops
        self._start = start
        self._most = max(lengths, default=0) + EXTRA_TOKENS

    def __call__(self, ids: Tensor, scores: object, **_: object) -> Tensor:
        """Return which rows are done, of shape (batch,)."""
        first = max(self._start, ids.shape[1] - self._most)
        for row, text in enumerate(self._tokenizer.batch_decode(ids[:, first:])):
            if row not in self.found and any(stop in text for stop in self._stops):
                self.found[row] = ids.shape[1]
        done = [row in self.found for row in range(len(ids))]
        return torch.tensor(done, device=ids.device)


def _left_padded(rows: list[Tensor], value: int) -> Tensor:
    return pad_sequence(
        rows, batch_first=True, padding_value=value, padding_side="left"
    )
