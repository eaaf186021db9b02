"""How fast products of matrices are, taken all along a run.

The speed of a shared machine drifts within minutes. Samples taken after each step of a
run tell at which speed that run was, so that runs at other times can be compared.
"""

import time

import torch

SIZE = 2048
TIMES = 3


class MachineSpeed:
    """Samples of one run."""

    def __init__(self) -> None:
        self.operations = 0
        self.multiplying = 0.0
        """Seconds of the products alone."""
        self.spent = 0.0
        """Seconds that the samples took of the run."""

    def sample(self) -> None:
        """Multiply matrices."""
        began = time.perf_counter()
        left, right = torch.ones(SIZE, SIZE), torch.ones(SIZE, SIZE)
        product = torch.mm(left, right)
        started = time.perf_counter()
        for _ in range(TIMES):
            torch.mm(left, right, out=product)
        ended = time.perf_counter()
        self.operations += TIMES * 2 * SIZE**3
        self.multiplying += ended - started
        self.spent += ended - began

    @property
    def rate(self) -> float:
        """Floating-point operations per second."""
        return self.operations / self.multiplying
