"""What becomes of an experiment: the challenger is promoted, the experiment stops, or it goes on.

Pure. A challenger is promoted once it is known to be better and known not to break a guard; it is stopped once it is
known to be worse, known to break a guard, known not to differ by what matters, or when its days are over. Everything
else goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from judge_experiment.sequential import Difference, Interval, share_interval

Decision = Literal["promote", "stop", "continue"]


@dataclass(frozen=True)
class Rules:
    """What an experiment is judged by.

    Attributes:
        alpha: The probability of a wrong promotion or a wrong stop for a difference that is none, over all looks.
        min_outcomes: Outcomes of each arm before anything is decided for the better.
        max_days: After so many days the experiment stops.
        smallest_share: No arm gets a smaller share of the requests.
        challenger_share: The challenger's share where requests do not say it.
        worthless: A difference of losses that is smaller does not matter; nothing is stopped for that by default.
        error_margin, slow_margin: By how much the challenger's share of errors, or of slow answers, may be larger.
        slow_ms: Answers that took longer are slow.
        clip: The absolute error that counts as 1, for numbers.
    """

    alpha: float
    min_outcomes: int
    max_days: float
    smallest_share: float
    challenger_share: float
    worthless: float | None
    error_margin: float
    slow_margin: float
    slow_ms: float
    clip: float


@dataclass(frozen=True)
class Guard:
    """A share that must not be much larger with the challenger: what was seen of it.

    Attributes:
        champion, challenger: How many were bad, and of how many.
    """

    name: str
    champion: tuple[int, int]
    challenger: tuple[int, int]
    margin: float

    def excess(self, alpha: float) -> Interval:
        """By how much the challenger's share is larger, at every look at once."""
        return share_interval(*self.challenger, alpha / 2) - share_interval(*self.champion, alpha / 2)


@dataclass(frozen=True)
class Seen:
    """Everything that is known of an experiment at one look.

    Attributes:
        outcomes: Champion's and challenger's, those that count.
        mean_losses: Champion's and challenger's.
        days: Since it began.
    """

    difference: Difference
    outcomes: tuple[int, int]
    mean_losses: tuple[float, float]
    guards: tuple[Guard, ...]
    days: float


@dataclass(frozen=True)
class Judgement:
    """The decision, why, and the figures behind it."""

    decision: Decision
    reason: str
    figures: Mapping[str, Any]


def judge(seen: Seen, rules: Rules) -> Judgement:
    """Decides an experiment by what is known of it."""
    interval, guards = seen.difference.interval, _guards(seen, rules)
    figures = {
        "outcomes": {"champion": seen.outcomes[0], "challenger": seen.outcomes[1]},
        "mean_loss": {"champion": seen.mean_losses[0], "challenger": seen.mean_losses[1]},
        "difference": {"low": interval.low, "estimate": seen.difference.estimate, "high": interval.high},
        "p_value": seen.difference.p_value,
        "level": 1 - rules.alpha,
        "guards": guards,
        "days": round(seen.days, 3),
    }
    decision, reason = _decide(seen, rules, interval, guards)
    return Judgement(decision, reason, figures)


def _decide(
    seen: Seen, rules: Rules, interval: Interval, guards: Mapping[str, Mapping[str, Any]]
) -> tuple[Decision, str]:
    level = f"{1 - rules.alpha:.0%}"
    broken = [name for name, guard in guards.items() if guard["verdict"] == "broken"]
    if broken:
        name = broken[0]
        return "stop", f"the challenger's share of {name} is larger by more than {guards[name]['margin']:g}"
    if interval.low > 0:
        return (
            "stop",
            f"the challenger is worse: its loss is larger by at least {interval.low:.4g} ({level} at all looks)",
        )
    unclear = [name for name, guard in guards.items() if guard["verdict"] == "unclear"]
    enough = min(seen.outcomes) >= rules.min_outcomes
    if interval.high < 0 and enough and not unclear:
        return "promote", f"the challenger is better: its loss is smaller by at least {-interval.high:.4g} ({level})"
    if rules.worthless is not None and enough and -rules.worthless < interval.low <= interval.high < rules.worthless:
        return "stop", f"the losses differ by less than {rules.worthless:g}, which does not matter ({level})"
    if seen.days >= rules.max_days:
        return "stop", f"undecided after {rules.max_days:g} days: the difference is within {_shown(interval)} ({level})"
    if interval.high < 0 and enough:
        return "continue", f"the challenger is better, but whether it keeps the guard {unclear[0]} is not known yet"
    if not enough:
        return "continue", f"{min(seen.outcomes)} outcomes of one arm; at least {rules.min_outcomes} are needed"
    return "continue", f"the difference is within {_shown(interval)} ({level}), which leaves both possible"


def _guards(seen: Seen, rules: Rules) -> dict[str, dict[str, Any]]:
    alpha = rules.alpha / max(1, len(seen.guards))
    told = {}
    for guard in seen.guards:
        excess = guard.excess(alpha)
        verdict = "broken" if excess.low > guard.margin else "kept" if excess.high <= guard.margin else "unclear"
        told[guard.name] = {
            "champion": {"bad": guard.champion[0], "of": guard.champion[1]},
            "challenger": {"bad": guard.challenger[0], "of": guard.challenger[1]},
            "excess": asdict(excess),
            "margin": guard.margin,
            "verdict": verdict,
        }
    return told


def _shown(interval: Interval) -> str:
    return f"{interval.low:.4g} and {interval.high:.4g}"
