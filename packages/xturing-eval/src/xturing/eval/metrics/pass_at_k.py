"""Whether one of several sampled answers passes a program that checks them."""

import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from xturing.core.errors import DataError, SettingsError
from xturing.core.quantities import read_size
from xturing.eval.metrics import Need, average, share
from xturing.eval.metrics.checking import Checked, Checker, Limits
from xturing.eval.questions import Outcome, Question

logger = logging.getLogger(__name__)


def pass_at(samples: int, right: int, k: int) -> float:
    """Return the chance that one of k samples is right, as far as samples tell.

    The unbiased estimate of Chen et al. 2021 (arXiv 2107.03374, section 2.1): 1 minus
    the share of ways to draw k of the samples without a right one.
    """
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


class PassAtK:
    """The chance that one of k answers passes a checker, as a mean over rows.

    `checker` is the path of a Python file, or a command as a list. It is run for each
    answer, and passes it by the exit code 0. On its standard input is a JSON object
    with "answer", "prompt", "reference" and "fields" (of the row). It has `seconds` by
    the clock and `memory` for each process. `workers` is how many answers are checked
    at a time; all cores are used without it. No reference is needed.

    `samples` is how many answers each question gets: the largest `k` without it.

    Checkers that run an answer's code should do so in a further process: code that
    ends its process with the code 0 would pass otherwise. The limits bound accidents,
    and are no sandbox; see `xturing.eval.metrics.checking`.
    """

    name = "pass_at_k"
    needs: Need = "answers"

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        checker: str | Sequence[str],
        k: Sequence[int] = (1,),
        samples: int | None = None,
        seconds: float = 5.0,
        memory: str = "512MB",
        workers: int | None = None,
    ) -> None:
        self.k = _in_order(k)
        self.samples = self.k[-1] if samples is None else samples
        """Answers that each question has to have."""
        if self.samples < self.k[-1]:
            raise SettingsError(
                f"samples is {self.samples} for the metric 'pass_at_k', but k is up to "
                f"{self.k[-1]}, which takes at least as many."
            )
        _refuse_unless_positive(seconds=seconds, workers=workers)
        limits = Limits(seconds=seconds, memory=_memory(memory))
        self._checker = Checker(checker, limits)
        self._workers = workers or os.cpu_count()
        first, *others = self.k
        self.figures = (
            (share if self.samples == 1 else average)(f"pass_at_{first}"),
            *(average(f"pass_at_{k}", part) for part, k in enumerate(others, 2)),
        )

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the chance for the smallest k, 1, and those for the others."""
        right = sum(each.ending == "passed" for each in self.check(outcome))
        first, *others = (pass_at(self.samples, right, k) for k in self.k)
        return first, 1.0, *others

    def check(self, outcome: Outcome) -> tuple[Checked, ...]:
        """Return what the checker makes of each answer.

        Raises:
            DataError: there are not as many answers as samples.
            SettingsError: the checker could not be run.
        """
        question = outcome.question
        if len(outcome.answers) != self.samples:
            raise DataError(
                f"{question.place} has {len(outcome.answers)} answers, but the metric "
                f"'pass_at_k' was to have {self.samples}. Set its option 'samples' to "
                "how many are sampled."
            )
        given = {
            "prompt": question.prompt,
            "reference": question.reference,
            "fields": dict(question.fields),
        }
        asked = [given | {"answer": answer.text} for answer in outcome.answers]
        with ThreadPoolExecutor(self._workers) as pool:
            found = tuple(pool.map(self._checker.check, asked))
        for number, each in enumerate(found, 1):
            logger.info(
                "%s, answer %d: %s. %s", question.place, number, each.ending, each.said
            )
        return found


def _in_order(k: Sequence[int]) -> tuple[int, ...]:
    if not k or min(k) < 1:
        raise SettingsError(
            f"k is {list(k)} for the metric 'pass_at_k', but has one number or more, "
            "each 1 or larger."
        )
    return tuple(sorted(set(k)))


def _refuse_unless_positive(**options: float | None) -> None:
    for option, number in options.items():
        if number is not None and not 0 < number < math.inf:
            raise SettingsError(
                f"{option} is {number} for the metric 'pass_at_k', but is above 0."
            )


def _memory(text: str) -> int:
    try:
        return read_size(text)
    except ValueError as error:
        raise SettingsError(
            f"memory is {text!r} for the metric 'pass_at_k', but {error}."
        ) from error
