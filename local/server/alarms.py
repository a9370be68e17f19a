"""CloudWatch alarms as AWS evaluates them: by dimension, period by period, with missing data treated as told.

ministack mixes all series of a metric and looks at alarms only when a metric is published. Here every alarm is also
looked at every second, so one goes off, and goes quiet again, although nothing is published. Alarms of templates may
use metric math; those on a band that CloudWatch would have to learn from weeks of data stay without data. The setting
``alarm_scale`` shortens all periods, as ``wait_scale`` shortens waits.
"""

from __future__ import annotations

import logging
import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.server import clock, hooks
from local.server.host import Host
from local.server.metric_math import evaluate

log = logging.getLogger("gapless.alarms")

_LOOK_EVERY_SECONDS = 1.0
_LEAST_LOOK_SECONDS = 0.2
_EVICT_EVERY_SECONDS = 600.0
_HOLD_SECONDS = 60
"""How long a state that was set by hand lasts, as on AWS until the next evaluation."""

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

_ACTION_FIELDS = ("AlarmActions", "OKActions", "InsufficientDataActions")
_CLOUDWATCH = "cloudwatch.amazonaws.com"

Alarm = dict[str, Any]
Point = dict[str, Any]


def register(host: Host) -> None:
    """Take over the evaluation of alarms, and tell the default event bus of every change."""
    watch = AlarmWatch(host.settings.alarm_scale)
    hooks.replace(
        "services.cloudformation.provisioners:_cw_metric_alarm_record",
        _with_metric_math(hooks.get("services.cloudformation.provisioners:_cw_metric_alarm_record")),
    )
    hooks.replace("services.cloudwatch:_evaluate_alarm", watch.evaluate)
    _evict_seldom()
    _announce_changes(host)
    _check_on_all_alarms()
    host.on_ready(watch.start)
    host.on_shutdown(watch.stop)


def _evict_seldom() -> None:
    """Throw away what is older than two weeks now and then; ministack copies every value at every request for it."""
    original = hooks.get("services.cloudwatch:_evict_old_metrics")
    due = time.monotonic()

    def evict() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _EVICT_EVERY_SECONDS
            original()

    hooks.replace("services.cloudwatch:_evict_old_metrics", evict)


def _check_on_all_alarms() -> None:
    """AWS checks the description of alarms on all alarms of the account; ministack on nothing in particular."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: Any, region: str, account_id: str
    ) -> Any:
        operations = (path, headers.get("x-amz-target", ""), str(query_params.get("Action", "")))
        if service not in ("cloudwatch", "monitoring") or not any("DescribeAlarms" in text for text in operations):
            return original(service, method, path, headers, body, query_params, region, account_id)
        return f"arn:aws:cloudwatch:{region}:{account_id}:alarm:*"

    hooks.replace("core.iam_actions:extract_resource_arn", extract)


def _with_metric_math(original: Callable[[str, Alarm], Alarm]) -> Callable[[str, Alarm], Alarm]:
    """Make alarms of templates that compare an expression; ministack refuses them."""

    def record(name: str, props: Alarm) -> Alarm:
        queries = props.get("Metrics")
        if not queries:
            return original(name, props)
        plain = {key: value for key, value in props.items() if key not in ("Metrics", "ThresholdMetricId")}
        period = next(int(query["MetricStat"]["Period"]) for query in queries if "MetricStat" in query)
        if "ThresholdMetricId" in props:
            made = original(
                name, {**plain, "MetricName": "math", "Namespace": "math", "Period": period, "Threshold": 0}
            )
            band = {"Metrics": queries, "ThresholdMetricId": props["ThresholdMetricId"]}
            return {**made, "MetricName": None, "Namespace": None, **band}
        alarm = original(name, {**plain, "MetricName": "math", "Namespace": "math", "Period": period})
        evaluate(_compared(queries), dict.fromkeys((query["Id"] for query in queries), 1.0))
        return {**alarm, "MetricName": None, "Namespace": None, "Metrics": queries}

    return record


def _compared(queries: Sequence[Mapping[str, Any]]) -> str:
    [expression] = [str(query["Expression"]) for query in queries if "Expression" in query]
    return expression


def judge(values: Sequence[float | None], alarm: Mapping[str, Any]) -> str | None:
    """The state of an alarm, given one value for each of its periods (``None`` where there is no data).

    Returns:
        ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``; ``None`` when the state stays as it is.
    """
    missing = alarm.get("TreatMissingData") or "missing"
    compare, threshold = _COMPARE[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    breaching = sum(missing == "breaching" if value is None else compare(value, threshold) for value in values)
    if breaching >= int(alarm.get("DatapointsToAlarm") or len(values)):
        return "ALARM"
    if all(value is None for value in values):
        return {"missing": "INSUFFICIENT_DATA", "ignore": None}.get(missing, "OK")
    return "OK"


class AlarmWatch:
    """Evaluates alarms whenever ministack asks and once a second besides."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._reasons: dict[str, str] = {}

    def start(self) -> None:
        """Look at all alarms from now on."""
        threading.Thread(target=self._run, name="alarms", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        alarms = hooks.get("services.cloudwatch:_alarms")
        while not self._stopped.wait(max(_LEAST_LOOK_SECONDS, _LOOK_EVERY_SECONDS * self._scale)):
            for alarm in list(alarms.values()):
                self.evaluate(alarm)

    def evaluate(self, alarm: Alarm) -> None:
        """Bring one alarm's state up to date."""
        with self._lock:
            has_metric = alarm.get("MetricName") or alarm.get("Metrics")
            if not has_metric or alarm["ComparisonOperator"] not in _COMPARE or self._is_held(alarm):
                return
            periods = int(alarm.get("EvaluationPeriods") or 1)
            values = _values(alarm, periods, clock.now(), self._scale)
            state = judge(values, alarm)
            if state is not None and state != alarm["StateValue"]:
                self._change(alarm, state, _reason(alarm, values, state))

    def _is_held(self, alarm: Alarm) -> bool:
        """Whether somebody set the state by hand a short while ago."""
        own = alarm["StateReason"] == self._reasons.get(alarm["AlarmName"])
        return (
            not own
            and alarm["StateValue"] != "INSUFFICIENT_DATA"
            and (clock.now() - float(alarm.get("StateUpdatedTimestamp") or 0) < _HOLD_SECONDS * self._scale)
        )

    def _change(self, alarm: Alarm, state: str, reason: str) -> None:
        old = alarm["StateValue"]
        self._reasons[alarm["AlarmName"]] = reason
        alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(clock.now()))
        hooks.get("services.cloudwatch:_record_history")(alarm["AlarmName"], old, state, reason)
        hooks.get("services.cloudwatch:_dispatch_alarm_actions")(alarm, old, state, reason)
        hooks.get("services.cloudwatch:_evaluate_parent_alarms")(alarm)


def _values(alarm: Alarm, periods: int, now: float, scale: float) -> list[float | None]:
    """One value for each of the last periods, the newest first; the newest one ends now."""
    queries = alarm.get("Metrics")
    if not queries:
        return _series(alarm, int(alarm.get("Period") or 60) * scale, periods, now)
    series = {
        query["Id"]: _series(_as_alarm(query["MetricStat"]), int(query["MetricStat"]["Period"]) * scale, periods, now)
        for query in queries
        if "MetricStat" in query
    }
    expression = _compared(queries)
    return [evaluate(expression, {name: each[number] for name, each in series.items()}) for number in range(periods)]


def _as_alarm(stat: Mapping[str, Any]) -> Alarm:
    name = str(stat["Stat"])
    return {**stat["Metric"], ("ExtendedStatistic" if name.startswith("p") else "Statistic"): name}


def metric_series(metric: Mapping[str, Any], seconds: float, periods: int, now: float) -> list[float | None]:
    """A statistic of a metric for each of the last periods, the newest first; ``None`` where there is no data.

    Args:
        metric: ``Namespace``, ``MetricName``, ``Dimensions`` and ``Statistic``.
        seconds: How long a period is.
    """
    return _series(dict(metric), seconds, periods, now)


def _series(alarm: Alarm, seconds: float, periods: int, now: float) -> list[float | None]:
    points = _RECENT.points(alarm, seconds * periods, now)
    values = []
    for number in range(periods):
        end = now - number * seconds
        inside = [point for point in points if end - seconds < point["Timestamp"] <= end]
        values.append(_statistic(alarm, inside))
    return values


@dataclass
class _Window:
    """The values of one metric that are not over yet.

    Attributes:
        source: Where ministack keeps all of them, in the order in which they came.
        read: How many of them were looked at.
    """

    source: Sequence[Point]
    read: int = 0
    points: list[Point] = field(default_factory=list)


class _Recent:
    """The newest values of metrics: each value is looked at once, however many there are and however often asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[object, float], _Window] = {}

    def points(self, alarm: Alarm, seconds: float, now: float) -> list[Point]:
        """The values of an alarm's metric that are younger than ``seconds``."""
        dimensions = {item["Name"]: item["Value"] for item in alarm.get("Dimensions") or []}
        key = (alarm["Namespace"], alarm["MetricName"], hooks.get("services.cloudwatch:_dims_key")(dimensions))
        source = hooks.get("services.cloudwatch:_metrics").get(key)
        if source is None:
            return []
        with self._lock:
            window = self._windows.get((key, seconds))
            if window is None or window.source is not source:
                window = self._windows[(key, seconds)] = _Window(source)
            end = len(source)
            known = [*window.points, *source[window.read : end]]
            window.points = [point for point in known if point["Timestamp"] > now - seconds]
            window.read = end
            return window.points


_RECENT = _Recent()


def _statistic(alarm: Alarm, points: list[dict[str, Any]]) -> float | None:
    if not points:
        return None
    stats = hooks.get("services.cloudwatch:_calc_stats")(points)
    name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    value = hooks.get("services.cloudwatch:_stat_value")(stats, name, points)
    return None if value is None else float(value)


def _reason(alarm: Alarm, values: Sequence[float | None], state: str) -> str:
    seen = ", ".join("no data" if value is None else f"{value:g}" for value in values)
    queries = alarm.get("Metrics")
    what = _compared(queries) if queries else f"{alarm.get('ExtendedStatistic') or alarm.get('Statistic')} of "
    what += "" if queries else str(alarm["MetricName"])
    limit = f"{alarm['ComparisonOperator']} {float(alarm['Threshold']):g}"
    return f"{state}: {what} per period was {seen} (newest first); limit: {limit}"


def _announce_changes(host: Host) -> None:
    dispatch = hooks.get("services.cloudwatch:_dispatch_alarm_actions")

    def announce(alarm: Alarm, old_state: str, new_state: str, reason: str) -> None:
        reachable = {field: _reachable(host, alarm, alarm.get(field) or []) for field in _ACTION_FIELDS}
        dispatch({**alarm, **reachable}, old_state, new_state, reason)
        stamp = clock.moment().isoformat(timespec="milliseconds")
        detail = {
            "alarmName": alarm["AlarmName"],
            "state": {"value": new_state, "reason": reason, "timestamp": stamp},
            "previousState": {"value": old_state},
            "configuration": {"description": alarm.get("AlarmDescription") or ""},
        }
        host.emit("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm["AlarmArn"]])

    hooks.replace("services.cloudwatch:_dispatch_alarm_actions", announce)


def _reachable(host: Host, alarm: Alarm, topics: Sequence[str]) -> list[str]:
    """The topics that let CloudWatch publish, and whose key, if they have one, lets it encrypt."""
    allowed = []
    for topic in topics:
        reason = _refusal(host, alarm, topic)
        if reason is None:
            allowed.append(topic)
        else:
            log.warning("the alarm %s did not reach %s: %s", alarm["AlarmName"], topic, reason)
    return allowed


def _refusal(host: Host, alarm: Alarm, topic: str) -> str | None:
    if not host.service_may(_CLOUDWATCH, "sns:Publish", topic, alarm["AlarmArn"]):
        return f"its policy does not allow sns:Publish to {_CLOUDWATCH}"
    attributes = hooks.get("services.sns:_topics").get(topic, {}).get("attributes", {})
    key = hooks.get("services.kms:_resolve_key")(attributes.get("KmsMasterKeyId"))
    if key is not None and not host.service_may(_CLOUDWATCH, "kms:GenerateDataKey", key["Arn"], alarm["AlarmArn"]):
        return f"the policy of its key {key['Arn']} does not allow kms:GenerateDataKey to {_CLOUDWATCH}"
    return None
