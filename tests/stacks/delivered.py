"""A platform that a pipeline deploys: three accounts, two regions, one workload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from gate.assembly import StackTemplate, templates
from stacks.config import PlatformConfig, project_context
from stacks.platform import build_platform, read_rules, read_workloads

TOOLS_ACCOUNT = "999999999999"
PLACES = {
    "dev": ("111111111111", "eu-west-1"),
    "staging": ("222222222222", "eu-west-1"),
    "prod": ("333333333333", "eu-central-1"),
}
CONNECTION = {
    "kind": "connection",
    "provider": "github",
    "repository": "example/models",
    "arn": f"arn:aws:codeconnections:eu-west-1:{TOOLS_ACCOUNT}:connection/0123abcd-0123",
}
SECRET = f"arn:aws:secretsmanager:eu-west-1:{TOOLS_ACCOUNT}:secret:gapless/github-AbCdEf"
CODECOMMIT = {"kind": "codecommit", "repository": "models"}
PIPELINE: dict[str, Any] = {"account": TOOLS_ACCOUNT, "region": "eu-west-1", "source": CONNECTION, "train_in": "dev"}


@dataclass(frozen=True)
class Delivered:
    """An assembly with a pipeline."""

    folder: Path
    stacks: dict[str, StackTemplate]

    def pipeline(self, name: str = "gapless") -> StackTemplate:
        """The stack of the pipeline."""
        return self.stacks[f"{name}-pipeline"]

    def definition(self, name: str = "gapless", stack: str | None = None) -> dict[str, Any]:
        """A pipeline's properties."""
        (found,) = [
            each["Properties"]
            for each in self.stacks[stack or f"{name}-pipeline"].of_type("AWS::CodePipeline::Pipeline").values()
            if each["Properties"]["Name"] == name
        ]
        return dict(found)


def stages(places: dict[str, tuple[str, str]] = PLACES, **more: Any) -> dict[str, Any]:
    """Settings of stages, as in the context."""
    return {
        name: {"account": account, "region": region, "zones": [f"{region}a", f"{region}b"], **more}
        for name, (account, region) in places.items()
    }


def one_workload() -> list[WorkloadFile]:
    """The workload with the fewest options."""
    return [workload for workload in read_workloads() if workload.name == "loan_approval"]


def defined(
    folder: Path,
    *,
    places: dict[str, tuple[str, str]] = PLACES,
    pipeline: dict[str, Any] | None = None,
    workloads: list[WorkloadFile] | None = None,
    context: dict[str, Any] | None = None,
    **more: Any,
) -> App:
    """An app that is not synthesised yet."""
    quick = {"@aws-cdk/core:validateAgainstDefaultRules": False}
    app = App(context={**project_context(), **quick, **(context or {})}, outdir=str(folder))
    config = PlatformConfig.parse(stages(places, **more), pipeline=pipeline)
    workloads = one_workload() if workloads is None else workloads
    build_platform(app, config, workloads, read_rules(workloads))
    return app


def delivered(folder: Path, **settings: Any) -> Delivered:
    """The assembly of an app; settings as for :func:`defined`."""
    defined(folder, **settings).synth()
    return read(folder)


def read(folder: Path) -> Delivered:
    """The assembly of a folder; of stacks of the same name in several accounts the last one."""
    return Delivered(folder, {stack.stack: stack for stack in templates(folder)})


def references(value: Any) -> set[str]:
    """Names of the stacks that a template refers to."""
    if isinstance(value, dict):
        own = {value["Fn::GetStackOutput"]["StackName"]} if "Fn::GetStackOutput" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def waiting_for_ever(platform: Delivered) -> dict[str, set[str]]:
    """Stacks that refer to each other in a circle, or to one of those, with the stacks that they wait for."""
    waiting = {name: references(stack.content) - {name} for name, stack in platform.stacks.items()}
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    return waiting
