"""Every stage of the platform as CloudFormation templates; needs no credentials and no network."""

import sys

from stacks.toolchain import prepare_synthesis

prepare_synthesis()

from aws_cdk import App  # noqa: E402

from stacks.config import ConfigurationError, PlatformConfig, project_context  # noqa: E402
from stacks.platform import build_platform, read_rules, read_workloads  # noqa: E402

try:
    app = App(context=project_context())
    workloads = read_workloads()
    build_platform(app, PlatformConfig.read(app), workloads, read_rules(workloads))
    app.synth()
except ConfigurationError as error:
    print(error, file=sys.stderr)  # noqa: T201
    sys.exit(2)
