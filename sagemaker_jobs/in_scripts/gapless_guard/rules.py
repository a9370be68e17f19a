"""The rules of the guard, judged point by point: the same in a script and outside of the job.

A *point* is one value of the training loss and, where the job has one, of the validation loss: a round, an epoch or an
evaluation, whatever the job reports. Losses are better when smaller.

``not_decreasing``
    For ``steps`` points the training loss has not fallen by the share ``by`` of its best value until then.
``exploding``
    A loss is not finite, or the training loss is more than ``times`` its best value until then. Only losses above zero
    can be so compared.
``overfitting``
    For ``steps`` points the validation loss has not been below its best value, is now worse than that by the share
    ``by``, and the training loss has fallen meanwhile.
``dead``
    No point for ``minutes`` minutes.
``class_imbalance``
    The rarest class of the training rows has less than the share ``smallest_share`` of them. Judged before the start.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

_SHARE_OF_ZERO = 1e-12
"""Stands for a best loss of zero, of which no share can be taken."""


class BadRules(ValueError):
    """The rules are not of the form that is asked for."""


@dataclass(frozen=True)
class Finding:
    """A rule that was broken, and what was seen, in a sentence."""

    rule: str
    seen: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.seen}"


@dataclass(frozen=True)
class NotDecreasing:
    """Points without progress, and the share of the best loss that counts as progress."""

    steps: int = 50
    by: float = 0.001


@dataclass(frozen=True)
class Exploding:
    """How many times its best value the training loss may be."""

    times: float = 10.0


@dataclass(frozen=True)
class Overfitting:
    """Points in which the validation loss was not better, and the share of its best value that it is worse by."""

    steps: int = 50
    by: float = 0.1


@dataclass(frozen=True)
class Dead:
    """Minutes without a point."""

    minutes: float = 30.0


@dataclass(frozen=True)
class ClassImbalance:
    """The share that the rarest class must have of the training rows."""

    smallest_share: float = 0.01


_KINDS: Mapping[str, type] = {
    "not_decreasing": NotDecreasing,
    "exploding": Exploding,
    "overfitting": Overfitting,
    "dead": Dead,
    "class_imbalance": ClassImbalance,
}


@dataclass(frozen=True)
class Rules:
    """The rules that count; None for one that does not."""

    not_decreasing: NotDecreasing | None = None
    exploding: Exploding | None = None
    overfitting: Overfitting | None = None
    dead: Dead | None = None
    class_imbalance: ClassImbalance | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Rules:
        """Read the rules from JSON types, rule to its settings; a rule that is not there does not count.

        Raises:
            BadRules: A rule or a setting is unknown, or a value is not a number above zero.
        """
        return cls(**{name: _rule(name, settings) for name, settings in document.items()})

    @classmethod
    def parse_text(cls, text: str) -> Rules:
        """Read the rules from JSON text; no text stands for no rules.

        Raises:
            BadRules: It is not JSON, or see :meth:`parse`.
        """
        try:
            document = json.loads(text or "{}")
        except ValueError as error:
            raise BadRules(f"rules of the guard: not JSON ({error}); given {text[:80]!r}") from error
        if not isinstance(document, dict):
            raise BadRules(f"rules of the guard: given {text[:80]!r}; allowed is an object of rules")
        return cls.parse(document)

    def judge_classes(self, counts: Mapping[str, int]) -> Finding | None:
        """Judge the training rows by their classes, class to number of rows."""
        if self.class_imbalance is None or not counts:
            return None
        rows, rarest = sum(counts.values()), min(counts, key=lambda name: (counts[name], name))
        share = counts[rarest] / rows if rows else 0.0
        if share >= self.class_imbalance.smallest_share:
            return None
        limit = self.class_imbalance.smallest_share
        seen = f"class {rarest} has {counts[rarest]} of {rows} rows ({share:.4%}); allowed is at least {limit:.4%}"
        return Finding("class_imbalance", seen)


def _rule(name: str, settings: Any) -> Any:
    kind = _KINDS.get(name)
    if kind is None:
        raise BadRules(f"rule of the guard unknown: {name!r}; allowed are {', '.join(_KINDS)}")
    known = [field.name for field in fields(kind)]
    if not isinstance(settings, Mapping) or not set(settings) <= set(known):
        raise BadRules(f"{name}: given {settings!r:.80}; allowed is an object of {', '.join(known)}")
    for setting, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or not math.isfinite(value):
            raise BadRules(f"{name}.{setting}: given {value!r}; allowed is a number above 0")
    return kind(**settings)


@dataclass
class Tracker:
    """What has been seen of a training; can be written down between points and taken up again.

    Attributes:
        steps: Points until now.
        at: When the last point came, or when the training began, in seconds.
        best: The least training loss until now that was progress, and ``best_step``, the point it came with.
        least: The least training loss until now.
        best_validation: The least validation loss until now, ``best_validation_step`` and the training loss then.
    """

    at: float
    steps: int = 0
    best: float | None = None
    best_step: int = 0
    least: float | None = None
    best_validation: float | None = None
    best_validation_step: int = 0
    loss_at_best_validation: float | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Tracker:
        """Take up what :meth:`document` gave."""
        return cls(**document)

    def document(self) -> dict[str, Any]:
        """Give what was seen, as JSON types."""
        return asdict(self)

    def see(self, rules: Rules, at: float, loss: float, validation_loss: float | None = None) -> Finding | None:
        """Judge one point.

        Args:
            rules: The rules.
            at: When it came, in seconds.
            loss: The training loss.
            validation_loss: The validation loss, where there is one.
        """
        self.steps += 1
        self.at = max(at, self.at)
        finding = self._exploding(rules, loss, validation_loss)
        if finding is not None:
            return finding
        self._keep(rules, loss, validation_loss)
        return self._not_decreasing(rules, loss) or self._overfitting(rules, loss, validation_loss)

    def dead(self, rules: Rules, now: float) -> Finding | None:
        """Judge the time since the last point; ``now`` is in seconds."""
        if rules.dead is None or now - self.at < rules.dead.minutes * 60:
            return None
        seen = f"no loss for {(now - self.at) / 60:.1f} minutes after {self.steps} points"
        return Finding("dead", f"{seen}; allowed are {rules.dead.minutes:g}")

    def _exploding(self, rules: Rules, loss: float, validation_loss: float | None) -> Finding | None:
        if rules.exploding is None:
            return None
        for name, value in (("loss", loss), ("validation loss", validation_loss)):
            if value is not None and not math.isfinite(value):
                return Finding("exploding", f"{name} of point {self.steps} is {value}; allowed are finite numbers")
        if self.least is None or self.least <= 0 or loss <= self.least * rules.exploding.times:
            return None
        times = f"{loss / self.least:.1f} times the best ({self.least:.6g})"
        seen = f"loss of point {self.steps} is {loss:.6g}, {times}; allowed are {rules.exploding.times:g}"
        return Finding("exploding", seen)

    def _keep(self, rules: Rules, loss: float, validation_loss: float | None) -> None:
        if math.isfinite(loss):
            self.least = loss if self.least is None else min(loss, self.least)
            by = rules.not_decreasing.by if rules.not_decreasing is not None else 0.0
            if self.best is None or loss < self.best - by * max(abs(self.best), _SHARE_OF_ZERO):
                self.best, self.best_step = loss, self.steps
        if validation_loss is None or not math.isfinite(validation_loss):
            return
        if self.best_validation is None or validation_loss < self.best_validation:
            self.best_validation, self.best_validation_step = validation_loss, self.steps
            self.loss_at_best_validation = loss if math.isfinite(loss) else None

    def _not_decreasing(self, rules: Rules, loss: float) -> Finding | None:
        rule = rules.not_decreasing
        if rule is None or self.steps - self.best_step < rule.steps or (self.best is None and self.steps < rule.steps):
            return None
        seen = f"loss is {loss:.6g} at point {self.steps}, and was {self.best if self.best is not None else loss:.6g}"
        return Finding(
            "not_decreasing",
            f"{seen} at point {self.best_step}; it has to fall by {rule.by:.2%} within {rule.steps} points",
        )

    def _overfitting(self, rules: Rules, loss: float, validation_loss: float | None) -> Finding | None:
        rule, best = rules.overfitting, self.best_validation
        if rule is None or best is None or validation_loss is None or self.loss_at_best_validation is None:
            return None
        worse = validation_loss - best > rule.by * max(abs(best), _SHARE_OF_ZERO)
        if self.steps - self.best_validation_step < rule.steps or not worse or loss >= self.loss_at_best_validation:
            return None
        seen = (
            f"validation loss is {validation_loss:.6g} at point {self.steps}, and was {best:.6g} at point "
            f"{self.best_validation_step}, while the training loss fell from {self.loss_at_best_validation:.6g} to "
            f"{loss:.6g}"
        )
        allowed = f"allowed are {rule.by:.2%} above the best within {rule.steps} points"
        return Finding("overfitting", f"{seen}; {allowed}")
