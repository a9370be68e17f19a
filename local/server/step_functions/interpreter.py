"""Runs one execution of a JSONata state machine.

Where every part of the machine stands is kept in ``Progress`` as it goes along. That is what a redrive starts from:
states that succeeded keep their results, branches and items that finished are not run again.
"""

from __future__ import annotations

import copy
import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from local.server import clock
from local.server.step_functions.errors import Deadline, Interrupted, Signal, StateError
from local.server.step_functions.expressions import Scope, fill

_DATA_LIMIT_BYTES = 262_144
_NEVER_HANDLED = frozenset({"States.Runtime", "States.DataLimitExceeded"})

Document = dict[str, Any]
StateDefinition = Mapping[str, Any]


class Invoke(Protocol):
    """Calls what a task's resource names."""

    def __call__(self, resource: str, arguments: Any, signal: Signal, deadline: Deadline) -> Any: ...


Record = Callable[[str, Document], None]
"""Adds an event to the history: its type and its details."""


class Progress:
    """Where each part of an execution stands: the top level, every branch, every item of a map.

    Parts are named by their path. Only JSON is kept, so that it survives a restart of the server.
    """

    def __init__(self, parts: dict[str, Document]) -> None:
        self.parts = parts
        self._lock = threading.Lock()

    def enter(self, path: str, state: str, value: Any, variables: Mapping[str, Any]) -> None:
        """A part has reached a state, with this input."""
        with self._lock:
            self.parts[path] = {"state": state, "input": copy.deepcopy(value), "variables": copy.deepcopy(variables)}

    def finish(self, path: str, output: Any) -> None:
        """A part has ended with a result."""
        with self._lock:
            self.parts[path] = {"output": copy.deepcopy(output)}

    def get(self, path: str) -> Document | None:
        """Where a part stands, or ``None`` when it has not begun."""
        with self._lock:
            return copy.deepcopy(self.parts.get(path))

    def forget_inside(self, path: str) -> None:
        """The parts of a state are no longer needed, or have to start again."""
        with self._lock:
            for name in [name for name in self.parts if name.startswith(path + "/")]:
                del self.parts[name]


@dataclass
class Part:
    """A sequence of states on its way: the machine itself, a branch, or an item of a map."""

    path: str
    signal: Signal
    variables: dict[str, Any]
    item: Document | None = None
    context: Document = field(default_factory=dict)


class Interpreter:
    """Walks through the states of one execution.

    Args:
        context: The constant parts of the context object (``Execution`` and ``StateMachine``).
        wait_scale: Factor on Wait states and on delays of retries; timeouts are never scaled.
    """

    def __init__(
        self, *, invoke: Invoke, record: Record, progress: Progress, context: Document, wait_scale: float
    ) -> None:
        self._invoke = invoke
        self._record = record
        self._progress = progress
        self._context = context
        self._wait_scale = wait_scale

    def run(self, definition: StateDefinition, value: Any, signal: Signal) -> Any:
        """Run the machine from its start, or from where ``progress`` says it stands; returns its output.

        Raises:
            StateError: The machine failed.
            Interrupted: ``signal`` was set.
        """
        return self._run_states(definition, value, Part("", signal, {}))

    # -- sequences of states

    def _run_states(self, definition: StateDefinition, value: Any, part: Part) -> Any:
        name: str | None = definition["StartAt"]
        standing = self._progress.get(part.path)
        if standing is not None:
            if "output" in standing:
                return standing["output"]
            name, value, part.variables = standing["state"], standing["input"], standing["variables"]
        while name is not None:
            part.signal.check()
            state = definition["States"].get(name)
            if state is None:
                raise StateError("States.Runtime", f"there is no state {name!r}")
            self._progress.enter(part.path, name, value, part.variables)
            value, name = self._run_state(name, state, value, part)
        self._progress.finish(part.path, value)
        return value

    def _run_state(self, name: str, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        kind = state["Type"]
        _refuse_json_path(name, state)
        part.context = {
            **self._context,
            "State": {"Name": name, "EnteredTime": _now(), "RetryCount": 0},
            **({"Map": {"Item": part.item}} if part.item is not None else {}),
        }
        self._record(f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name, "input": json.dumps(value)}})
        run = {
            "Pass": self._pass,
            "Task": self._task,
            "Choice": self._choice,
            "Wait": self._wait,
            "Succeed": self._succeed,
            "Fail": self._fail,
            "Parallel": self._parallel,
            "Map": self._map,
        }.get(kind)
        if run is None:
            raise StateError("States.Runtime", f"the state {name!r} has the unknown type {kind!r}")
        output, following = run(state, value, part)
        _check_size(output, f"the output of the state {name!r}")
        self._record(f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": json.dumps(output)}})
        self._progress.forget_inside(f"{part.path}/{name}")
        return output, following

    # -- simple states

    def _pass(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        return _leave(state, _scope(value, part), value, part), _next(state)

    def _succeed(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        return _leave(state, _scope(value, part), value, part), None

    def _fail(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        scope = _scope(value, part)
        raise StateError(
            str(fill(state.get("Error", "States.Failed"), scope)), str(fill(state.get("Cause", ""), scope))
        )

    def _choice(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        scope = _scope(value, part)
        for rule in state["Choices"]:
            if _field(rule["Condition"], scope, bool, "Condition"):
                return _leave(rule, scope, value, part), rule["Next"]
        if "Default" not in state:
            raise StateError("States.NoChoiceMatched", "no rule matched and there is no default")
        return _leave(state, scope, value, part), state["Default"]

    def _wait(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        scope = _scope(value, part)
        if "Seconds" in state:
            seconds = float(_field(state["Seconds"], scope, (int, float), "Seconds"))
        else:
            moment = _field(state["Timestamp"], scope, str, "Timestamp")
            seconds = (_timestamp(moment) - clock.moment()).total_seconds()
        part.signal.wait(max(0.0, seconds) * self._wait_scale)
        return _leave(state, scope, value, part), _next(state)

    # -- states that can be retried and caught

    def _task(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        return self._with_handlers(state, value, part, lambda: self._call(state, value, part))

    def _parallel(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        return self._with_handlers(state, value, part, lambda: self._run_branches(state, value, part))

    def _map(self, state: StateDefinition, value: Any, part: Part) -> tuple[Any, str | None]:
        return self._with_handlers(state, value, part, lambda: self._run_items(state, value, part))

    def _with_handlers(
        self, state: StateDefinition, value: Any, part: Part, attempt: Callable[[], Any]
    ) -> tuple[Any, str | None]:
        used: dict[int, int] = {}
        while True:
            part.context["State"]["RetryCount"] = sum(used.values())
            try:
                result = attempt()
                return _leave(state, _scope(value, part).seeing(result=result), result, part), _next(state)
            except StateError as error:
                delay = _retry_delay(state.get("Retry", ()), error.error, used)
                if delay is None:
                    return _caught(state, error, value, part)
                part.signal.wait(delay * self._wait_scale)
                self._progress.forget_inside(f"{part.path}/{part.context['State']['Name']}")

    def _call(self, state: StateDefinition, value: Any, part: Part) -> Any:
        scope, resource = _scope(value, part), state["Resource"]
        arguments = fill(state["Arguments"], scope) if "Arguments" in state else value
        seconds = None
        if "TimeoutSeconds" in state:
            seconds = float(_field(state["TimeoutSeconds"], scope, (int, float), "TimeoutSeconds"))
        kind, _, action = resource.removeprefix("arn:aws:states:::").rpartition(":")
        about = {"resource": action, "resourceType": kind}
        self._record("TaskScheduled", {"taskScheduledEventDetails": {**about, "parameters": json.dumps(arguments)}})
        try:
            result = self._invoke(resource, arguments, part.signal, Deadline(seconds))
        except StateError as error:
            timed_out = error.error == "States.Timeout"
            self._record(
                "TaskTimedOut" if timed_out else "TaskFailed",
                {
                    "taskTimedOutEventDetails" if timed_out else "taskFailedEventDetails": {
                        **about,
                        "error": error.error,
                        "cause": error.cause,
                    }
                },
            )
            raise
        _check_size(result, f"the result of {resource}")
        self._record("TaskSucceeded", {"taskSucceededEventDetails": {**about, "output": json.dumps(result)}})
        return result

    # -- parts that run at the same time

    def _run_branches(self, state: StateDefinition, value: Any, part: Part) -> list[Any]:
        scope = _scope(value, part)
        given = fill(state["Arguments"], scope) if "Arguments" in state else value
        signal, name = part.signal.inner(), part.context["State"]["Name"]

        def branch(number: int) -> Callable[[], Any]:
            inner = Part(f"{part.path}/{name}/{number}", signal, copy.deepcopy(part.variables), part.item)
            return lambda: self._run_states(state["Branches"][number], copy.deepcopy(given), inner)

        branches = [branch(number) for number in range(len(state["Branches"]))]
        return _run_together(branches, signal, part.signal, len(branches))

    def _run_items(self, state: StateDefinition, value: Any, part: Part) -> list[Any]:
        scope, processor = _scope(value, part), state["ItemProcessor"]
        _refuse_distributed(state)
        items = _field(state["Items"], scope, list, "Items") if "Items" in state else value
        if not isinstance(items, list):
            raise StateError("States.QueryEvaluationError", "a map needs an array of items")
        limit = int(_field(state.get("MaxConcurrency", 0), scope, (int, float), "MaxConcurrency"))
        signal, name = part.signal.inner(), part.context["State"]["Name"]

        def iteration(number: int) -> Callable[[], Any]:
            item = {"Index": number, "Value": items[number]}
            inner = Part(f"{part.path}/{name}/{number}", signal, copy.deepcopy(part.variables), item)
            seen = Scope(value, {**part.context, "Map": {"Item": item}}, part.variables)
            given = fill(state["ItemSelector"], seen) if "ItemSelector" in state else items[number]
            return lambda: self._run_states(processor, copy.deepcopy(given), inner)

        iterations = [iteration(number) for number in range(len(items))]
        return _run_together(iterations, signal, part.signal, limit or 40)


def _run_together(work: Sequence[Callable[[], Any]], signal: Signal, outer: Signal, limit: int) -> list[Any]:
    """Run everything, at most ``limit`` at a time; the first failure calls off the rest."""
    if not work:
        return []
    failures: list[StateError] = []

    def run(one: Callable[[], Any]) -> Any:
        try:
            signal.check()
            return one()
        except StateError as error:
            failures.append(error)
            signal.set()
            raise Interrupted from error

    with ThreadPoolExecutor(max_workers=min(limit, len(work)), thread_name_prefix="branch") as pool:
        futures = [pool.submit(run, one) for one in work]
    outer.check()
    if failures:
        raise failures[0]
    return [future.result() for future in futures]


# -- retriers and catchers


def _retry_delay(retriers: Sequence[Mapping[str, Any]], error: str, used: dict[int, int]) -> float | None:
    """Seconds to wait before the next attempt, or ``None`` when there is none; counts the attempt."""
    for number, retrier in enumerate(retriers):
        if not _matches(retrier["ErrorEquals"], error):
            continue
        count = used.get(number, 0)
        if count >= retrier.get("MaxAttempts", 3):
            return None
        used[number] = count + 1
        delay = float(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count)
        delay = min(delay, float(retrier.get("MaxDelaySeconds", delay)))
        if retrier.get("JitterStrategy", "NONE") == "FULL":
            return random.uniform(0.0, delay)  # noqa: S311 - spreads retries, keeps no secret
        return delay
    return None


def _caught(state: StateDefinition, error: StateError, value: Any, part: Part) -> tuple[Any, str | None]:
    for catcher in state.get("Catch", ()):
        if _matches(catcher["ErrorEquals"], error.error):
            output = {"Error": error.error, "Cause": error.cause}
            return _leave(catcher, _scope(value, part).seeing(errorOutput=output), output, part), catcher["Next"]
    raise error


def _matches(names: Sequence[str], error: str) -> bool:
    if error in names:
        return True
    if error in _NEVER_HANDLED:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")


# -- fields of a state


def _scope(value: Any, part: Part) -> Scope:
    return Scope(value, part.context, part.variables)


def _leave(fields: Mapping[str, Any], scope: Scope, otherwise: Any, part: Part) -> Any:
    """The output of a state, rule or catcher; its assignments are made, and see the variables as they were."""
    output = fill(fields["Output"], scope) if "Output" in fields else otherwise
    assigned = fill(fields.get("Assign", {}), scope)
    part.variables = {**part.variables, **assigned}
    return output


def _field(value: Any, scope: Scope, wanted: type | tuple[type, ...], name: str) -> Any:
    found = fill(value, scope)
    is_flag = isinstance(found, bool) and wanted is not bool
    if is_flag or not isinstance(found, wanted):
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise StateError("States.QueryEvaluationError", f"the field {name} must be {allowed}, not {json.dumps(found)}")
    return found


def _next(state: StateDefinition) -> str | None:
    return None if state.get("End") else state["Next"]


def _timestamp(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StateError("States.QueryEvaluationError", f"the field Timestamp is not ISO 8601: {text}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_size(value: Any, what: str) -> None:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > _DATA_LIMIT_BYTES:
        raise StateError("States.DataLimitExceeded", f"{what} has {size} bytes; the limit is {_DATA_LIMIT_BYTES}")


def _refuse_json_path(name: str, state: StateDefinition) -> None:
    if state.get("QueryLanguage", "JSONata") != "JSONata":
        raise StateError("States.Runtime", f"the state {name!r} is written in JSONPath; only JSONata runs here")


def _refuse_distributed(state: StateDefinition) -> None:
    config = state["ItemProcessor"].get("ProcessorConfig", {})
    unknown = [key for key in ("ItemReader", "ItemBatcher", "ResultWriter") if key in state]
    if config.get("Mode", "INLINE") != "INLINE" or unknown:
        what = ", ".join(unknown) or "a distributed map"
        raise StateError("States.Runtime", f"{what} is not supported by the local server")


def _now() -> str:
    return clock.moment().isoformat(timespec="milliseconds").replace("+00:00", "Z")
