"""What a report tells, as plain documents; whatever a run has not reached is ``None`` or empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.chain import Chain
from local.runs.read import Run
from local.sizing.things import Thing

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """Everything about one run.

    Args:
        workload: Its name.
        stage: Where it ran.
        chain: The executions with their states.
        report: ``report.json`` of the dataset: figures of each phase.
        profile: ``profile.json`` of the dataset.
        manifest: The published manifest of the dataset.
        evaluation: ``evaluation.json`` of the model.
        evaluation_details: ``details.json`` beside it: its curves.
        evaluation_page: ``report.html`` beside it: bias, attributions and cost as well.
        gate: What the gate judged, rule by rule.
        package: The model package, as SageMaker describes it.
        endpoint: The endpoint, as SageMaker describes it.
        endpoint_config: Its configuration.
        golden: ``golden.json`` of the deployment: golden requests and answers.
        runs: Every run of the model pipeline until now, oldest first.
        trials: Those of the newest run that was tuned.
        sizes: What the workload runs on, how much of it was used, and what to try.
    """

    workload: str
    stage: str
    chain: Chain
    report: Document | None = None
    profile: Document | None = None
    manifest: Document | None = None
    evaluation: Document | None = None
    evaluation_details: Document | None = None
    evaluation_page: str | None = None
    gate: Sequence[Document] = field(default_factory=tuple)
    package: Document | None = None
    endpoint: Document | None = None
    endpoint_config: Document | None = None
    golden: Document | None = None
    runs: Sequence[Run] = field(default_factory=tuple)
    trials: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    sizes: Sequence[Thing] = field(default_factory=tuple)

    @property
    def dataset_version(self) -> str | None:
        """Version of the dataset that the run made or found."""
        return str(self.manifest["version"]) if self.manifest else None
