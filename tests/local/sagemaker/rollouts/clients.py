"""A client whose requests never stop: what answered, and how many were not answered."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_AT_ONCE = 2
_PER_SECOND = 10.0
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 300.0


def wait_for(probe: Callable[[], Any], seconds: float = _PATIENCE_SECONDS) -> Any:
    """Ask now and then until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(_LOOK_SECONDS)
    return answer


@dataclass
class Client:
    """Asks an endpoint again and again.

    Attributes:
        per_second: How many requests come in a second, whatever the answers take.
        model: Which model of several is asked. Default: there is one.
        answers: How often each version answered.
        machines: Which machines of each version answered, where models say so.
        failures: How often each error came instead.
    """

    runtime: Any
    endpoint: str
    request: dict[str, Any] = field(default_factory=lambda: {"instances": [1], "client": True})
    per_second: float = _PER_SECOND
    model: str | None = None
    answers: Counter[str] = field(default_factory=Counter)
    machines: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    failures: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.failures.total()

    @property
    def asked(self) -> int:
        """How many requests were made."""
        return self.answers.total() + self.failed

    def ask(self) -> str | None:
        """Ask once; returns the version that answered."""
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=self.endpoint,
                ContentType="application/json",
                Body=json.dumps(self.request),
                InferenceId=uuid.uuid4().hex,
                **({} if self.model is None else {"TargetModel": self.model}),
            )
        except ClientError as error:
            status = error.response.get("OriginalStatusCode", "")
            self._count(self.failures, f"{error.response['Error']['Code']} {status}".strip())
            return None
        except BotoCoreError as error:
            self._count(self.failures, type(error).__name__)
            return None
        content = json.loads(answer["Body"].read())
        version = str(content["version"] if "version" in content else content["predictions"][0]["version"])
        if "machine" in content:
            self.machines[version].add(content["machine"])
        self._count(self.answers, version)
        return version

    def _count(self, counter: Counter[str], what: str) -> None:
        with self._lock:
            counter[what] += 1

    def await_answer(self, version: str, times: int = 1) -> None:
        """Wait until a version has answered so many more times."""
        before = self.answers[version]
        wait_for(lambda: self.answers[version] >= before + times)

    def await_alone(self, version: str, times: int) -> None:
        """Wait until a version has answered so many times in a row."""

        def alone() -> bool:
            before = Counter(self.answers)
            wait_for(lambda: (self.answers - before).total() >= times)
            return set(self.answers - before) == {version}

        wait_for(alone)

    def await_machines(self, version: str, count: int) -> None:
        """Wait until so many machines of a version have answered."""
        wait_for(lambda: len(self.machines[version]) >= count)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Keep asking until the context ends."""
        threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(_AT_ONCE)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)

    def _ask_on(self) -> None:
        every = _AT_ONCE / self.per_second
        due = time.monotonic() + every
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.ask()
            due = max(due + every, time.monotonic())
