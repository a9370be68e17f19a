"""Metrics that a training job reports by writing them to its log."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from local.server import clock
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.store import Document


@dataclass(frozen=True)
class MetricDefinition:
    """A name, and the pattern whose first group is the value."""

    name: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, definition: Document) -> MetricDefinition:
        """Read one of ``MetricDefinitions``.

        Raises:
            ServiceError: The pattern does not compile or has no group (``ValidationException``).
        """
        text = definition["Regex"]
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise invalid(f"the regex of metric {definition['Name']} is not valid: {text!r}: {error}") from error
        if pattern.groups < 1:
            raise invalid(f"the regex of metric {definition['Name']} needs a group for the value: {text!r}")
        return cls(definition["Name"], pattern)


class MetricReader:
    """Finds metrics in the lines of a log; the last value of each is final."""

    def __init__(self, definitions: list[MetricDefinition]) -> None:
        self._definitions = definitions
        self._lock = threading.Lock()
        self._final: dict[str, tuple[float, float]] = {}
        self._reports: dict[str, list[float]] = {}

    def read(self, line: str) -> None:
        """Look for every metric in a line; text that is not a number is no metric."""
        for definition in self._definitions:
            for match in definition.pattern.finditer(line):
                self._keep(definition.name, match[1])

    def _keep(self, name: str, text: str) -> None:
        try:
            value = float(text)
        except (TypeError, ValueError):
            return
        with self._lock:
            self._final[name] = (value, clock.now())
            self._reports.setdefault(name, []).append(value)

    def reports(self, name: str) -> list[float]:
        """Every value of a metric until now, in the order of the log."""
        with self._lock:
            return list(self._reports.get(name, ()))

    def final(self) -> list[Document]:
        """The last value of each metric, as ``FinalMetricDataList``."""
        with self._lock:
            return [
                {"MetricName": name, "Value": value, "Timestamp": moment}
                for name, (value, moment) in self._final.items()
            ]
