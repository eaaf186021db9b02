"""Two models held against each other, and the verdict in words."""

from collections.abc import Sequence

from xturing.core.resampling import FEWEST_ROWS
from xturing.eval.measuring import Measured, compare
from xturing.eval.reporting.wording import INTERVAL, chance, change, changes, number
from xturing.eval.results import Compared, Comparison, Result, Verdict

OF_TOKENS = ("loss", "perplexity")
"""Figures that two models share only if they divide texts into the same tokens."""


def compared(
    base: Result,
    other: Result,
    measured: Sequence[tuple[Measured, Measured]],
    forgotten: tuple[Measured, Measured] | None,
    *,
    seed: int,
    resamples: int,
) -> Compared:
    """Return how the other does against the base; each pair is a metric's, base first.

    Models that divide texts into other tokens are not compared by tokens' losses.
    """
    found = [
        comparison
        for pair in measured
        for comparison in compare(*pair, seed=seed, resamples=resamples)
    ]
    general = None
    if forgotten is not None:
        general = compare(*forgotten, seed=seed, resamples=resamples)
    shares_tokens = _tokens(base) == _tokens(other)
    if not shares_tokens:
        found = [each for each in found if each.name not in OF_TOKENS]
    return Compared(
        base=base.model,
        other=other.model,
        comparisons=tuple(found),
        # Bits a byte do without tokens.
        forgetting=general[0 if shares_tokens else -1] if general else None,
        sentence=sentence(base.model, other.model, found),
    )


def sentence(base: str, other: str, found: Sequence[Comparison]) -> str:
    """Return the verdict in words: the foremost figure's, then what others add."""
    first, *others = found
    parts = [f"{_opening(base, other, first)}: {_numbers(first)}."]
    if first.rows < FEWEST_ROWS:
        parts.append(f"Fewer than {FEWEST_ROWS} rows cannot show one; ask more.")
    openings: dict[Verdict, str] = {
        "better": "Better by",
        "worse": "Worse by",
        "no difference shown": "No difference shown in",
    }
    for verdict, opening in openings.items():
        names = [each.name for each in others if each.verdict == verdict]
        if names:
            parts.append(f"{opening} {_listed(names)}.")
    return " ".join(parts)


def _opening(base: str, other: str, found: Comparison) -> str:
    match found.verdict:
        case "better":
            return f"{other} is better than {base}"
        case "worse":
            return f"{other} is worse than {base}"
    return f"No difference shown between {other} and {base}"


def _numbers(found: Comparison) -> str:
    is_share = found.gained is not None
    before, after = (
        number(value, is_share=is_share) for value in (found.base, found.other)
    )
    told = (
        f"{found.name} went from {before} to {after} over {found.rows:,} rows "
        f"({change(found.difference, is_share=is_share)}, {INTERVAL} "
        f"{changes(found.low, found.high, is_share=is_share)}"
    )
    if is_share:
        told += (
            f"; {found.gained} rows gained and {found.lost} lost, "
            f"p {_chance(found.p_value)}"
        )
    return f"{told})"


def _chance(p_value: float | None) -> str:
    shown = chance(p_value)
    return shown if shown.startswith("below") else f"= {shown}"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _tokens(result: Result) -> list[int]:
    return [
        each.reference.tokens for each in result.outcomes if each.reference is not None
    ]
