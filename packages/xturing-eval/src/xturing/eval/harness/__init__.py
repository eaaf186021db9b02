"""Tasks of the lm-evaluation-harness (Gao et al. 2024), run on models of ours.

The harness is a library of its own (the extra `harness`). It asks, and counts what is
right; the models are asked through our scorer, and its numbers stay what they are.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.eval.harness.comparing import compare_harness
    from xturing.eval.harness.language_model import XTuringLM
    from xturing.eval.harness.results import HarnessMetric, HarnessResult, HarnessTask
    from xturing.eval.harness.running import run_harness

__all__ = [
    "HarnessMetric",
    "HarnessResult",
    "HarnessTask",
    "XTuringLM",
    "compare_harness",
    "run_harness",
]

__getattr__ = exports(
    __name__,
    HarnessMetric="results",
    HarnessResult="results",
    HarnessTask="results",
    XTuringLM="language_model",
    compare_harness="comparing",
    run_harness="running",
)
