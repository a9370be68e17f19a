"""Intervals that hold at every look at once, however often one looks and whenever one stops.

Pure, standard library. Both kinds are *confidence sequences*: with probability 1 - alpha the true value lies in all
the intervals there ever will be, so a test may look after every outcome and end when it likes.

``Difference``
    Of two means, from bounded losses of requests that were assigned at random with known shares: the predictable
    plug-in empirical-Bernstein confidence sequence of I. Waudby-Smith and A. Ramdas, "Estimating means of bounded
    random variables by betting", Journal of the Royal Statistical Society B 86(1), 2024, Theorem 2, on
    inverse-propensity differences.
``share_interval``
    Of a share, from two counts, in whichever order they came: H. Robbins's beta-binomial mixture, "Statistical methods
    related to the law of the iterated logarithm", Annals of Mathematical Statistics 41(5), 1970, as in S. Howard, A.
    Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
    Statistics 49(2), 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

LARGEST_BET = 0.5
"""The constant c of the paper: no single outcome is weighed more."""


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, both within what is possible at all."""

    low: float
    high: float

    def __sub__(self, other: Interval) -> Interval:
        """What the difference of two values can be, each in its interval."""
        return Interval(self.low - other.high, self.high - other.low)


@dataclass
class Difference:
    """Mean loss of the challenger minus that of the champion, outcome by outcome.

    Each loss becomes a value whose mean is the difference: the loss less a guess of it that was made before, divided by
    the share of the arm that it came from, negative for the champion.  The guess, the mean of all losses before, takes
    away variance and no truth, since it knows nothing of the assignment.

    Args:
        alpha: The probability that the interval misses the truth at any look.
        smallest_share: No arm ever gets a smaller share of the requests.

    Raises:
        ValueError: Alpha or share is out of range.
    """

    alpha: float
    smallest_share: float
    count: int = field(default=0, init=False)
    _losses: float = field(default=0.0, init=False)
    _values: float = field(default=0.0, init=False)
    _squares: float = field(default=0.25, init=False)
    _bets: float = field(default=0.0, init=False)
    _weighted: float = field(default=0.0, init=False)
    _variation: float = field(default=0.0, init=False)
    _log_most: float = field(default=0.0, init=False)
    _low: float = field(default=-1.0, init=False)
    _high: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be above 0 and below 1, got: {self.alpha}")
        if not 0 < self.smallest_share <= 0.5:
            raise ValueError(f"smallest share must be above 0 and at most 0.5, got: {self.smallest_share}")
        self._bound = 1 / self.smallest_share
        self._log_alpha = math.log(2 / self.alpha)

    def add(self, loss: float, *, challenger: bool, share: float) -> None:
        """Takes one more outcome.

        Args:
            loss: Between 0 and 1.
            challenger: Whether the challenger answered.
            share: The challenger's share of the requests when this one was assigned.

        Raises:
            ValueError: Loss or share is out of range.
        """
        if not 0 <= loss <= 1:
            raise ValueError(f"loss must be between 0 and 1, got: {loss}")
        if not self.smallest_share <= share <= 1 - self.smallest_share:
            raise ValueError(f"share must be between {self.smallest_share} and its rest, got: {share}")
        guess = (0.5 + self._losses) / (self.count + 1)
        value = (loss - guess) / share if challenger else (guess - loss) / (1 - share)
        self._losses += loss
        self._take((value / self._bound + 1) / 2)

    def _take(self, value: float) -> None:
        """One more value between 0 and 1, by the paper's letters: lambda, psi, v, and the estimates before it."""
        self.count += 1
        mean = (0.5 + self._values) / self.count
        variance = self._squares / self.count
        bet = min(LARGEST_BET, math.sqrt(2 * self._log_alpha / (variance * self.count * math.log(1 + self.count))))
        psi = (-math.log1p(-bet) - bet) / 4
        self._variation += 4 * (value - mean) ** 2 * psi
        self._bets += bet
        self._weighted += bet * value
        self._values += value
        self._squares += (value - (0.5 + self._values) / (self.count + 1)) ** 2
        evidence = self._weighted - self._bets / 2
        self._log_most = max(self._log_most, abs(evidence) - self._variation - math.log(2))
        centre, radius = self._weighted / self._bets, (self._log_alpha + self._variation) / self._bets
        # All intervals hold at once, so all hold together.
        self._low = max(self._low, (2 * (centre - radius) - 1) * self._bound)
        self._high = min(self._high, (2 * (centre + radius) - 1) * self._bound)

    @property
    def interval(self) -> Interval:
        """What the difference can be; empty intervals (low above high) have probability alpha at most."""
        return Interval(self._low, self._high)

    @property
    def estimate(self) -> float:
        """The middle of the evidence so far."""
        return 0.0 if not self._bets else (2 * self._weighted / self._bets - 1) * self._bound

    @property
    def p_value(self) -> float:
        """The anytime-valid p-value of no difference: one over the most that was ever won by betting against it."""
        return math.exp(-max(0.0, self._log_most))


def share_interval(bad: int, count: int, alpha: float) -> Interval:
    """Gives what a share can be, of which ``bad`` of ``count`` were seen.

    Raises:
        ValueError: The counts are none.
    """
    if not 0 <= bad <= count:
        raise ValueError(f"of {count} cannot be {bad}")
    if count == 0:
        return Interval(0.0, 1.0)
    mixture = math.lgamma(bad + 1) + math.lgamma(count - bad + 1) - math.lgamma(count + 2)
    limit = math.log(1 / alpha)
    seen = bad / count

    def is_refuted(share: float) -> bool:
        return mixture - _log_likelihood(bad, count, share) >= limit

    low = 0.0 if bad == 0 else _crossing(0.0, seen, is_refuted)
    high = 1.0 if bad == count else _crossing(1.0, seen, is_refuted)
    return Interval(low, high)


def _log_likelihood(bad: int, count: int, share: float) -> float:
    if share in (0.0, 1.0):
        return -math.inf
    return bad * math.log(share) + (count - bad) * math.log1p(-share)


def _crossing(outside: float, inside: float, is_refuted: Callable[[float], bool]) -> float:
    """Gives the value between two where refuted becomes possible, on the refuted side of it."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if is_refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside
