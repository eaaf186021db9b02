"""How a model tells wanted answers from unwanted ones."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from torch import Tensor


@dataclass(frozen=True)
class Comparison:
    """Means over pairs or judgements. None: there was no such answer."""

    margin: float | None
    """Reward of wanted answers minus that of unwanted ones."""
    accuracy: float
    """Share of pairs or judgements that are told right; a tie counts half."""
    chosen_log_probability: float | None
    """Of a whole wanted answer, in nats."""
    rejected_log_probability: float | None
    """Of a whole unwanted answer, in nats."""


@dataclass(frozen=True)
class Tally:
    """Sums that comparisons are made of; sums of several batches can be added."""

    chosen: int = 0
    """How many answers are wanted."""
    rejected: int = 0
    chosen_rewards: float = 0.0
    rejected_rewards: float = 0.0
    chosen_nats: float = 0.0
    """Sum of log-probabilities."""
    rejected_nats: float = 0.0
    right: float = 0.0
    """Pairs or judgements that are told right."""
    cases: int = 0
    """Pairs or judgements."""

    def __add__(self, other: "Tally") -> "Tally":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Tally(*(ours + theirs for ours, theirs in pairs))

    @classmethod
    def of(cls, sums: Sequence[float]) -> "Tally":
        """Return the tally whose fields, in order, are the sums."""
        chosen, rejected, *others, cases = sums
        return cls(round(chosen), round(rejected), *others, cases=round(cases))

    def comparison(self) -> Comparison:
        """Return the means."""
        chosen = _mean(self.chosen_rewards, self.chosen)
        rejected = _mean(self.rejected_rewards, self.rejected)
        margin = None
        if chosen is not None and rejected is not None:
            margin = chosen - rejected
        return Comparison(
            margin=margin,
            accuracy=self.right / self.cases,
            chosen_log_probability=_mean(self.chosen_nats, self.chosen),
            rejected_log_probability=_mean(self.rejected_nats, self.rejected),
        )


def tally_pairs(
    rewards: tuple[Tensor, Tensor], log_probabilities: tuple[Tensor, Tensor]
) -> Tally:
    """Return the sums over pairs; each tuple has the chosen and the rejected.

    A pair is told right if the chosen answer has the higher reward.
    """
    return _tally(rewards, log_probabilities, [rewards[0] - rewards[1]])


def tally_judgements(
    rewards: tuple[Tensor, Tensor],
    log_probabilities: tuple[Tensor, Tensor],
    threshold: float,
) -> Tally:
    """Return the sums over judgements; each tuple has the wanted and the unwanted.

    A judgement is told right if its reward is on its verdict's side of the threshold.
    """
    wanted, unwanted = rewards
    return _tally(
        rewards, log_probabilities, [wanted - threshold, threshold - unwanted]
    )


def _tally(
    rewards: tuple[Tensor, Tensor],
    log_probabilities: tuple[Tensor, Tensor],
    leads: list[Tensor],
) -> Tally:
    right = sum(float((lead > 0).sum() + 0.5 * (lead == 0).sum()) for lead in leads)
    chosen_rewards, rejected_rewards = (float(part.sum()) for part in rewards)
    chosen_nats, rejected_nats = (float(part.sum()) for part in log_probabilities)
    return Tally(
        chosen=len(rewards[0]),
        rejected=len(rewards[1]),
        chosen_rewards=chosen_rewards,
        rejected_rewards=rejected_rewards,
        chosen_nats=chosen_nats,
        rejected_nats=rejected_nats,
        right=right,
        cases=sum(len(lead) for lead in leads),
    )


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
