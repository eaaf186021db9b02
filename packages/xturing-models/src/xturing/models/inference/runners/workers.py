"""OpenMP's threads: those of a thread that computes no more slow down the next one.

GNU's library has waiting threads sleep at once where there are more of them than
processors, those that wait for another thread's work too. To wake them for each of the
small products of a token takes longer than the products.
"""

import ctypes

SOFT = 1
"""`omp_pause_soft`: what was set, such as the number of threads, stays."""


def dismiss_workers() -> None:
    """End the threads that wait for work of the calling one; it gets others on demand.

    Where torch does not use such a library, nothing happens.
    """
    try:
        pause = ctypes.CDLL(None).omp_pause_resource_all
    # Windows has no such handle.
    except (AttributeError, OSError, TypeError):
        return
    pause(SOFT)
