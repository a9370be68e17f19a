"""The policy of trainings: what each rule says, and what holds whatever is asked in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide_retrain.policy import (
    DELIBERATE,
    TRIGGERS,
    Ask,
    Decision,
    Outcome,
    Policy,
    State,
    begun,
    decide,
    ended,
    taken_back,
)

START = datetime(2013, 5, 1, tzinfo=UTC)


def ask(day: float = 0, run_id: str = "run-1", **changed: Any) -> Ask:
    """One that nothing speaks against, for an empty memory."""
    given = {"trigger": "new_data", "labelled_rows": 1000, "estimated_usd": 1.0, "event_id": f"event-of-{run_id}"}
    return Ask(as_of=START + timedelta(days=day), run_id=run_id, **{**given, **changed})


def trained(
    outcome: Outcome | None = "promoted",
    *,
    state: State | None = None,
    policy: Policy | None = None,
    **asked: Any,
) -> State:
    """What is remembered after a training."""
    begins = ask(**{"trigger": "manual", **asked})
    before = state if state is not None else State()
    decision = decide(policy if policy is not None else Policy(max_per_week=1000), before, begins)
    assert decision.retrain, decision.text
    after = begun(before, begins, decision)
    return after if outcome is None else ended(after, begins.run_id, outcome, begins.as_of)


def refusing(decision: Decision) -> list[str]:
    """The rules that do not hold."""
    assert decision.retrain == all(reason.holds for reason in decision.reasons)
    return [reason.rule for reason in decision.reasons if not reason.holds]


def test_every_rule_is_shown_with_an_answer_of_either_kind() -> None:
    rules = ["once", "one_at_a_time", "trigger", "cooldown", "week", "budget", "rows"]
    assert [reason.rule for reason in decide(Policy(), State(), ask()).reasons] == rules
    refused = decide(Policy(), trained(), ask(1, "run-2"))
    assert [reason.rule for reason in refused.reasons] == rules
    assert refused.text == (
        "did not retrain because the last training was as of 2013-05-01 00:00, the cooldown of 7 days ends 2013-05-08 "
        "00:00; 0 new labelled rows of at least 1"
    )


def test_the_cooldown_ends_at_its_last_instant() -> None:
    state = trained()
    assert refusing(decide(Policy(), state, ask(6.99, "run-2", labelled_rows=2000))) == ["cooldown"]
    assert decide(Policy(), state, ask(7, "run-2", labelled_rows=2000)).retrain


def test_the_cooldown_grows_with_refused_challengers_up_to_a_limit_and_a_promoted_one_ends_that() -> None:
    state = State()
    for number, days in enumerate([14, 28, 56, 56, 56], start=1):
        state = trained("refused", state=state, run_id=f"run-{number}", labelled_rows=number * 1000)
        assert Policy().cooldown(state.refused_in_a_row) == timedelta(days=days)
    state = trained("promoted", state=state, run_id="run-9")
    assert Policy().cooldown(state.refused_in_a_row) == timedelta(days=7)


def test_a_cooldown_of_a_very_long_row_of_refusals_can_be_counted() -> None:
    assert Policy(backoff=3).cooldown(100_000) == timedelta(days=56)
    assert Policy(backoff=1).cooldown(100_000) == timedelta(days=7)


def test_trainings_of_seven_days_are_counted_on_both_sides() -> None:
    policy = Policy(cooldown_days=0, max_per_week=2)
    state = trained(state=trained(run_id="a"), run_id="b", day=3)
    for day in (-3, 1, 6.9):
        assert "week" in refusing(decide(policy, state, ask(day, "c", trigger="manual")))
    assert decide(policy, state, ask(7, "c", labelled_rows=2000)).retrain
    assert decide(policy, state, ask(-4, "c", trigger="manual")).retrain


def test_what_is_expected_counts_against_the_budget_of_the_month_until_the_cost_is_known() -> None:
    policy = Policy(monthly_budget_usd=10, cooldown_days=0, max_per_week=1000)
    state = trained(None, estimated_usd=6)
    assert refusing(decide(policy, replace(state, running=None), ask(1, "b", trigger="manual", estimated_usd=5))) == [
        "budget"
    ]
    state = ended(state, "run-1", "promoted", START, usd=5)
    assert decide(policy, state, ask(1, "b", trigger="manual", estimated_usd=5)).retrain
    assert refusing(decide(policy, state, ask(1, "b", trigger="manual", estimated_usd=5.01))) == ["budget"]
    assert decide(policy, state, ask(31, "b", trigger="manual", estimated_usd=5.01)).retrain


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_only_deliberate_triggers_wait_neither_for_the_cooldown_nor_for_rows(trigger: Any) -> None:
    decision = decide(Policy(), trained(), ask(1, "run-2", trigger=trigger))
    assert refusing(decision) == ([] if trigger in DELIBERATE else ["cooldown", "rows"])


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_no_trigger_trains_beside_another_training_or_beyond_the_budget(trigger: Any) -> None:
    policy = Policy(monthly_budget_usd=1)
    decision = decide(policy, trained(None), ask(31, "run-2", trigger=trigger, estimated_usd=2, labelled_rows=2000))
    assert refusing(decision) == ["one_at_a_time", "budget"]


def test_where_no_model_serves_only_another_training_stands_in_the_way() -> None:
    policy = Policy(triggers=(), monthly_budget_usd=0, max_per_week=0, min_new_labelled_rows=10**9)
    assert decide(policy, trained("failed"), ask(0, "run-2", serves=False)).retrain
    assert refusing(decide(policy, trained(None), ask(0, "run-2", serves=False))) == ["one_at_a_time"]


def test_a_trigger_that_the_policy_does_not_name_may_not_ask() -> None:
    assert refusing(decide(Policy(triggers=("manual",)), State(), ask())) == ["trigger"]


def test_an_unknown_trigger_and_an_instant_without_offset_are_refused() -> None:
    with pytest.raises(ValueError, match="trigger 'whim' is unknown, allowed are: schedule, new_data"):
        ask(trigger="whim")
    with pytest.raises(ValueError, match="as_of must have an offset"):
        Ask("manual", datetime(2013, 5, 1), 0, 0, "run", "event")  # noqa: DTZ001


def test_hyperparameters_are_searched_after_two_trainings_that_did_not_help_and_then_not_at_once_again() -> None:
    state, searched = State(), []
    for number in range(1, 8):
        asked = ask(run_id=f"run-{number}", trigger="manual")
        decision = decide(Policy(max_per_week=1000), state, asked)
        searched.append(decision.search)
        state = ended(begun(state, asked, decision), asked.run_id, "refused", asked.as_of)
    assert searched == [False, False, True, False, False, True, False]


def test_a_failed_search_is_searched_again() -> None:
    state = trained("refused", state=trained("refused", run_id="a"), run_id="b")
    state = trained("failed", state=state, run_id="c")
    assert decide(Policy(max_per_week=9), state, ask(run_id="d", trigger="manual")).search


def test_whoever_asks_for_a_search_gets_one_when_the_training_may_be() -> None:
    decision = decide(Policy(), State(), ask(search=True))
    assert decision.search and decision.text.endswith("; hyperparameters are searched")
    assert not decide(Policy(triggers=()), State(), ask(search=True)).search


def test_a_search_counts_by_what_a_search_costs() -> None:
    policy = Policy(monthly_budget_usd=10)
    assert decide(policy, State(), ask(estimated_search_usd=11)).retrain
    searching = ask(estimated_search_usd=11, search=True)
    assert refusing(decide(policy, State(), searching)) == ["budget"]
    assert begun(State(), searching, decide(Policy(), State(), searching)).spent == {"2013-05": 11}
    assert decide(policy, State(), ask(search=True)).retrain


def test_a_search_that_nobody_had_decided_counts_as_one() -> None:
    state = trained("refused", state=trained("refused", run_id="a"), run_id="b")
    searching = ask(run_id="c", trigger="manual")
    found = begun(state, searching, replace(decide(Policy(max_per_week=9), state, searching), search=False))
    assert ended(found, "c", "refused", START, searched=True).unhelpful_in_a_row == 0
    assert ended(found, "c", "refused", START, searched=False).unhelpful_in_a_row == 3


def test_rows_of_a_failed_training_are_still_new() -> None:
    state = trained("failed")
    assert decide(Policy(), state, ask(8, "run-2")).retrain
    assert refusing(decide(Policy(), trained("refused"), ask(30, "run-2"))) == ["rows"]


def test_a_failed_run_may_go_on_counts_once_and_costs_twice() -> None:
    state = trained("failed")
    again = ask(trigger="manual")
    decision = decide(Policy(), state, again)
    assert decision.retrain
    after = begun(state, again, decision)
    assert after.running == "run-1"
    assert len(after.begun) == 1
    assert after.spent == {"2013-05": 2.0}


@pytest.mark.parametrize("outcome", ["promoted", "refused"])
def test_a_run_that_was_judged_does_not_train_again(outcome: Any) -> None:
    assert "once" in refusing(decide(Policy(), trained(outcome), ask(trigger="manual")))


def test_one_event_begins_one_training() -> None:
    state = trained(event_id="alarm")
    assert refusing(decide(Policy(), state, ask(40, "run-2", event_id="alarm", labelled_rows=2000))) == ["once"]


def test_a_model_that_is_taken_back_later_lengthens_the_cooldown_and_brings_the_search_nearer() -> None:
    state = taken_back(trained(), "run-1")
    assert (state.refused_in_a_row, state.unhelpful_in_a_row) == (1, 1)
    decision = decide(Policy(), state, ask(13, "run-2", labelled_rows=2000))
    assert refusing(decision) == ["cooldown"]
    assert "the cooldown of 14 days (1 in a row did not help) ends 2013-05-15" in decision.text
    state = trained("refused", state=state, run_id="run-2")
    assert decide(Policy(max_per_week=9), state, ask(run_id="run-3", trigger="manual")).search


def test_a_model_that_was_replaced_by_one_that_helps_may_go_without_a_trace() -> None:
    state = trained(state=trained(run_id="a"), run_id="b")
    assert taken_back(state, "a").refused_in_a_row == 0
    assert taken_back(taken_back(state, "a"), "b").refused_in_a_row == 2


def test_what_was_counted_before_the_oldest_training_that_is_remembered_still_counts() -> None:
    state = State()
    for number in range(3):
        state = trained("refused", state=state, run_id=f"old-{number}", day=number)
    state = trained(state=state, run_id="new", day=100)
    assert [each.run_id for each in state.begun] == ["new"]
    assert taken_back(state, "new").refused_in_a_row == 4


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_taking_back_what_was_not_let_through_counts_nothing(outcome: Any) -> None:
    state = trained(outcome)
    after = taken_back(state, "run-1")
    assert (after.refused_in_a_row, after.unhelpful_in_a_row) == (state.refused_in_a_row, state.unhelpful_in_a_row)
    assert taken_back(state, "run-9") == state


def test_a_model_that_was_taken_back_while_its_run_had_failed_has_not_helped_when_the_run_goes_on() -> None:
    state = taken_back(trained("failed"), "run-1")
    assert trained("promoted", state=state).refused_in_a_row == 1


# --- whatever happens ----------------------------------------------------------------------------------------------

POLICIES = st.builds(
    Policy,
    cooldown_days=st.sampled_from([0.0, 1.0, 7.0]),
    max_per_week=st.integers(1, 3),
    monthly_budget_usd=st.sampled_from([None, 3.0, 10.0]),
    min_new_labelled_rows=st.sampled_from([0, 1, 500]),
    backoff=st.sampled_from([1.0, 2.0]),
)
ASKS = st.tuples(
    st.just("ask"), st.integers(0, 5), st.sampled_from(TRIGGERS), st.integers(-20, 40), st.integers(0, 3000)
)
ENDS = st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(["promoted", "refused", "failed"]), st.just(1.0))
BACK = st.tuples(st.just("back"), st.integers(0, 5))
HISTORIES = st.lists(st.one_of(ASKS, ENDS, BACK), max_size=25)


def apply(policy: Policy, state: State, step: Any) -> State:
    """One event of a history; the asks of one run always say the same."""
    if step[0] == "end":
        return ended(state, f"run-{step[1]}", step[2], START, step[3])
    if step[0] == "back":
        return taken_back(state, f"run-{step[1]}")
    asked = ask(step[3], f"run-{step[1]}", trigger=step[2], labelled_rows=step[4])
    return begun(state, asked, decide(policy, state, asked))


@settings(max_examples=150, deadline=None)
@given(POLICIES, HISTORIES)
def test_whatever_is_asked_in_whatever_order_the_promises_hold(policy: Policy, history: list[Any]) -> None:
    state = State()
    for step in history:
        before, state = state, apply(policy, state, step)
        assert apply(policy, state, step) == state or step[0] == "ask", "an outcome told twice counts twice"
        if step[0] == "ask" and state != before:
            assert before.running in (None, state.running)
            assert apply(policy, state, step) == state, "an event that comes twice counts twice"
            own = state.training(f"run-{step[1]}")
            assert own is not None
            near = [each for each in state.begun if own.at <= each.at < own.at + timedelta(days=7)]
            assert len(near) <= policy.max_per_week
            if policy.monthly_budget_usd is not None:
                assert state.spent[own.at.strftime("%Y-%m")] <= policy.monthly_budget_usd
        running = [each.run_id for each in state.begun if each.outcome is None]
        assert running == ([state.running] if state.running is not None else [])
        assert all(usd >= 0 for usd in state.spent.values())
        assert 0 <= state.unhelpful_in_a_row <= state.refused_in_a_row


@settings(max_examples=100, deadline=None)
@given(POLICIES, HISTORIES)
def test_automatic_trainings_keep_their_distance(policy: Policy, history: list[Any]) -> None:
    state = State()
    for step in history:
        if step[0] == "ask" and step[2] in DELIBERATE:
            continue
        before, state = state, apply(policy, state, step)
        new = {each.run_id for each in state.begun} - {each.run_id for each in before.begun}
        for run in new:
            own = state.training(run)
            assert own is not None
            distances = [own.at - each.at for each in before.begun]
            assert all(distance >= policy.cooldown(before.refused_in_a_row) for distance in distances)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["promoted", "refused", "failed"]), st.booleans(), st.integers(0, 9))),
)
def test_whenever_it_is_told_a_model_that_was_taken_back_counts_as_one_that_was_refused(
    trainings: list[tuple[Outcome, bool, int]],
) -> None:
    """Each training: how it came out, whether its model was taken back, and after how many others that was told."""
    policy, told, plain = Policy(max_per_week=1000), State(), State()
    for number, (outcome, back, _) in enumerate(trainings):
        seen: Outcome = "refused" if back and outcome == "promoted" else outcome
        plain = trained(seen, state=plain, policy=policy, run_id=f"run-{number}")
    for number, (outcome, _, _) in enumerate(trainings):
        asked = ask(run_id=f"run-{number}", trigger="manual")
        decision = replace(decide(policy, told, asked), search=plain.training(asked.run_id).search)  # type: ignore[union-attr]
        told = begun(told, asked, decision)
        late = [earlier for earlier, (_, back, after) in enumerate(trainings) if back and earlier + after == number]
        for earlier in late:
            told = taken_back(told, f"run-{earlier}")
        told = ended(told, asked.run_id, outcome, asked.as_of)
    for number, (_, back, _) in enumerate(trainings):
        told = taken_back(told, f"run-{number}") if back else told
    assert (told.refused_in_a_row, told.unhelpful_in_a_row) == (plain.refused_in_a_row, plain.unhelpful_in_a_row)
