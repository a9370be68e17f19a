"""``python -m gate``: synthesises every stage and prints what is wrong with it; exits 1 if anything is."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stacks.toolchain import prepare_synthesis

prepare_synthesis()

from aws_cdk import App  # noqa: E402

from constructs_lib.names.naming import pascal_case  # noqa: E402
from gate.assembly import templates  # noqa: E402
from gate.cost.idle import DEV, check_idle  # noqa: E402
from gate.nag import check_nag  # noqa: E402
from gate.template_rules import check_templates  # noqa: E402
from stacks.config import PlatformConfig, project_context  # noqa: E402
from stacks.platform import build_platform, read_rules, read_workloads  # noqa: E402


def main() -> int:
    """Runs every check once and returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        app = App(context={**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}, outdir=folder)
        config = PlatformConfig.read(app)
        workloads = read_workloads()
        build_platform(app, config, workloads, read_rules(workloads))
        findings = check_nag(app, [stage.name for stage in config.stages], [workload.name for workload in workloads])
        synthesised = templates(Path(folder))
        findings += check_templates(synthesised)
        region = next((stage.billed_in for stage in config.stages if stage.name == DEV), "")
        findings += check_idle(synthesised, region, [pascal_case(workload.name) for workload in workloads])
    for finding in findings:
        print(finding)  # noqa: T201
    print(f"{len(synthesised)} templates, {len(findings)} findings", file=sys.stderr)  # noqa: T201
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
