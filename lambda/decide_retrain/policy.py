"""Decides whether a workload trains again: pure functions of a policy, of what is remembered, and of who asks.

Nothing here reads a clock: "now" is the ``as_of`` of the ask. Asking twice, in another order, or again after a failure
changes nothing that the first time has not: a training is known by its run's id and by the event that caused it.

:func:`decide` answers and changes nothing, :func:`begun` remembers a training, :func:`ended` how it came out, and
:func:`taken_back` that its model, though let through, was taken back later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal, get_args

Trigger = Literal["schedule", "new_data", "quality", "drift", "bias", "manual", "new_code"]
Outcome = Literal["promoted", "refused", "failed"]

TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
"""What may ask for a training."""

DELIBERATE: tuple[Trigger, ...] = ("manual", "new_code")
"""Triggers that somebody has pulled: they wait neither for a cooldown nor for rows."""

LONGEST_BACKOFF = 8.0
"""The cooldown grows to this many times its length at most."""

WEEK = timedelta(days=7)
MEMORY = timedelta(days=70)
"""For how long a training is remembered; the newest is never forgotten."""

MONTHS_KEPT = 13


@dataclass(frozen=True)
class Policy:
    """When a workload may train, as ``retraining`` of its file says.

    Attributes:
        cooldown_days: Days between the instants of two trainings, at least.
        max_per_week: Trainings in any seven days, at most.
        monthly_budget_usd: What the trainings of a calendar month may cost. Default: there is no limit.
        min_new_labelled_rows: Labelled rows that the last training did not have, at least.
        backoff: By how much the cooldown grows with every training in a row that did not help, eight times at most.
        search_after: After how many trainings in a row that did not help hyperparameters are searched again.
        triggers: Who may ask.
    """

    cooldown_days: float = 7.0
    max_per_week: int = 2
    monthly_budget_usd: float | None = None
    min_new_labelled_rows: int = 1
    backoff: float = 2.0
    search_after: int = 2
    triggers: tuple[Trigger, ...] = TRIGGERS

    def cooldown(self, refused_in_a_row: int) -> timedelta:
        """Give the time between two trainings after so many that did not help."""
        factor = min(LONGEST_BACKOFF, self.backoff ** min(refused_in_a_row, 64))
        return timedelta(days=self.cooldown_days * factor)


@dataclass(frozen=True)
class Training:
    """A training that was begun.

    Attributes:
        run_id, event_id: Its run, and the event that caused it.
        trigger: Who asked.
        at: The ``as_of`` of the run.
        rows: Labelled rows that it had.
        search: Whether hyperparameters were searched.
        reserved_usd: What it is expected to cost, until its end.
        outcome: None until its end.
        taken_back: Whether its model has lost its approval later.
        judged: The how manieth judgement it was; 0 while there is none.
        refused_before, unhelpful_before: How many in a row there were just before it was judged.
    """

    run_id: str
    event_id: str
    trigger: Trigger
    at: datetime
    rows: int
    search: bool = False
    reserved_usd: float = 0.0
    outcome: Outcome | None = None
    taken_back: bool = False
    judged: int = 0
    refused_before: int = 0
    unhelpful_before: int = 0

    @property
    def helped(self) -> bool:
        """Whether its model was let through and stayed."""
        return self.outcome == "promoted" and not self.taken_back


@dataclass(frozen=True)
class State:
    """What is remembered of a workload.

    Attributes:
        running: The run that trains, None when none does.
        since: The ``as_of`` of that run.
        begun: The trainings of the last ten weeks, oldest first.
        spent: Month (``2013-05``) → US dollars, what running trainings are expected to cost included.
        refused_in_a_row: Challengers that were refused, or taken back, since one was promoted and stayed.
        unhelpful_in_a_row: The same since hyperparameters were searched.
        rows_at_last: Labelled rows of the last training that was judged.
    """

    running: str | None = None
    since: datetime | None = None
    begun: tuple[Training, ...] = ()
    spent: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    refused_in_a_row: int = 0
    unhelpful_in_a_row: int = 0
    rows_at_last: int = 0

    def training(self, run_id: str) -> Training | None:
        """Give the training of a run, None when there was none."""
        return next((each for each in self.begun if each.run_id == run_id), None)


@dataclass(frozen=True)
class Ask:
    """Somebody asks for a training.

    Attributes:
        trigger: Who asks.
        as_of: What stands for "now", in UTC.
        labelled_rows: Labelled rows that there are now.
        estimated_usd: What a training will cost.
        estimated_search_usd: What one will cost that searches hyperparameters. Default: the same.
        search: Whether hyperparameters are to be searched whatever came before.
        run_id: The run that would train.
        event_id: The event that caused it; empty when there is none.
        serves: Whether a model serves. Where none does, there is nothing to wait for.

    Raises:
        ValueError: The trigger is unknown, or the instant has no offset.
    """

    trigger: Trigger
    as_of: datetime
    labelled_rows: int
    estimated_usd: float
    run_id: str
    event_id: str
    serves: bool = True
    estimated_search_usd: float | None = None
    search: bool = False

    def usd(self, *, search: bool) -> float:
        """Give what a training will cost, with a search or without."""
        return self.estimated_search_usd if search and self.estimated_search_usd is not None else self.estimated_usd

    def __post_init__(self) -> None:
        if self.trigger not in TRIGGERS:
            raise ValueError(f"trigger {self.trigger!r} is unknown, allowed are: {', '.join(TRIGGERS)}")
        if self.as_of.tzinfo is None:
            raise ValueError(f"as_of must have an offset, got: {self.as_of.isoformat()}")


@dataclass(frozen=True)
class Reason:
    """What one rule says: its name, whether it lets the training through, and why, for people."""

    rule: str
    holds: bool
    text: str


@dataclass(frozen=True)
class Decision:
    """The answer: whether to train, whether to search hyperparameters as well, and what every rule said."""

    retrain: bool
    search: bool
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """The answer in one sentence; a refusal names every rule that does not hold."""
        if self.retrain:
            searches = ["hyperparameters are searched"] if self.search else []
            return "retrains: " + "; ".join([*(reason.text for reason in self.reasons), *searches])
        return "did not retrain because " + "; ".join(reason.text for reason in self.reasons if not reason.holds)


# --- the decision --------------------------------------------------------------------------------------------------


def decide(policy: Policy, state: State, ask: Ask) -> Decision:
    """Decide whether to train; the run's own, earlier ask does not count against it."""
    own = state.training(ask.run_id)
    others = tuple(each for each in state.begun if each.run_id != ask.run_id)
    search = ask.search or state.unhelpful_in_a_row >= policy.search_after
    reasons = (
        _once(own, others, ask),
        _one_at_a_time(state, ask),
        *(
            reason if ask.serves else _first(reason.rule)
            for reason in (
                _trigger(policy, ask),
                _cooldown(policy, state, others, ask),
                _week(policy, others, ask),
                _budget(policy, state, own, ask, ask.usd(search=search)),
                _rows(policy, state, ask),
            )
        ),
    )
    retrain = all(reason.holds for reason in reasons)
    return Decision(retrain=retrain, search=retrain and search, reasons=reasons)


def _first(rule: str) -> Reason:
    return Reason(rule, True, "no model serves yet")


def _once(own: Training | None, others: tuple[Training, ...], ask: Ask) -> Reason:
    if own is not None and own.outcome in ("promoted", "refused"):
        return Reason("once", False, f"run {ask.run_id} has trained already: {own.outcome}")
    same = next((each for each in others if ask.event_id and each.event_id == ask.event_id), None)
    if same is not None:
        return Reason("once", False, f"event {ask.event_id} has begun run {same.run_id} already")
    return Reason("once", True, f"{ask.trigger} asks")


def _one_at_a_time(state: State, ask: Ask) -> Reason:
    if state.running not in (None, ask.run_id):
        return Reason("one_at_a_time", False, f"run {state.running} is training")
    return Reason("one_at_a_time", True, "nothing else trains")


def _trigger(policy: Policy, ask: Ask) -> Reason:
    if ask.trigger not in policy.triggers:
        allowed = ", ".join(policy.triggers)
        return Reason("trigger", False, f"{ask.trigger} may not ask; allowed are: {allowed if allowed else 'none'}")
    return Reason("trigger", True, f"{ask.trigger} may ask")


def _cooldown(policy: Policy, state: State, others: tuple[Training, ...], ask: Ask) -> Reason:
    if ask.trigger in DELIBERATE:
        return Reason("cooldown", True, f"{ask.trigger} does not wait for the cooldown")
    if not others:
        return Reason("cooldown", True, "no training is remembered")
    last = max(each.at for each in others)
    cooldown = policy.cooldown(state.refused_in_a_row)
    lengthened = f" ({state.refused_in_a_row} in a row did not help)" if state.refused_in_a_row else ""
    over = last + cooldown
    days = f"{cooldown / timedelta(days=1):g} days{lengthened}"
    if ask.as_of < over:
        return Reason(
            "cooldown", False, f"the last training was as of {_day(last)}, the cooldown of {days} ends {_day(over)}"
        )
    return Reason("cooldown", True, f"the cooldown of {days} ended {_day(over)}")


def _week(policy: Policy, others: tuple[Training, ...], ask: Ask) -> Reason:
    near = sum(abs(each.at - ask.as_of) < WEEK for each in others)
    text = f"{near} of {policy.max_per_week} trainings within a week of {_day(ask.as_of)}"
    return Reason("week", near < policy.max_per_week, text)


def _budget(policy: Policy, state: State, own: Training | None, ask: Ask, usd: float) -> Reason:
    if policy.monthly_budget_usd is None:
        return Reason("budget", True, "there is no budget")
    month = _month(ask.as_of)
    spent = state.spent.get(month, 0.0) - (own.reserved_usd if own is not None else 0.0)
    text = f"{spent:.2f} USD spent in {month} and {usd:.2f} expected, of {policy.monthly_budget_usd:.2f} USD"
    return Reason("budget", spent + usd <= policy.monthly_budget_usd, text)


def _rows(policy: Policy, state: State, ask: Ask) -> Reason:
    if ask.trigger in DELIBERATE:
        return Reason("rows", True, f"{ask.trigger} does not wait for rows")
    new = ask.labelled_rows - state.rows_at_last
    text = f"{new} new labelled rows of at least {policy.min_new_labelled_rows}"
    return Reason("rows", new >= policy.min_new_labelled_rows, text)


def _day(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _month(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m")


# --- what is remembered --------------------------------------------------------------------------------------------


def begun(state: State, ask: Ask, decision: Decision) -> State:
    """Remember that a training has begun; nothing changes when it was remembered before, or was decided against.

    A run that had failed and goes on counts once, but costs again.
    """
    own = state.training(ask.run_id)
    if not decision.retrain or (own is not None and own.outcome != "failed"):
        return state
    training = Training(
        run_id=ask.run_id,
        event_id=ask.event_id,
        trigger=ask.trigger,
        at=ask.as_of,
        rows=ask.labelled_rows,
        search=decision.search,
        reserved_usd=ask.usd(search=decision.search),
        taken_back=own is not None and own.taken_back,
    )
    return replace(
        state,
        running=ask.run_id,
        since=ask.as_of,
        begun=_remembered((*(each for each in state.begun if each.run_id != ask.run_id), training)),
        spent=_spent(state.spent, ask.as_of, training.reserved_usd),
    )


def ended(
    state: State,
    run_id: str,
    outcome: Outcome,
    as_of: datetime,
    usd: float | None = None,
    *,
    searched: bool | None = None,
) -> State:
    """Remember how a training came out; nothing changes when that was remembered before, or it is unknown.

    Args:
        state: What is remembered.
        run_id: The run.
        outcome: ``promoted`` when the challenger was let through, ``refused`` when the champion stays.
        as_of: When it ended; what it has cost counts in that month.
        usd: What it has cost. Default: what was expected.
        searched: Whether hyperparameters were searched. Default: as it was decided.
    """
    training = state.training(run_id)
    if training is None or training.outcome is not None:
        return state
    judged = outcome != "failed"
    done = replace(training, outcome=outcome, reserved_usd=0.0)
    if searched is not None:
        done = replace(done, search=searched)
    if judged:
        done = replace(
            done,
            judged=1 + max(each.judged for each in state.begun),
            refused_before=state.refused_in_a_row,
            unhelpful_before=state.unhelpful_in_a_row,
        )
    freed = _spent(state.spent, training.at, -training.reserved_usd)
    after = replace(
        state,
        running=None if state.running == run_id else state.running,
        since=None if state.running == run_id else state.since,
        begun=_with(state.begun, done),
        spent=_spent(freed, as_of, usd if usd is not None else training.reserved_usd),
        rows_at_last=training.rows if judged else state.rows_at_last,
    )
    return _counted_from(after, done) if judged else after


def taken_back(state: State, run_id: str) -> State:
    """Remember that the model of a training was taken back after it had been let through: the training did not help.

    Nothing changes when that was remembered before, or the training is unknown or forgotten: who has served for ten
    weeks has helped. It may be told before the end of the training is; it counts from its end on then.
    """
    training = state.training(run_id)
    if training is None or training.taken_back:
        return state
    marked = replace(training, taken_back=True)
    after = replace(state, begun=_with(state.begun, marked))
    return _counted_from(after, marked) if marked.outcome == "promoted" else after


def _with(trainings: tuple[Training, ...], changed: Training) -> tuple[Training, ...]:
    return tuple(changed if each.run_id == changed.run_id else each for each in trainings)


def _counted_from(state: State, first: Training) -> State:
    """Count again what did not help, from a training on; those that were judged before it stay as they were counted."""
    ordered = sorted((each for each in state.begun if each.outcome in ("promoted", "refused")), key=lambda t: t.judged)
    refused, unhelpful, begun = first.refused_before, first.unhelpful_before, state.begun
    for each in ordered[ordered.index(first) :]:
        begun = _with(begun, replace(each, refused_before=refused, unhelpful_before=unhelpful))
        refused = 0 if each.helped else refused + 1
        unhelpful = 0 if each.helped or each.search else unhelpful + 1
    return replace(state, begun=begun, refused_in_a_row=refused, unhelpful_in_a_row=unhelpful)


def _remembered(trainings: tuple[Training, ...]) -> tuple[Training, ...]:
    ordered = sorted(trainings, key=lambda each: each.at)
    newest = ordered[-1].at
    return tuple(each for each in ordered if each is trainings[-1] or newest - each.at <= MEMORY)


def _spent(spent: Mapping[str, float], at: datetime, usd: float) -> Mapping[str, float]:
    month = _month(at)
    longer = {**spent, month: spent.get(month, 0.0) + usd}
    kept = sorted({*sorted(longer)[-MONTHS_KEPT:], month})
    return MappingProxyType({each: longer[each] for each in kept})
