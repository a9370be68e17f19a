"""Tells a history with three policies on the same rows: never retrained, always retrained, and Gapless."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from decide_retrain.policy import Ask, Decision, Outcome, Policy, State, begun, decide, ended
from gapless_glue.errors import TooFewRows
from gapless_sagemaker.monitoring.families import FAMILIES
from gapless_sagemaker.monitoring.quality import FEWEST_LABELS
from gapless_windows import best, worth
from local.errors import Failure
from local.story.history import History, between, write_splits
from local.story.judging import Judges, NotEvaluated, Served
from local.story.makers import Maker
from local.story.models import Model, Prediction, TrainingFailed
from local.story.rules import ASKS, BACK_TEST_STEPS, FEWEST_ROWS, SHARES_OF_START, policy_of

NEVER, ALWAYS, GAPLESS = "never", "always", "gapless"
POLICIES: Final = (NEVER, ALWAYS, GAPLESS)

Document = dict[str, Any]
Tell = Callable[["Progress"], None]

_DAY: Final = dt.timedelta(days=1)
_LONG: Final = 0.9
"""A window of more than this share of the history is not tried beside the whole of it."""


@dataclass(frozen=True)
class Progress:
    """What is told while a story runs: a step that has ended, and what was decided at its end."""

    label: str
    quality: Mapping[str, float | None]
    text: str


@dataclass
class Line:
    """What one policy came to.

    Attributes:
        steps: One entry per step.
        decisions: What was decided at the ends of steps.
        retrains: How often a model was made anew after the first one.
    """

    steps: list[Document] = field(default_factory=list)
    decisions: list[Document] = field(default_factory=list)
    retrains: int = 0

    def document(self) -> Document:
        """Give the policy as JSON types; its quality is the mean over the steps, each as heavy as it has rows."""
        measured = [step for step in self.steps if step["quality"] is not None]
        rows = sum(step["rows"] for step in measured)
        overall = sum(step["quality"] * step["rows"] for step in measured) / rows if rows else None
        return {"quality": overall, "retrains": self.retrains, "steps": self.steps, "decisions": self.decisions}


class Workshop:
    """Trains models as of the ends of steps, each once, as many at a time as there are processors, and asks them.

    To be closed: used as a context manager it gives up what has not begun, and waits for what runs, unless an error
    ends it.
    """

    def __init__(self, history: History, maker: Maker, folder: Path) -> None:
        self._history = history
        self._maker = maker
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="training")
        self._models: dict[tuple[int, int | None], Future[Model]] = {}
        self._answers: dict[tuple[str, int], list[Prediction]] = {}
        self._features: dict[str, tuple[str, ...]] = {}
        self._windows: dict[int, list[int | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    @property
    def trainings(self) -> int:
        """How many models were trained."""
        return sum(each.done() and each.exception() is None for each in self._models.values())

    def begin(self, wanted: Iterable[tuple[int, int | None]]) -> None:
        """Have models of steps and windows trained that will be asked for; whoever asks waits for the one asked for."""
        for key in wanted:
            if key not in self._models:
                self._models[key] = self._pool.submit(self._train, *key)

    def model(self, step: int, window_days: int | None = None) -> Model:
        """Train on what is known at the end of a step, on the events of so many days or on all.

        Raises:
            TrainingFailed: The script failed.
            TooFewRows: There are too few rows to train on.
        """
        self.begin([(step, window_days)])
        return self._models[step, window_days].result()

    def _train(self, step: int, window_days: int | None) -> Model:
        name = f"m{step}" if window_days is None else f"m{step}-{window_days}d"
        folder = self._folder / name
        rows = write_splits(self.rows(step, window_days), self._history.workload, folder / "dataset")
        self._maker.train(folder)
        return Model(name, folder, window_days, rows)

    def rows(self, step: int, window_days: int | None) -> pa.Table:
        """The labelled rows of a window that ends with a step."""
        labelled = self._history.labelled(step)
        if window_days is None:
            return labelled
        return between(labelled, self._history.as_of(step) - window_days * _DAY, None)

    def windows(self, step: int) -> list[int | None]:
        """The windows that can be tried at the end of a step: all events, and some numbers of days."""
        if step not in self._windows:
            history = self._history
            at_start = (history.as_of(0) - history.first) / _DAY
            now = (history.as_of(step) - history.first) / _DAY
            days = [round(at_start * share) for share in SHARES_OF_START]
            fits = [each for each in days if 0 < each < _LONG * now and self.rows(step, each).num_rows >= FEWEST_ROWS]
            self._windows[step] = [None, *fits]
        return self._windows[step]

    def answers(self, model: Model, step: int, rows: pa.Table) -> list[Prediction]:
        """The model's answers to the rows of a step."""
        key = (model.name, step)
        if key not in self._answers:
            self._answers[key] = self.ask(model, rows)
        return self._answers[key]

    def answered(self, name: str, step: int) -> list[Prediction]:
        """What a model has answered to the rows of a step, asked before."""
        return self._answers[name, step]

    def ask(self, model: Model, rows: pa.Table) -> list[Prediction]:
        """The model's answers to any rows."""
        answered = self._maker.ask(model, rows)
        self._features[model.name] = answered.features
        return answered.answers

    def features(self, model: Model) -> tuple[str, ...]:
        """What a model is asked with, once it was asked."""
        return self._features[model.name]


@dataclass
class Champion:
    """The model that serves under Gapless.

    Attributes:
        evaluation: The run of the evaluation that let it through.
        baseline: What it is monitored by.
        served: What it has answered since it began to serve, by step.
    """

    model: Model
    evaluation: str
    baseline: Path
    served: list[tuple[pa.Table, list[Prediction]]] = field(default_factory=list)


@dataclass
class Story:
    """A history being told.

    Attributes:
        lines: Policy → what it came to.
        events: Alarms, decisions and changes of the serving model under Gapless, in order.
    """

    history: History
    judges: Judges
    workshop: Workshop
    lines: dict[str, Line] = field(default_factory=lambda: {name: Line() for name in POLICIES})
    events: list[Document] = field(default_factory=list)
    state: State = field(default_factory=State)

    @property
    def policy(self) -> Policy:
        """By what rules Gapless retrains."""
        return policy_of(self.history.workload)

    def run(self, tell: Tell) -> None:
        """Tell every step.

        Raises:
            Failure: The first model cannot be trained or evaluated, or one cannot be asked.
        """
        first, champion = self._begin()
        newest = first
        last = len(self.history.steps)
        for step in self.history.steps:
            # What the schedule trains at the end of this step and the next is trained while this one is looked at.
            self.workshop.begin((each, None) for each in (step.number, step.number + 1) if each < last)
            serving = {NEVER: first, ALWAYS: newest, GAPLESS: champion.model}
            self._serve(step.number, serving, champion)
            text = ""
            if step.number < last:
                newest = self._retrain_always(step.number, newest)
                champion, text = self._decide(step.number, champion)
            quality = {name: self.lines[name].steps[-1]["quality"] for name in POLICIES}
            tell(Progress(step.label, quality, text))

    def _begin(self) -> tuple[Model, Champion]:
        """Train the first model, the same one for all policies."""
        try:
            first = self.workshop.model(0)
        except (TrainingFailed, TooFewRows) as error:
            raise Failure(f"the first model cannot be trained: {error}") from error
        evaluation = "evaluation-0"
        try:
            _, verdict = self.judges.evaluate(first, None, first.split("test"), evaluation)
        except NotEvaluated as error:
            raise Failure(f"the first {error}") from error
        told = "; ".join(rule["reason"] for rule in verdict["rules"])
        at = self.history.as_of(0)
        passed = (
            "passed the gate"
            if verdict["passed"]
            else "did not pass the gate and serves all the same, as nothing else does"
        )
        self._event(0, "start", f"model {first.name} of {sum(first.rows.values()):,} rows {passed}: {told}")
        rows = self.history.labelled(0).num_rows
        asked = Ask("manual", at, rows, 0.0, "step-0", "start", serves=False)
        self.state = begun(self.state, asked, decide(self.policy, self.state, asked))
        self.state = ended(self.state, "step-0", "promoted", at)
        return first, Champion(first, evaluation, self.judges.make_baseline(first, evaluation))

    def _serve(self, step: int, serving: Mapping[str, Model], champion: Champion) -> None:
        rows = self.history.served(step)
        for name, model in serving.items():
            answers = self.workshop.answers(model, step, rows)
            self.lines[name].steps.append(
                {
                    "step": self.history.steps[step - 1].label,
                    "begin": self.history.steps[step - 1].begin.isoformat(),
                    "end": self.history.steps[step - 1].end.isoformat(),
                    "rows": rows.num_rows,
                    "quality": self.judges.quality(rows, answers) if answers else None,
                    "model": model.name,
                }
            )
        champion.served.append((rows, self.workshop.answers(champion.model, step, rows)))

    def _retrain_always(self, step: int, newest: Model) -> Model:
        line = self.lines[ALWAYS]
        line.retrains += 1
        found = self._entry(step, trigger="schedule", retrain=True, text="retrains: every step does")
        line.decisions.append(found)
        try:
            model = self.workshop.model(step)
        except (TrainingFailed, TooFewRows) as error:
            found |= {"outcome": "failed", "why": str(error)}
            return newest
        found |= {"outcome": "promoted", "model": model.name}
        return model

    # -- Gapless

    def _decide(self, step: int, champion: Champion) -> tuple[Champion, str]:
        """Look at what was served, let the monitor's findings ask, and train if one of them may."""
        triggers = self._look(step, champion)
        if not triggers:
            text = "did not retrain because the monitor found nothing that asks for it"
            self.lines[GAPLESS].decisions.append(self._entry(step, trigger=None, retrain=False, text=text))
            return champion, text
        at, rows = self.history.as_of(step), self.history.labelled(step).num_rows
        for trigger, why in triggers.items():
            asked = Ask(trigger, at, rows, 0.0, f"step-{step}", f"{step}-{trigger}")
            decision = decide(self.policy, self.state, asked)
            found = self._entry(step, trigger=trigger, retrain=decision.retrain, text=decision.text)
            self.lines[GAPLESS].decisions.append(found)
            self._event(step, "decision", f"{why}: {decision.text}")
            if decision.retrain:
                return self._challenge(step, champion, asked, decision, found)
        return champion, decision.text

    def _look(self, step: int, champion: Champion) -> dict[Any, str]:
        """Monitor a step; give who asks for a training, and why."""
        rows, answers = self._window(step, champion)
        if not rows.num_rows:
            return {}
        served = Served(rows, answers, self.workshop.features(champion.model), self.history.label_delay)
        found = self.judges.monitor(champion.baseline, served, self.history.as_of(step), f"monitor-{step}")
        asks: dict[Any, str] = {}
        for family in [*ASKS, *(name for name in found["families"] if name not in ASKS)]:
            if not found["families"].get(family, {}).get("violations"):
                continue
            texts = [each["text"] for each in found["violations"] if each["check"] in FAMILIES[family]]
            more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
            self._event(step, "alarm", f"{family}: {texts[0]}{more}")
            if family in ASKS:
                asks[family] = f"{family} alarm"
        return asks

    def _window(self, step: int, champion: Champion) -> tuple[pa.Table, list[Prediction]]:
        """The rows of a step and of the label delay before it, more where these are few, as one model answered them."""
        table = pa.concat_tables([rows for rows, _ in champion.served])
        answers = [answer for _, some in champion.served for answer in some]
        wanted = between(table, self.history.steps[step - 1].begin - self.history.label_delay, None).num_rows
        few = min(table.num_rows, max(wanted, 2 * FEWEST_LABELS))
        return table.slice(table.num_rows - few), answers[len(answers) - few :]

    def _challenge(
        self, step: int, champion: Champion, asked: Ask, decision: Decision, found: Document
    ) -> tuple[Champion, str]:
        """Train on several windows, choose one by back-test, and let the gate compare it with the champion."""
        self.state = begun(self.state, asked, decision)
        self.lines[GAPLESS].retrains += 1
        try:
            model, tried = self._choose(step)
        except (TrainingFailed, TooFewRows) as error:
            return champion, self._end(step, "failed", f"the training failed: {error}", found)
        evaluation = f"evaluation-{step}"
        try:
            figures, verdict = self.judges.evaluate(model, champion.model, model.split("test"), evaluation)
        except NotEvaluated as error:
            return champion, self._end(step, "failed", f"challenger {error}", found)
        found |= {
            "model": model.name,
            "window_days": model.window_days,
            "candidates": tried,
            "gate": [
                {"rule": rule["rule"], "passed": rule["passed"], "reason": rule["reason"]} for rule in verdict["rules"]
            ],
            "comparison": figures["champion"]["comparison"].get(self.judges.metric),
        }
        window = "all events" if model.window_days is None else f"the last {model.window_days} days"
        if verdict["passed"]:
            reasons = "; ".join(rule["reason"] for rule in verdict["rules"])
            text = self._end(step, "promoted", f"challenger {model.name} of {window} takes over: {reasons}", found)
            return Champion(model, evaluation, self.judges.make_baseline(model, evaluation)), text
        reasons = "; ".join(rule["reason"] for rule in verdict["rules"] if not rule["passed"])
        return champion, self._end(step, "refused", f"challenger {model.name} of {window} is refused: {reasons}", found)

    def _choose(self, step: int) -> tuple[Model, list[Document]]:
        """Choose a window by back-test and train on it; give the model, and what each window reached.

        A window is worth what models of it that were trained one step earlier have reached in the step after, in the
        last few steps: just what is asked of it now.
        """
        windows, found = self.workshop.windows(step), []
        backs = range(max(step - BACK_TEST_STEPS, 0), step)
        self.workshop.begin((back, each) for back in backs for each in windows if each in self.workshop.windows(back))
        for window in windows:
            pairs = [self._back_test(back, window, step) for back in backs]
            found.append(worth(pairs, higher_is_better=self.judges.higher_is_better))
        tried = [{"window_days": window, **asdict(each)} for window, each in zip(windows, found, strict=True)]
        return self.workshop.model(step, windows[best(found)]), tried

    def _back_test(self, back: int, window: int | None, step: int) -> tuple[float | None, float | None]:
        """What models of a window and of all events, trained at the end of an earlier step, reached in the next one.

        Only labels that are known at the end of ``step`` count.
        """
        if window not in self.workshop.windows(back):
            return None, None
        rows = self.history.served(back + 1)
        known = between(rows, None, self.history.as_of(step) - self.history.label_delay)
        found = []
        for days in (window, None):
            answers = self.workshop.answers(self.workshop.model(back, days), back + 1, rows)
            found.append(self.judges.quality(known, answers[: known.num_rows]) if known.num_rows else None)
        return found[0], found[1]

    def _end(self, step: int, outcome: Outcome, text: str, found: Document) -> str:
        self.state = ended(self.state, f"step-{step}", outcome, self.history.as_of(step))
        found["outcome"] = outcome
        self._event(step, outcome, text)
        return text

    # -- what is written

    def _entry(self, step: int, **more: Any) -> Document:
        return {"step": self.history.steps[step - 1].label, "as_of": self.history.as_of(step).isoformat(), **more}

    def _event(self, step: int, kind: str, text: str) -> None:
        self.events.append({"at": self.history.as_of(step).isoformat(), "kind": kind, "text": text})

    def document(self) -> Document:
        """Give ``story.json``."""
        history = self.history
        return {
            "workload": history.workload.name,
            "problem": history.workload.problem,
            "metric": self.judges.metric,
            "higher_is_better": self.judges.higher_is_better,
            "rows": history.facts["rows"],
            "quarantined": history.facts["quarantined"],
            "dropped": history.facts["dropped"],
            "first_event": history.first.isoformat(),
            "start": history.as_of(0).isoformat(),
            "label_delay_seconds": history.label_delay.total_seconds(),
            **{name: line.document() for name, line in self.lines.items()},
            "trainings": self.workshop.trainings,
            "events": self.events,
        }
