"""What is verified: a model in training and the examples that it is to learn."""

import inspect
from dataclasses import dataclass
from typing import Any

from xturing.data.examples import Example
from xturing.train.objectives.base import Objective

STATES = ("linear_attention", "conv", "mamba", "recurrent", "hybrid")
"""Kinds of layers that carry something from each token to the next."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is ready to be trained, without dropout, and some examples."""

    model: Any
    """A torch model."""
    objective: Objective
    examples: tuple[Example, ...]
    pad_id: int

    @property
    def network(self) -> Any:
        """The model without the wrapper of an adapter."""
        wrapped = getattr(self.model, "get_base_model", None)
        return self.model if wrapped is None else wrapped()

    @property
    def longest(self) -> int:
        """How many tokens the longest example has."""
        return max(len(example) for example in self.examples)


def packing_obstacle(subject: Subject) -> str | None:
    """Return why the model cannot read several documents at once; None: it can.

    It has to heed a mask over pairs of tokens, and positions that start anew.
    """
    if len(subject.examples) < 2:
        return "there is only one row"
    network = subject.network
    config = network.config.get_text_config()
    name = type(network).__name__
    if "position_ids" not in inspect.signature(network.forward).parameters:
        return f"{name} takes no positions, so no document could start anew"
    if getattr(config, "alibi", False):
        return f"{name} tells distances by ALiBi, which goes on over a whole window"
    kinds = getattr(config, "layer_types", None) or ()
    if any(state in kind for kind in kinds for state in STATES):
        return f"{name} has layers that carry a state over a whole window"
    window = _window(config)
    if window is not None and subject.longest > window:
        return (
            f"layers of {name} look back over {window} tokens, which a mask of whole "
            f"documents undoes; the longest row has {subject.longest}"
        )
    if "flash" in (config._attn_implementation or ""):  # noqa: SLF001  # no other way
        return "flash attention takes no mask over pairs of tokens"
    return None


def _window(config: Any) -> int | None:
    """Return the number of tokens that some layers look back over; None: all do all."""
    kinds = getattr(config, "layer_types", None)
    named = {
        "sliding": getattr(config, "sliding_window", None),
        "chunked": getattr(config, "attention_chunk_size", None),
    }
    sizes = [
        size
        for name, size in named.items()
        if size and (not kinds or any(name in kind for kind in kinds))
    ]
    return min(sizes, default=None)
