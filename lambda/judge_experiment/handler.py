"""Judges an experiment of two variants, or compares a shadow with the variant that answers.

The event is ``{"workload", "experiment": {"id", "champion", "challenger", "started_at"}, "as_of"}``, variants by their
names and times in ISO 8601; the answer is ``{"decision", "reason", "figures"}`` with ``promote``, ``stop`` or
``continue``. With ``"mode": "shadow"`` the challenger is a shadow variant, and the decision is always ``continue``.

Exposures are what was captured of the two variants since the experiment began, outcomes what was told under the
workload's prefix until ``as_of``. The judgement is written beside the artefacts and, once it is final, into the audit
table. A second call for the same ``as_of`` writes the same again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from gapless_lambda.captures import captured
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri
from gapless_lambda.settings import read_settings
from judge_experiment.decide import Guard, Judgement, Rules, Seen, judge
from judge_experiment.evidence import Counts, Evidence
from judge_experiment.losses import NoLoss, loss_of
from judge_experiment.measures import p99_ms, sums
from judge_experiment.records import BadRecord, parse_exposure, parse_outcome
from judge_experiment.sequential import Difference
from judge_experiment.shadow import Answers, Comparison
from judge_experiment.sources import told

MODES = ("test", "shadow")

log = get_logger(__name__)


class BadExperiment(Exception):
    """The event does not name an experiment."""


class Experiment(TypedDict):
    """Two variants, and since when they serve together."""

    id: str
    champion: str
    challenger: str
    started_at: str


class Event(TypedDict):
    """What is to be judged, and the instant that stands for now."""

    workload: str
    experiment: Experiment
    as_of: str
    mode: NotRequired[str]


@dataclass(frozen=True)
class Settings:
    """Where exposures, outcomes and judgements are (each ``s3://bucket/folder/``), and how is judged."""

    workload: str
    endpoint_name: str
    problem: str
    capture_uri: str
    outcomes_uri: str
    judgements_uri: str
    audit_table: str
    rules: str


@dataclass(frozen=True)
class Asked:
    """A checked event."""

    experiment: Experiment
    since: datetime
    until: datetime
    mode: str

    @property
    def days(self) -> float:
        """Since the experiment began."""
        return (self.until - self.since) / timedelta(days=1)


def parse_event(event: Mapping[str, Any], workload: str) -> Asked:
    """Checks an event.

    Raises:
        BadExperiment: Something is missing, or not what it has to be.
    """
    given, mode = event.get("experiment"), event.get("mode", "test")
    if event.get("workload") != workload:
        raise BadExperiment(f"workload: given {event.get('workload')!r}; allowed is {workload!r}")
    if mode not in MODES:
        raise BadExperiment(f"mode: given {mode!r}; allowed: {', '.join(MODES)}")
    names = tuple(Experiment.__annotations__)
    if not isinstance(given, dict) or not all(isinstance(given.get(name), str) and given[name] for name in names):
        raise BadExperiment(f"experiment: given {given!r:.200}; allowed is an object of texts with {', '.join(names)}")
    since, until = _instant("experiment.started_at", given["started_at"]), _instant("as_of", event.get("as_of"))
    if until < since:
        raise BadExperiment(f"as_of: given {event['as_of']}; allowed is an instant after {given['started_at']}")
    if given["champion"] == given["challenger"]:
        raise BadExperiment(
            f"experiment.challenger: is the champion, {given['champion']!r}; allowed is another variant"
        )
    experiment: Experiment = {**given}  # type: ignore[typeddict-item]
    return Asked(experiment, since, until, mode)


def _instant(field: str, text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadExperiment(f"{field}: given {text!r:.200}; allowed is an instant such as 2024-01-31T12:00:00Z")
    return moment.astimezone(UTC)


def judged(asked: Asked, settings: Settings, rules: Rules, folder: Path) -> Judgement:
    """Reads exposures and outcomes, and judges."""
    evidence = Evidence(folder / "evidence.sqlite", slow_ms=rules.slow_ms)
    try:
        refused = {"exposures": _expose(evidence, asked, settings), "outcomes": _tell(evidence, asked, settings)}
        seen, refused["pairs"] = weigh(evidence, asked, settings, rules)
        found = judge(seen, rules)
        arms = [evidence.counts(challenger=is_challenger) for is_challenger in (False, True)]
    finally:
        evidence.close()
    exposures = {"champion": arms[0].exposures, "challenger": arms[1].exposures}
    return Judgement(found.decision, found.reason, {**found.figures, "exposures": exposures, "refused": refused})


def _expose(evidence: Evidence, asked: Asked, settings: Settings) -> int:
    refused = 0
    experiment, base = asked.experiment, parse_uri(settings.capture_uri)
    for is_challenger, variant in ((False, experiment["champion"]), (True, experiment["challenger"])):
        for line in captured(client("s3"), base, settings.endpoint_name, variant, asked.since, asked.until):
            try:
                exposure = parse_exposure(line)
            except BadRecord:
                refused += 1
                continue
            if asked.since <= exposure.at <= asked.until:
                evidence.expose(
                    exposure,
                    champion=experiment["champion"],
                    challenger=experiment["challenger"],
                    is_challenger=is_challenger,
                )
    return refused


def _tell(evidence: Evidence, asked: Asked, settings: Settings) -> int:
    refused = 0
    for line in told(client("s3"), parse_uri(settings.outcomes_uri), asked.since, asked.until):
        try:
            outcome = parse_outcome(line)
        except BadRecord:
            refused += 1
            continue
        if outcome is not None:
            evidence.tell(outcome)
    return refused


def weigh(evidence: Evidence, asked: Asked, settings: Settings, rules: Rules) -> tuple[Seen, int]:
    """Gives what is known of an experiment whose exposures and outcomes are there, and how many of them say nothing.

    Those are outcomes that do not fit their predictions, and requests that were drawn with a share that is too small.
    """
    difference, refused = Difference(rules.alpha, rules.smallest_share), 0
    counts, losses = [0, 0], [0.0, 0.0]
    for each in evidence.first_of_units():
        try:
            loss = loss_of(settings.problem, json.loads(each.predictions), json.loads(each.outcomes), rules.clip)
        except NoLoss:
            refused += 1
            continue
        share = rules.challenger_share if each.share is None else each.share
        if not rules.smallest_share <= share <= 1 - rules.smallest_share:
            refused += 1
            continue
        difference.add(loss, challenger=each.challenger, share=share)
        counts[each.challenger] += 1
        losses[each.challenger] += loss
    means = [total / count if count else 0.0 for total, count in zip(losses, counts, strict=True)]
    guards = tuple(_guards(evidence, asked, settings, rules))
    return Seen(difference, (counts[0], counts[1]), (means[0], means[1]), guards, asked.days), refused


def _guards(evidence: Evidence, asked: Asked, settings: Settings, rules: Rules) -> Iterator[Guard]:
    variants = (asked.experiment["champion"], asked.experiment["challenger"])
    cloudwatch = client("cloudwatch")
    found = [sums(cloudwatch, settings.endpoint_name, variant, asked.since, asked.until) for variant in variants]
    yield Guard("errors", found[0], found[1], rules.error_margin)
    slow = [_slow(evidence.counts(challenger=is_challenger)) for is_challenger in (False, True)]
    if all(count for _, count in slow):
        yield Guard("slow answers", slow[0], slow[1], rules.slow_margin)


def _slow(counts: Counts) -> tuple[int, int]:
    return counts.slow, counts.measured


def compared(asked: Asked, settings: Settings, rules: Rules, folder: Path) -> Judgement:
    """Reads what a shadow and the variant that answers were captured saying, and compares."""
    experiment, base = asked.experiment, parse_uri(settings.capture_uri)
    answers = Answers(folder / "answers.sqlite")
    refused = 0
    try:
        for is_shadow, variant in ((False, experiment["champion"]), (True, experiment["challenger"])):
            for line in captured(client("s3"), base, settings.endpoint_name, variant, asked.since, asked.until):
                try:
                    answers.add(parse_exposure(line), shadow=is_shadow)
                except BadRecord:
                    refused += 1
        comparison = Comparison(settings.problem, rules.clip)
        for answered, shadow in answers.pairs():
            if len(answered) == len(shadow):
                for pair in zip(answered, shadow, strict=True):
                    comparison.add(*pair)
    finally:
        answers.close()
    latency = {
        arm: p99_ms(client("cloudwatch"), settings.endpoint_name, variant, asked.since, asked.until)
        for arm, variant in (("answering", experiment["champion"]), ("shadow", experiment["challenger"]))
    }
    figures = {**comparison.figures(), "worst_p99_ms": latency, "refused": {"exposures": refused}}
    return Judgement("continue", f"{figures['instances']} instances were answered by both", figures)


def keep(asked: Asked, judgement: Judgement, settings: Settings) -> str:
    """Writes a judgement, and into the audit table if it is final; gives its address."""
    base = parse_uri(settings.judgements_uri)
    name = f"{asked.experiment['id']}/{asked.until:%Y%m%dT%H%M%SZ}-{asked.mode}.json"
    address = Address(base.bucket, f"{base.key.rstrip('/')}/{name}")
    document = {"experiment": asked.experiment, "as_of": asked.until.isoformat(), **asdict(judgement)}
    body = json.dumps(document, sort_keys=True).encode("utf-8")
    client("s3").put_object(Bucket=address.bucket, Key=address.key, Body=body, ContentType="application/json")
    if judgement.decision != "continue":
        item = {
            "workload": settings.workload,
            "event": f"experiment#{asked.experiment['id']}#{judgement.decision}",
            "reason": judgement.reason,
            "judgement_uri": str(address),
            "at": asked.until.isoformat(),
        }
        client("dynamodb").put_item(
            TableName=settings.audit_table, Item={name: {"S": value} for name, value in item.items()}
        )
    return str(address)


def handler(event: Event, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Judge or compare; raise when the event names no experiment."""
    settings = read_settings(Settings)
    asked, rules = parse_event(event, settings.workload), Rules(**json.loads(settings.rules))
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH")) as folder:
        found = (judged if asked.mode == "test" else compared)(asked, settings, rules, Path(folder))
    address = keep(asked, found, settings)
    ids = {"experiment": asked.experiment["id"], "decision": found.decision, "judgement_uri": address}
    log.info("judged", extra={**ids, "reason": found.reason})
    return {"decision": found.decision, "reason": found.reason, "figures": found.figures, "judgement_uri": address}
