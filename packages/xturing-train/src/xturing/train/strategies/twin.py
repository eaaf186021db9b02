"""A model of which an engine divides a twin.

Engines replace parameters by ones of their own kind, and leave hooks behind. The twin
is theirs; the model stays what it was, without the memory of what is divided, and gets
the values back.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from xturing.quant.quantizing import shell
from xturing.train.strategies.whole import Whole


class Twin(Whole, ABC):
    """What layouts have in common that divide something among the processes."""

    divides_frozen = True
    """Whether weights that are not trained are divided as well."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.network = shell(model)

    @abstractmethod
    def whole_value(self, parameter: nn.Parameter) -> Tensor:
        """Return all values of a parameter of the twin; all processes ask for it."""

    def release(self) -> None:
        """Let go of the model's own copy of what is divided."""
        _empty(self._divided())

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Have the model's trainable weights be what the twin's are."""
        changed = [each for each in self._divided() if each.requires_grad]
        self._fill(changed)
        yield
        _empty(changed)

    def close(self) -> None:
        """Have all of the model's weights be what the twin's are, for good."""
        self._fill(self._divided())
        self.network = self.model

    def _divided(self) -> list[nn.Parameter]:
        own = self.model.parameters()
        return [each for each in own if self.divides_frozen or each.requires_grad]

    def _fill(self, parameters: Iterable[nn.Parameter]) -> None:
        wanted = {id(each) for each in parameters}
        pairs = zip(self.model.parameters(), self.network.parameters(), strict=True)
        for own, theirs in pairs:
            if id(own) in wanted:
                own.data = self.whole_value(theirs).detach().to(own.dtype)


def _empty(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.data = parameter.data.new_empty(0)
