"""What is verified: a model in training and the examples that it is to learn."""

from dataclasses import dataclass
from typing import Any

from xturing.data.examples import Example
from xturing.models.isolation import isolation_obstacle
from xturing.train.objectives.base import Objective


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
    """Return why the model cannot read several documents at once; None: it can."""
    if len(subject.examples) < 2:
        return "there is only one row"
    return isolation_obstacle(subject.network, subject.longest)
