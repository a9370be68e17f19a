"""On the deployed platform, month by month by the clock of its account.

Each month is lived through in the same order: clients ask for some of its rows on its last day, labels come as late as
they do, the batch of what is known by then lands, and the monitor's schedule starts by the clock. What follows is the
platform's own doing: alarms, what they ask for, what the policy says, challengers, the gate, rollouts.

After the last month a sabotaged model is pushed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from gapless_sagemaker.evaluation.split import rows_of
from gapless_sagemaker.monitoring.families import FAMILIES
from local.chain import Chain, ChainReader
from local.clock import account_now, move_clock
from local.demo import DemoOptions, Record, borrowed, prepare
from local.errors import Failure, UserError
from local.executions import RUNNING, SUCCEEDED, Execution, execution_arns, read_execution
from local.flights import YEAR, Months
from local.memory import PeakMemory
from local.monitor import record_of
from local.predict import golden_request, model_of, predict
from local.settings import Settings
from local.steps import LandRequest, Platform, step_land, step_run
from local.story.history import History, event_times
from local.story.project import make_project
from local.story.replay import Story
from local.story.rules import ASKS, CHOSEN
from local.story.sabotage import SABOTAGE, TIMEOUT_SECONDS, deployment_of, push
from local.story.schedule import Step
from local.watch import watch

WORKLOAD: Final = "flight_delays"
BATCH_MONTHS: Final = 4
"""A batch holds the flights of so many months, as the first one does."""

SAMPLE: Final = 20_000
ASKED: Final = 1_500
"""Rows of a month that clients ask for."""

PER_REQUEST: Final = 20
WAIT_SCALE: Final = 0.05
"""A bake is a quarter of a minute here, so that alarms see what goes on in it."""

SECTIONS: Final = {
    "monitoring": {"every": "day"},
    "retraining": {
        "cooldown_days": CHOSEN.cooldown_days,
        "max_per_week": CHOSEN.max_per_week,
        "min_new_labelled_rows": CHOSEN.min_new_labelled_rows,
        "backoff": CHOSEN.backoff,
        "triggers": list(ASKS),
    },
}
"""What the workload has here besides its own file: the monitor, and the rules of the story."""

_ASKED_AT: Final = dt.timedelta(hours=10)
_LABELS_AT: Final = dt.timedelta(hours=22)
_LANDS_AT: Final = dt.timedelta(hours=24, minutes=30)
_LOOKS_AT: Final = dt.timedelta(hours=25, minutes=24)
"""Within the last day of a month and the night after it; by the last of them the monitor's schedule is due."""

_MONITORED_AT: Final = dt.timedelta(hours=1, minutes=23)
"""When that is due each day."""

_DAY: Final = dt.timedelta(days=1)
_LOOK_SECONDS: Final = 0.5
_ALARM_SECONDS: Final = 60.0

Document = dict[str, Any]
_T = TypeVar("_T")


@dataclass
class Traffic:
    """Requests of a client that asks all the time.

    Attributes:
        answered, failed: How many there were of each.
    """

    target: Platform
    answered: int = 0
    failed: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask until told to stop; what goes wrong is counted, as a client would."""
        request = golden_request(self.target.settings)
        model = model_of(self.target.settings, request)
        while not self._stopped.wait(0.05):
            try:
                predict(self.target.aws, self.target.outputs, request, model)
                self.answered += 1
            except (Failure, ClientError, BotoCoreError):
                self.failed += 1

    @contextmanager
    def going_on(self) -> Iterator[Traffic]:
        """Ask while the block runs."""
        thread = threading.Thread(target=self.ask, name="traffic", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join(30)

    def told(self) -> str:
        """What clients saw."""
        return f"{self.answered:,} requests answered meanwhile, {self.failed:,} not"


@dataclass(frozen=True)
class Told:
    """What the live part came to.

    Attributes:
        events: In order.
        months: What each month came to.
    """

    events: list[Document]
    months: list[Document]


def check_live(history: History) -> None:
    """See that a story can be lived through as well.

    Raises:
        UserError: It is another workload's, or does not go by months of 2013.
    """
    steps = history.steps
    by_month = all(
        step.label == f"{YEAR}-{step.begin.month:02}" and step.begin.day == 1 and step.begin.month > BATCH_MONTHS
        for step in steps
    )
    if history.workload.name != WORKLOAD or not by_month:
        raise UserError(
            f"--live with {history.workload.name} in steps from {steps[0].label} to {steps[-1].label} "
            f"(allowed: {WORKLOAD} by month, from the first of May {YEAR} or of a later month on)"
        )


def run_live(settings: Settings, story: Story, console: Console) -> Told:
    """Deploy, live through the months, push a sabotaged model.

    Args:
        settings: A platform of its own.
        story: The same months as they were told: their rows as they were known, and the answers of each policy.
        console: Hears what happens.

    Raises:
        Failure: A step failed, or went otherwise than it has to: the sabotaged model stayed.
    """
    settings.prepare()
    settings = replace(settings, project=make_project(settings.cache_dir / "project", settings.workload_dir, SECTIONS))
    history = story.history
    begin = history.as_of(0)
    options = DemoOptions(_batch(history.steps[0], -1, begin), False, TIMEOUT_SECONDS, WAIT_SCALE, clock=begin)
    record = Record()
    with borrowed(settings, options, record), PeakMemory({os.getpid()}) as memory:
        target = prepare(settings, options, record, memory, console)
        live = Live(target, story, console)
        live.begin(options.landing)
        for step in history.steps:
            live.month(step)
        live.sabotage()
    return Told(live.events, live.months)


def _batch(step: Step, ahead: int, as_of: dt.datetime) -> LandRequest:
    """The last months up to the one of a step, or up to the one before it."""
    last = step.begin.month + ahead
    return LandRequest(Months(last - BATCH_MONTHS + 1, last), SAMPLE, as_of=as_of)


@dataclass
class Live:
    """A deployed platform that lives through months.

    Attributes:
        events, months: What has happened.
    """

    target: Platform
    story: Story
    console: Console
    events: list[Document] = field(default_factory=list)
    months: list[Document] = field(default_factory=list)
    serving: Chain | None = None

    @property
    def history(self) -> History:
        """The months, with their rows as they were known."""
        return self.story.history

    def begin(self, request: LandRequest) -> None:
        """Wait until the first model serves."""
        chain = step_run(
            self.target, step_land(self.target, request, self.quiet), self.quiet, timeout_seconds=TIMEOUT_SECONDS
        )
        if chain.of("deployment") is None:
            raise Failure(f"no first model serves: run {chain.run_id}: {chain.outcome()}")
        self.serving = chain
        self._tell("rollout", f"{_short_of(chain)} is the first that serves")

    @property
    def quiet(self) -> Console:
        """Where steps tell what nobody needs to read."""
        return Console(quiet=True)

    # -- time

    @property
    def now(self) -> dt.datetime:
        """What the account's clock says."""
        return account_now(self.target.settings)

    def _pass_to(self, moment: dt.datetime) -> dict[str, str]:
        """Set the clock once nothing is under way; give the record of what the monitor saw, if it was due by then."""
        self._until(self._is_at_rest, "the end of all that is under way")
        machine = str(self.target.outputs.monitoring_machine_arn)
        before = set(execution_arns(self.target.aws, machine))
        due = (self.now - _MONITORED_AT).date() < (moment - _MONITORED_AT).date()
        move_clock(self.target.settings, moment)
        if not due:
            return {}

        def looked() -> Execution | None:
            new = [arn for arn in execution_arns(self.target.aws, machine) if arn not in before]
            execution = read_execution(self.target.aws, "monitor", new[0]) if new else None
            return None if execution is None or execution.status == RUNNING else execution

        execution = self._until(looked, "what the monitor's schedule starts")
        if execution.status != SUCCEEDED:
            raise Failure(f"the monitor failed: {execution.error}: {execution.cause}")
        return record_of(self.target, execution.input["run_id"])

    def _is_at_rest(self) -> bool:
        """Whether no execution runs, and no event waits for one."""
        outputs, functions = self.target.outputs, self.target.aws.client("stepfunctions")
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        waiting = self.target.aws.client("sqs").get_queue_attributes(
            QueueUrl=outputs.intake_queue_url, AttributeNames=list(counts)
        )["Attributes"]
        return not any(int(waiting[name]) for name in counts) and not any(
            functions.list_executions(stateMachineArn=arn, statusFilter="RUNNING", maxResults=1)["executions"]
            for arn in [*outputs.machines.values(), outputs.monitoring_machine_arn]
        )

    # -- a month

    def month(self, step: Step) -> None:
        """Live through a month and what it sets off."""
        day = (step.end - _DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        self._pass_to(day + _ASKED_AT)
        rows = _spread(self.history.served(step.number), ASKED)
        asked = self._ask(rows)
        self._pass_to(day + _LABELS_AT)
        labels = self._bring_labels(rows, asked)
        self._pass_to(day + _LANDS_AT)
        last = self._land(step, day + _DAY - self.history.label_delay)
        self._note(step, rows, asked, {"labels": labels, "last_event": last})
        known = set(self._loops())
        found = self._pass_to(day + _LOOKS_AT)
        with Traffic(self.target).going_on() as traffic:
            self._react(found, known, traffic)

    def _ask(self, rows: pa.Table) -> list[tuple[str, list[Document]]]:
        """Ask the endpoint for rows, some with each request; give each request's id and its answers."""
        runtime, outputs = self.target.aws.client("sagemaker-runtime"), self.target.outputs
        features = list(self.history.workload.features)
        instances = [row for some in rows_of(rows.select(features)) for row in some]
        found = []
        for start in range(0, len(instances), PER_REQUEST):
            name = f"{rows_id(self.months)}-{start}"
            answer = runtime.invoke_endpoint(
                EndpointName=outputs.endpoint_name,
                ContentType="application/json",
                InferenceId=name,
                Body=json.dumps({"instances": instances[start : start + PER_REQUEST]}),
            )
            found.append((name, json.loads(answer["Body"].read())["predictions"]))
        folder = f"{self.history.workload.name}/capture/{outputs.endpoint_name}/"
        self._until(lambda: self._captured(folder) >= {name for name, _ in found}, "the capture of what was asked")
        return found

    def _captured(self, folder: str) -> set[str]:
        """The ids of all requests that were captured on this day."""
        now = self.now
        s3, bucket = self.target.aws.client("s3"), self.target.outputs.artefacts_bucket
        prefix = f"{folder}{self.target.outputs.variant_name}/{now:%Y/%m/%d}/"
        names: set[str] = set()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode()
                names |= {json.loads(line)["eventMetadata"].get("inferenceId", "") for line in body.splitlines()}
        return names

    def _bring_labels(self, rows: pa.Table, asked: Sequence[tuple[str, list[Document]]]) -> int:
        """Write the labels that are known by now; give of how many rows."""
        known = self.now - self.history.label_delay
        times, truth = event_times(rows), rows[self.history.workload.target].to_pylist()
        lines, count = [], 0
        for number, (name, answers) in enumerate(asked):
            start = number * PER_REQUEST
            if max(times[start : start + len(answers)]) < known:
                data = {"data": json.dumps(truth[start : start + len(answers)]), "encoding": "JSON"}
                lines.append({"groundTruthData": data, "eventMetadata": {"eventId": name}, "eventVersion": "0"})
                count += len(answers)
        self.target.aws.client("s3").put_object(
            Bucket=self.target.outputs.artefacts_bucket,
            Key=f"{self.history.workload.name}/outcomes/{asked[0][0]}.jsonl",
            Body="".join(f"{json.dumps(line)}\n" for line in lines).encode(),
        )
        return count

    def _land(self, step: Step, as_of: dt.datetime) -> str:
        """Land the batch of what is known by then, which trains nothing by itself; give its dataset's last event."""
        landed = step_land(self.target, _batch(step, 0, as_of), self.quiet)
        chain = step_run(self.target, landed, self.quiet, timeout_seconds=TIMEOUT_SECONDS)
        data = chain.of("data")
        if data is None or data.status != SUCCEEDED:
            raise Failure(f"no dataset came of the batch as of {landed.as_of}: {chain.outcome()}")
        return max(str(split["to"]) for split in data.output["dataset"]["splits"].values())

    def _note(self, step: Step, rows: pa.Table, asked: Sequence[tuple[str, list[Document]]], more: Document) -> None:
        """Keep how good the answers were, and those that the told policies gave to the same rows."""
        answers = [each for _, some in asked for each in some]
        whole = self.history.served(step.number)
        told = {}
        for name, line in self.story.lines.items():
            model = line.steps[step.number - 1]["model"]
            given = self.story.workshop.answered(model, step.number)
            told[name] = self.story.judges.quality(rows, [given[place] for place in _places(whole.num_rows, ASKED)])
        self.months.append(
            {
                "step": step.label,
                "begin": step.begin.isoformat(),
                "end": step.end.isoformat(),
                "rows": rows.num_rows,
                **more,
                "quality": self.story.judges.quality(rows, answers),
                "told": told,
                "model": _short_of(self.serving) if self.serving is not None else None,
            }
        )

    # -- what follows

    def _react(self, found: dict[str, str], known: set[str], traffic: Traffic) -> None:
        """Wait for all that the monitor's findings set off."""
        families, violations = json.loads(found["families"]), json.loads(found["violations"])
        broken = [family for family, each in families.items() if each["violations"]]
        self.months[-1]["families"] = families
        for family in broken:
            texts = [each["text"] for each in violations if each["check"] in FAMILIES[family]]
            more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
            self._tell("alarm", f"{family}: {texts[0] if texts else 'see its report'}{more}")
        asking = [family for family in broken if family in ASKS]
        if not asking:
            self._tell("decision", "the monitor found nothing that asks for a training")
            return
        runs = self._until(
            lambda: [run for run in self._loops() if run not in known] if self._gone_off(asking, known) else None,
            f"what the alarms on {', '.join(asking)} ask for",
        )
        for run in sorted(runs):
            self._decided(run, traffic)

    def _gone_off(self, asking: Sequence[str], known: set[str]) -> bool:
        return len([run for run in self._loops() if run not in known]) >= len(asking)

    def _loops(self) -> list[str]:
        """The runs of the loop, the newest first."""
        return [arn.rpartition(":")[2] for arn in execution_arns(self.target.aws, self.target.outputs.loop_machine_arn)]

    def _decided(self, run: str, traffic: Traffic) -> None:
        """Wait for the end of a run of the loop and tell what it came to."""
        reader = ChainReader(self.target.aws, self.target.outputs, run)
        chain = watch(reader.read, self.quiet, timeout_seconds=TIMEOUT_SECONDS)
        if chain.failed is not None and chain.failed.machine != "deployment":
            raise Failure(f"run {run}: {chain.outcome()}: {chain.failed.error}: {chain.failed.cause}")
        loop = chain.of("loop")
        asked = loop.input.get("asked", {}) if loop is not None else {}
        who = f"{asked.get('trigger', 'somebody')} alarm"
        if chain.declined is not None:
            self._tell("decision", f"{who}: {chain.declined}")
            return
        decided = self._record(run).get("decision", "trains")
        self._tell("decision", f"{who}: {decided}")
        deployment = chain.of("deployment")
        if chain.package is None:
            self._tell("refused", f"the challenger of run {run} is refused: {_reasons(chain)}")
        elif deployment is not None and deployment.status == SUCCEEDED:
            self.serving = chain
            states = ", ".join(_guarded(deployment))
            self._tell("rollout", f"{_short_of(chain)} is rolled out by canary: {states}; {traffic.told()}")
        else:
            cause = f"{deployment.error}: {deployment.cause}" if deployment is not None else chain.outcome()
            self._tell("rollback", f"{_short_of(chain)} is taken back: {cause}; {traffic.told()}")

    def _record(self, run: str) -> dict[str, str]:
        key = {"run": {"S": f"loop#{run}"}}
        item = self.target.aws.client("dynamodb").get_item(TableName=self.target.outputs.runs_table, Key=key)
        return {name: value["S"] for name, value in item.get("Item", {}).items() if "S" in value}

    # -- sabotage

    def sabotage(self) -> None:
        """Push the serving model with a broken feature.

        Raises:
            Failure: It serves.
        """
        if self.serving is None or self.serving.package is None:
            raise Failure("no model serves that could be sabotaged")
        with Traffic(self.target).going_on() as traffic:
            ended = deployment_of(self.target, push(self.target, self.serving.package.arn, SABOTAGE))
        arn = ended.input["model_package_arn"]
        if ended.status == SUCCEEDED:
            raise Failure(f"the sabotaged model {_short(arn)} was rolled out and stays")
        package = self.target.aws.client("sagemaker").describe_model_package(ModelPackageName=arn)
        self._tell(
            "rollback",
            f"sabotaged {_short(arn)} is taken back, {ended.error}: {ended.cause}; it is "
            f"{package['ModelApprovalStatus'].lower()}, the model before it serves on; {traffic.told()}",
        )

    # -- telling

    def _tell(self, kind: str, text: str) -> None:
        at = self.now.replace(microsecond=0)
        self.events.append({"at": at.isoformat(), "kind": kind, "text": text})
        self.console.print(f"{at:%Y-%m-%d %H:%M}  [bold]{kind}[/]  ", text[:160], highlight=False)

    def _until(self, look: Callable[[], _T | None], what: str) -> _T:
        """Look again and again until there is something.

        Raises:
            Failure: There was nothing in time.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(_LOOK_SECONDS)
        raise Failure(f"{what}: not within {TIMEOUT_SECONDS:.0f} s")


def rows_id(months: Sequence[Document]) -> str:
    """What requests of the next month are called."""
    return f"month-{len(months) + 1}"


def _places(rows: int, wanted: int) -> list[int]:
    """Which of so many rows are asked for, spread evenly."""
    count = min(rows, wanted)
    return [number * rows // count for number in range(count)]


def _spread(rows: pa.Table, wanted: int) -> pa.Table:
    return rows.take(_places(rows.num_rows, wanted))


def _reasons(chain: Chain) -> str:
    loop = chain.of("loop")
    rules = loop.output.get("rules", []) if loop is not None and isinstance(loop.output, dict) else []
    return "; ".join(rule["reason"] for rule in rules if not rule["passed"])


def _guarded(deployment: Execution) -> list[str]:
    return [state.name for state in deployment.states if "Endpoint" in state.name or "Golden" in state.name]


def _short_of(chain: Chain) -> str:
    return _short(chain.package.arn) if chain.package is not None else f"run {chain.run_id}: {chain.outcome()}"


def _short(arn: str) -> str:
    return arn.partition("/")[2]
