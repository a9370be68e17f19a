"""A workload in memory: the deployed rules and alarms, the real starter and the real clerk, and a loop that is played.

What is real: the event patterns and alarms of the synthesised template, the function that starts executions, the
function that decides, and the policy that the template gives it. What is played: the tables (conditional writes
included), the queue, the clock, the jobs, and the loop machine, whose order of states a test of its own holds.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from decide_retrain.handler import Clerk
from decide_retrain.handler import Settings as ClerkSettings
from decide_retrain.policy import State
from decide_retrain.store import from_text
from start_execution import handler as starter

WORKLOAD = "flight_delays"
START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(hours=48)
FAMILIES = ("schema", "completeness", "drift", "predictions", "quality", "bias", "attributions")
GROUP = "dev-flight-delays-models"
POINTER = "flight_delays/bundles/current.json"


class Died(Exception):
    """The starter's process has ended in the middle of a call."""


class Broken(AssertionError):
    """A promise does not hold."""


# --- what AWS does ---------------------------------------------------------------------------------------------------


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Whether an event fits a pattern of EventBridge: texts, and wildcards."""
    return isinstance(event, dict) and all(
        name in event and _fits(wanted, event[name]) for name, wanted in pattern.items()
    )


def _fits(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return matches(wanted, value)
    return any(_same(each, value) for each in wanted)


def _same(each: Any, value: Any) -> bool:
    if not isinstance(each, Mapping):
        return bool(each == value)
    (wildcard,) = each.values()
    return re.fullmatch(".*".join(re.escape(part) for part in wildcard.split("*")), value) is not None


class Tables:
    """The tables, as far as the two functions use them; every call may be the last one of its process."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, ...], dict[str, Any]] = {}
        self.calls_left: int | None = None

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        assert ConsistentRead
        self._call()
        item = self.items.get(_key(TableName, Key))
        return {"Item": json.loads(json.dumps(item))} if item is not None else {}

    def put_item(self, *, TableName: str, Item: dict[str, Any], **asked: Any) -> None:
        self._call()
        self._check(self.items.get(_key(TableName, Item)), asked)
        self.items[_key(TableName, Item)] = json.loads(json.dumps(Item))

    def update_item(self, *, TableName: str, Key: dict[str, Any], UpdateExpression: str, **asked: Any) -> None:
        self._call()
        item = self.items[_key(TableName, Key)]
        self._check(item, asked)
        for change in UpdateExpression.removeprefix("SET ").split(", "):
            place, value = change.split(" = ")
            names = [asked["ExpressionAttributeNames"].get(part, part) for part in place.split(".")]
            within = item if len(names) == 1 else item[names[0]]["M"]
            within[names[-1]] = asked["ExpressionAttributeValues"][value]

    def _check(self, item: dict[str, Any] | None, asked: Mapping[str, Any]) -> None:
        values = {name: next(iter(each.values())) for name, each in asked.get("ExpressionAttributeValues", {}).items()}
        event = asked.get("ExpressionAttributeNames", {}).get("#event")
        conditions: dict[str | None, Callable[[], bool]] = {
            None: lambda: True,
            "attribute_not_exists(run)": lambda: item is None,
            "attribute_not_exists(run) OR as_of <= :as_of": lambda: (
                item is None or item["as_of"]["S"] <= values[":as_of"]
            ),
            "version = :version": lambda: item is not None and item["version"]["N"] == values[":version"],
            "attempt = :attempt": lambda: item is not None and item["attempt"]["N"] == values[":attempt"],
            "attempt = :recorded AND attribute_not_exists(reruns.#event)": lambda: (
                item is not None and item["attempt"]["N"] == values[":recorded"] and event not in item["reruns"]["M"]
            ),
        }
        if not conditions[asked.get("ConditionExpression")]():
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "Write")

    def _call(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Died


def _key(table: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    names = {"runs": ("run",), "leases": ("lease",), "audit": ("workload", "event")}[table]
    return (table, *(item[name]["S"] for name in names))


# --- what was deployed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deployed:
    """What the template of the workload's stack says.

    Args:
        patterns: Event patterns of rules whose target is the intake's queue.
        scheduled: How many rules put an event on the queue by the clock.
        alarms: Name to properties, of the monitor's alarms; one that tells nobody itself has the actions of the
            composite alarm that looks at it.
        policy: The policy that the deciding function is given.
        policy_arn: The function that the starter tells of rejected models; None where it tells nobody.
    """

    patterns: tuple[Mapping[str, Any], ...]
    scheduled: int
    alarms: Mapping[str, Mapping[str, Any]]
    policy: str
    policy_arn: str | None

    @staticmethod
    def of(template: Mapping[str, Any]) -> Deployed:
        """Reads a template."""
        resources = template["Resources"]
        found = {name: each["Properties"] for name, each in resources.items()}
        rules = [each for name, each in found.items() if resources[name]["Type"] == "AWS::Events::Rule"]
        fed = [each for each in rules if "IntakeQueue" in json.dumps(each["Targets"][0]["Arn"])]
        incidents = [
            each for name, each in found.items() if resources[name]["Type"] == "AWS::CloudWatch::CompositeAlarm"
        ]
        alarms = [
            {**_told_by(name, incidents), **each}
            for name, each in found.items()
            if resources[name]["Type"] == "AWS::CloudWatch::Alarm"
        ]
        functions = {name: each for name, each in found.items() if resources[name]["Type"] == "AWS::Lambda::Function"}
        ((deciding, policy),) = _set_to("POLICY", functions).items()
        told = _set_to("DECIDE_RETRAIN_ARN", functions).values()
        monitor = {f"dev-flight-delays-monitor-{family}" for family in FAMILIES}
        return Deployed(
            patterns=tuple(_resolved(each["EventPattern"]) for each in fed if "EventPattern" in each),
            scheduled=sum("ScheduleExpression" in each for each in fed),
            alarms={each["AlarmName"]: each for each in alarms if each.get("AlarmName") in monitor},
            policy=policy,
            policy_arn=deciding if [{"Fn::GetAtt": [deciding, "Arn"]}] == list(told) else None,
        )


def _set_to(variable: str, functions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a variable of the environment is, by the logical ids of the functions that have it."""
    environments = {name: each["Environment"].get("Variables", {}) for name, each in functions.items()}
    return {name: each[variable] for name, each in environments.items() if variable in each}


def _told_by(alarm: str, incidents: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The actions of the composite alarms that go off with an alarm, given its logical id."""
    over = [each for each in incidents if {"Ref": alarm} in each["AlarmRule"]["Fn::Join"][1]]
    return {kind: [action for each in over for action in each[kind]] for kind in ("AlarmActions", "OKActions")}


# --- what is played --------------------------------------------------------------------------------------------------


@dataclass
class Execution:
    """An execution of the loop machine.

    Args:
        at: ``lease``, ``training``, ``deploying`` or ``done``.
        champion: The model that it was judged against.
        learnt: Where the world was when it was trained.
        since: When it got the lease.
        helped: Whether its model was let through and stayed; None until it was judged.
    """

    input: dict[str, Any]
    at: str = "lease"
    champion: str | None = None
    learnt: float = 0.0
    since: datetime = START
    helped: bool | None = None

    @property
    def run_id(self) -> str:
        return str(self.input["run_id"])


@dataclass
class World:
    """One workload; time passes, things happen, and promises are held after each of them.

    Args:
        deployed: What was deployed.
    """

    deployed: Deployed
    tables: Tables = field(default_factory=Tables)
    now: datetime = START
    concept: float = 0.0
    queue: list[dict[str, Any]] = field(default_factory=list)
    loops: dict[str, Execution] = field(default_factory=dict)
    alarm_states: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    bundle: int = 0
    begun: list[tuple[datetime, bool]] = field(default_factory=list)
    models: dict[str, float] = field(default_factory=dict)
    live: str | None = None
    previous: str | None = None
    rejected: set[str | None] = field(default_factory=set)
    judged: list[Execution] = field(default_factory=list)
    lease_until: datetime = START
    events: int = 0

    # -- the outside

    def wait(self, hours: float) -> None:
        """Time passes. What takes too long is ended by its own limit, which is shorter than the lease."""
        until = self.now + timedelta(hours=hours)
        while self.now < until:
            self.now = min(until, self.now + timedelta(hours=3))
            for run in self.loops.values():
                if run.at == "training" and self.now - run.since > timedelta(hours=36):
                    self._train(run, "fails")
                if run.at == "deploying" and self.now - run.since > timedelta(hours=42):
                    self._deploy(run, "fails")

    def land(self, age: int, rows: int) -> None:
        """A batch with the rows of the days until some days ago."""
        as_of = self.now - timedelta(days=age)
        key = f"{WORKLOAD}/batch-{len(self.batches)}/_batch.json"
        self.batches[key] = {"workload": WORKLOAD, "as_of": _text(as_of), "files": [], "rows": rows}
        self.put("aws.s3", "Object Created", {"bucket": {"name": "landing"}, "object": {"key": key}})

    def look(self, broken: Mapping[str, int | None]) -> None:
        """The monitor publishes what it found, and each alarm goes where its definition says."""
        for name, alarm in self.deployed.alarms.items():
            value = broken.get(name.rpartition("-")[2])
            breaches = value is not None and value >= alarm["Threshold"]
            if value is None and alarm["TreatMissingData"] != "notBreaching":
                raise Broken(f"{name} goes off when nothing is known")
            self.turn(name, "ALARM" if breaches else "OK")

    def turn(self, name: str, state: str) -> None:
        """An alarm changes its state: people are told, and so is the bus."""
        if self.alarm_states.get(name, "OK") == state:
            return
        self.alarm_states[name] = state
        actions = self.deployed.alarms[name]["AlarmActions" if state == "ALARM" else "OKActions"]
        if not actions:
            raise Broken(f"nobody is told that {name} is {state}")
        self.told.append(name)
        self.put("aws.cloudwatch", "CloudWatch Alarm State Change", {"alarmName": name, "state": {"value": state}})

    def tick(self) -> None:
        """The clock asks."""
        for _ in range(self.deployed.scheduled):
            self.queue.append(self._event("aws.events", "Scheduled Event", {}))

    def ask(self) -> None:
        """A person asks."""
        self.put("gapless", "Retrain Requested", {"workload": WORKLOAD, "by": "ada", "reason": "I want to know"})

    def publish(self) -> None:
        """New scripts are published, and the newest run is to run once more with them."""
        self.bundle += 1
        newest = list(self.loops.values())[-1:]
        for each in newest:
            detail = {"workload": WORKLOAD, "run_key": each.input["run_key"], "bundle": str(self.bundle)}
            self.put("gapless", "Re-run Requested", detail)

    def roll_back(self) -> None:
        """The version before serves again: by a person, by score, or because late labels say so on probation."""
        if self.live is not None and self.previous is not None:
            left, self.live, self.previous = self.live, self.previous, None
            self._reject(left)

    def _reject(self, model: str) -> None:
        """A model loses its approval. Its training has not helped, as long as the policy remembers it."""
        self.rejected.add(model)
        self.loops[model].helped = False
        detail = {"ModelPackageGroupName": GROUP, "ModelPackageArn": model, "ModelApprovalStatus": "Rejected"}
        self.put("aws.sagemaker", "SageMaker Model Package State Change", detail)

    def put(self, source: str, kind: str, detail: dict[str, Any]) -> None:
        """An event comes to the bus; the queue gets it once for every rule that it fits."""
        event = self._event(source, kind, detail)
        self.queue += [event for pattern in self.deployed.patterns if matches(pattern, event)]

    def _event(self, source: str, kind: str, detail: dict[str, Any]) -> dict[str, Any]:
        self.events += 1
        at = _text(self.now)
        return {"id": f"e{self.events}", "source": source, "detail-type": kind, "time": at, "detail": detail}

    # -- the starter

    def deliver(self, position: int, *, twice: bool = False, dies_after: int | None = None) -> None:
        """A message of the queue reaches the starter, which may die on the way; then it comes again."""
        if not self.queue:
            return
        event = self.queue[position % len(self.queue)]
        self.tables.calls_left = dies_after
        try:
            starter.start(event, _STARTER)
        except Died:
            return
        finally:
            self.tables.calls_left = None
        if not twice:
            self.queue.remove(event)

    def client(self, service: str) -> Any:
        """What the starter gets instead of AWS."""
        if service == "dynamodb":
            return self.tables
        if service == "s3":
            return SimpleNamespace(get_object=self._get_object)
        if service == "sagemaker":
            return SimpleNamespace(describe_model_package=self._describe_package)
        if service == "lambda":
            return SimpleNamespace(invoke=self._invoke)
        assert service == "stepfunctions"
        return SimpleNamespace(start_execution=self._start, exceptions=SimpleNamespace(ExecutionAlreadyExists=KeyError))

    def _get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        current = {"bundle": str(self.bundle), "uri": "s3://artefacts/b", "commit": "c"}
        content = current if (Bucket, Key) == ("artefacts", POINTER) else self.batches[Key]
        return {"Body": io.BytesIO(json.dumps(content).encode())}

    def _describe_package(self, *, ModelPackageName: str) -> dict[str, Any]:
        return {"CustomerMetadataProperties": {"run_id": ModelPackageName}}

    def _invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == self.deployed.policy_arn
        told = json.loads(Payload)
        assert told.pop("action") == "taken_back"
        if self._remembered().training(told["run_id"]) is None:
            self.loops[told["run_id"]].helped = True
        self._clerk().take_back(told)
        return {}

    def _start(self, *, stateMachineArn: str, name: str, input: str) -> None:
        assert stateMachineArn == "loop"
        if name in self.loops:
            raise KeyError(name)
        self.loops[name] = Execution(json.loads(input))

    # -- the loop

    def advance(self, position: int, luck: str) -> None:
        """An execution of the loop takes its next step.

        Args:
            position: Which.
            luck: ``good``, ``poor`` (the model, or its rollout, is bad), ``fails`` or ``lost`` (never heard of again).
        """
        going = [each for each in self.loops.values() if each.at != "done"]
        if not going:
            return
        run = going[position % len(going)]
        {"lease": self._take_lease, "training": self._train, "deploying": self._deploy}[run.at](run, luck)

    def _take_lease(self, run: Execution, luck: str) -> None:
        if self._lease_is_taken(run):
            return
        self.lease_until, run.since = self.now + LEASE, self.now
        self.tables.items["leases", WORKLOAD] = {"lease": {"S": WORKLOAD}, "owner": {"S": run.run_id}}
        if luck == "lost":
            run.at = "done"
            return
        batch = self.batches[run.input["batch_uri"].removeprefix("s3://landing/")]
        to = datetime.fromisoformat(batch["as_of"])
        train = {"rows": batch["rows"], "from": _text(to - timedelta(days=30)), "to": batch["as_of"]}
        answer = self._clerk().decide(
            {
                **self._of(run),
                "decision_id": f"{run.run_id}-0",
                "event": run.input.get("asked", run.input["triggered_by"])["event"],
                "dataset": {"version": batch["as_of"], "splits": {"train": train}},
            }
        )
        if not answer["retrain"]:
            self._end(run)
            return
        if any(each.at == "training" for each in self.loops.values()):
            raise Broken("two loops train at once")
        run.at, run.champion, run.learnt = "training", self.live, self.concept
        asked = datetime.fromisoformat(run.input.get("asked", run.input)["as_of"])
        self.begun.append((asked, self.live is not None))
        self._check_storm()

    def _lease_is_taken(self, run: Execution) -> bool:
        lease = self.tables.items.get(("leases", WORKLOAD))
        return lease is not None and lease["owner"]["S"] != run.run_id and self.now < self.lease_until

    def _train(self, run: Execution, luck: str) -> None:
        if luck == "lost":
            run.at = "done"
            return
        if luck == "fails":
            self._clerk().end({**self._of(run), "outcome": "failed"})
            self._end(run)
            return
        self.models[run.run_id] = run.learnt + (5.0 if luck == "poor" else 0.0)
        better = run.champion is None or self._loss(run.run_id) < self._loss(run.champion)
        self._clerk().end({**self._of(run), "outcome": "promoted" if better else "refused"})
        run.helped = better
        self.judged.append(run)
        if better:
            run.at = "deploying"
        else:
            self._end(run)

    def _deploy(self, run: Execution, luck: str) -> None:
        if luck == "good":
            if self.live != run.champion and run.champion not in self.rejected:
                raise Broken(f"{run.run_id} was better than {run.champion}, and takes the place of {self.live}")
            self.live, self.previous = run.run_id, self.live
            self.tables.items["runs", f"live#{WORKLOAD}"] = {"model_package_arn": {"S": run.run_id}}
        if luck == "poor":
            self._reject(run.run_id)
        if luck == "lost":
            run.at = "done"
        else:
            self._end(run)

    def _loss(self, model: str) -> float:
        return abs(self.models[model] - self.concept)

    def _end(self, run: Execution) -> None:
        run.at = "done"
        lease = self.tables.items.get(("leases", WORKLOAD))
        if lease is not None and lease["owner"]["S"] == run.run_id:
            del self.tables.items["leases", WORKLOAD]

    def _of(self, run: Execution) -> dict[str, Any]:
        return {"run_id": run.run_id, "as_of": run.input["as_of"], "asked": run.input.get("asked", {})}

    def _clerk(self) -> Clerk:
        return Clerk(ClerkSettings(WORKLOAD, "runs", "leases", "audit", self.deployed.policy), self.tables)

    # -- the promises

    def _check_storm(self) -> None:
        """Trainings beside a model that serves are no more than the policy lets be in seven days and in a month."""
        policy = json.loads(self.deployed.policy)
        most, month = policy["max_per_week"], self.begun[-1][0].strftime("%Y-%m")
        usd = policy["expected_usd"] * sum(at.strftime("%Y-%m") == month for at, _ in self.begun)
        if self.begun[-1][1] and usd > policy["monthly_budget_usd"]:
            raise Broken(f"trainings of {month} cost {usd} USD")
        instants = [at for at, serves in self.begun if serves]
        for first in instants:
            if sum(first <= at < first + timedelta(days=7) for at in instants) > most:
                raise Broken(f"more than {most} trainings within seven days of {first}")

    def come_to_rest(self) -> None:
        """When nothing more comes from outside, everything ends, and a later batch may train again."""
        for _ in self._bounded("the queue never empties"):
            if not self.queue:
                break
            self.deliver(0)
        for _ in self._bounded("the loop never comes to rest"):
            if all(each.at == "done" for each in self.loops.values()):
                break
            for position in range(len(self.loops)):
                self.advance(position, "good")
            self.wait(3)
        if self.queue:
            raise Broken("a loop has asked for another one")
        self._check_row()
        decided = {item["run"]["S"] for key, item in self.tables.items.items() if key[0] == "audit" and "run" in item}
        if not decided <= set(self.loops):
            raise Broken(f"decisions on runs that there are not: {decided - set(self.loops)}")

    def _check_row(self) -> None:
        """The policy counts as many trainings in a row that did not help as there were, later rollbacks included."""
        helped = [index for index, run in enumerate(self.judged) if run.helped]
        row = len(self.judged) - 1 - helped[-1] if helped else len(self.judged)
        counted = self._remembered().refused_in_a_row
        if counted != row:
            raise Broken(f"{row} trainings in a row did not help, and the policy counts {counted}")

    def _remembered(self) -> State:
        item = self.tables.items.get(("runs", f"retraining#{WORKLOAD}"))
        return from_text(item["memory"]["S"]).state if item is not None else State()

    def train_once_more(self) -> None:
        """Whatever has happened, a batch that lands much later leads to a training."""
        before = len(self.begun)
        self.wait(100 * 24)
        self.land(0, 100_000)
        self.come_to_rest()
        if len(self.begun) == before:
            raise Broken("nothing will ever train again")

    def _bounded(self, what: str) -> Iterator[int]:
        yield from range(500)
        raise Broken(what)


_STARTER = starter.Settings("dev", WORKLOAD, "runs", "audit", "loop", "deploy", f"s3://artefacts/{POINTER}")


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _resolved(pattern: Any) -> Any:
    """A pattern without references; the only one that events here meet is the name of the landing bucket."""
    if isinstance(pattern, list):
        return [_resolved(each) for each in pattern]
    if not isinstance(pattern, dict):
        return pattern
    if len(pattern) == 1 and next(iter(pattern)).startswith(("Fn::", "Ref")):
        return "landing"
    return {name: _resolved(each) for name, each in pattern.items()}
