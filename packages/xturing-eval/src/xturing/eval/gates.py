"""Conditions that an evaluation has to meet, for scripts that stop if it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from xturing.core.errors import SettingsError
from xturing.core.names import suggestion
from xturing.eval.results import Compared, GateFailure, Result


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A figure that has to reach a value; of losses and the like, not exceed it."""

    name: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "Bound":
        """Return the bound written as FIGURE=VALUE.

        Raises:
            SettingsError: it is not written so.
        """
        name, sign, value = text.partition("=")
        try:
            return cls(name=name.strip(), value=float(value))
        except ValueError:
            given = text if sign else f"{text!r} without a value"
            raise SettingsError(
                f"--fail-under {given}: write it as FIGURE=VALUE, such as "
                "exact_match=0.8."
            ) from None

    def failure(self, result: Result) -> GateFailure | None:
        """Return what is wrong with a model; None if nothing is.

        Raises:
            SettingsError: there is no such figure.
        """
        score = next((each for each in result.scores if each.name == self.name), None)
        if score is None:
            known = [each.name for each in result.scores]
            raise SettingsError(
                f"--fail-under names '{self.name}', which is no figure of this "
                f"evaluation. {suggestion(self.name, known)}"
            )
        short = (score.value - self.value) * (1 if score.higher_is_better else -1)
        # A figure that is not defined reaches nothing.
        if short >= 0:
            return None
        side = "below" if score.higher_is_better else "above"
        return GateFailure(
            condition=f"{self.name}={self.value:g}",
            reason=f"{result.model} has {score.value:.4g}, {side} {self.value:g}",
        )


def regressions(compared: Sequence[Compared]) -> list[GateFailure]:
    """Return the figures by which models are shown to be worse than the base."""
    return [
        GateFailure(
            condition=f"must not regress from {each.base}",
            reason=(
                f"{each.other} is worse by {found.name}: {found.base:.4g} -> "
                f"{found.other:.4g} ({found.low:+.4g} to {found.high:+.4g})"
            ),
        )
        for each in compared
        for found in each.comparisons
        if found.verdict == "worse"
    ]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What an evaluation has to meet."""

    bounds: tuple[Bound, ...] = ()
    """Of the last model's figures."""
    refuses_regressions: bool = False
    """Whether no model may be shown to be worse than the first by any figure."""

    def failures(
        self, results: Sequence[Result], compared: Sequence[Compared]
    ) -> tuple[GateFailure, ...]:
        """Return what is not met.

        Raises:
            SettingsError: a bound names no figure.
        """
        short = [bound.failure(results[-1]) for bound in self.bounds]
        worse = regressions(compared) if self.refuses_regressions else []
        return (*(each for each in short if each is not None), *worse)
