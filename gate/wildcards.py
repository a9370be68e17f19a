"""Which wildcards a policy may hold: the naming prefix, and actions that know no resource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from constructs_lib.names.naming import runtime_prefix

WITHOUT_RESOURCE = frozenset(
    {
        "cloudwatch:GetMetricData",
        "cloudwatch:PutMetricData",
        "databrew:CreateDataset",
        "databrew:CreateRecipe",
        "databrew:CreateRecipeJob",
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcAttribute",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcs",
        "ecr:GetAuthorizationToken",
        "fsx:DescribeFileSystems",
        "lakeformation:DescribeResource",
        "lakeformation:GetDataAccess",
        "lakeformation:GetDataLakeSettings",
        "lakeformation:GetEffectivePermissionsForPath",
        "lakeformation:GetLFTag",
        "lakeformation:GetResourceLFTags",
        "lakeformation:ListLFTags",
        "lakeformation:ListPermissions",
        "lakeformation:ListResources",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
        "redshift-data:CancelStatement",
        "redshift-data:DescribeStatement",
        "redshift-data:GetStatementResult",
        "sagemaker:ListApps",
        "sagemaker:ListDomains",
        "sagemaker:ListFeatureGroups",
        "sagemaker:ListModelPackageGroups",
        "sagemaker:ListSpaces",
        "sagemaker:ListUserProfiles",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
)
"""Actions that IAM knows no resource for, or none that exists before the call."""


NAMED_BY_SERVICES = {
    ":log-group:/aws-glue/": "A log group that Glue names by itself, the same for all jobs and crawlers of an account",
    ":log-group:/aws-glue-databrew/": "A log group that DataBrew names by itself, the same for all jobs of an account",
    ":log-group:/aws/sagemaker/TrainingJobs": "A log group that SageMaker names by itself, the same for all jobs",
    ":log-group:/aws/sagemaker/ProcessingJobs": "A log group that SageMaker names by itself, the same for all jobs",
    ":log-group:/aws/sagemaker/LabelingJobs": "A log group that SageMaker names by itself, the same for all jobs",
    ":log-group:/aws/sagemaker/TransformJobs": "A log group that SageMaker names by itself, the same for all jobs",
    ":network-interface/": "Network interfaces are made by EC2 when a job starts; the subnets and groups are named",
    ":secret:redshift!": "Redshift makes and names the administrator's secret, and six characters are added to its ARN",
    ":scalable-target/": "Application Auto Scaling names what is registered; conditions say what it is about",
    ":alarm:TargetTracking-endpoint/": "Application Auto Scaling adds digits of its own to the names of its alarms",
    ":domain/gapless-": "Paths in a domain of logs: fine-grained access control decides what is behind each of them",
    "/AWSLogs/": "CloudTrail names its files by itself, below the account's folder in a bucket of its own",
    "/audit-table/": "DynamoDB names the files of an export by itself, below a folder that is there for them alone",
    "/_experiments/": "MLflow names the folders of experiments and runs by itself, those that people make by hand too",
    ":alarm:": "CloudWatch asks for leave to describe all alarms of the account, whichever of them are named",
}
"""Starts of resources that a service names by itself, each with the reason for a wildcard after it."""


STACK_ID = re.compile(r":cloudformation:.*:stack/[\w-]+/\*$")
"""An ARN of a stack by its name: CloudFormation adds an id to it."""


def follows_naming_prefix(resource: str, stages: Iterable[str], workloads: Iterable[str]) -> bool:
    """Says whether a resource's only wildcards come after the naming prefix of one workload.

    Args:
        resource: An ARN as text; references are opaque text without wildcards.
        stages: Names of the stages.
        workloads: Names of the workloads.
    """
    start, star, rest = resource.partition("*")
    if not star or re.search(r"[*?]", rest.removeprefix(":").removesuffix("*")):
        return False
    prefixes = [runtime_prefix(stage, workload) for stage in stages for workload in workloads]
    objects = [f"/{workload}/" for workload in workloads]
    tables = [f"/{workload}_" for workload in workloads]
    return any(prefix in start for prefix in (*prefixes, *objects, *tables))


def reason_for(resource: str, stages: Iterable[str], workloads: Iterable[str]) -> str | None:
    """Returns why a resource may hold a wildcard, or nothing where it may not."""
    if follows_naming_prefix(resource, stages, workloads):
        return "The naming prefix of one workload: what comes after it is made at run time, so no template knows it"
    if STACK_ID.search(resource):
        return "CloudFormation adds an id to the name of a stack, which no template knows before the stack exists"
    start = resource.partition("*")[0]
    return next((reason for name, reason in NAMED_BY_SERVICES.items() if name in start), None)


def as_text(value: Any) -> str:
    """Renders a property of a template as text in which references are opaque."""
    if isinstance(value, Mapping):
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return str(separator).join(as_text(part) for part in parts)
        if "Fn::Sub" in value:
            return str(value["Fn::Sub"])
        return "<" + "/".join(sorted(value)) + ">"
    return str(value)


def as_list(value: Any) -> list[Any]:
    """Returns a list as it is and anything else as a list of one."""
    return list(value) if isinstance(value, list) else [value]


def unexplained(statement: Mapping[str, Any], stages: Iterable[str], workloads: Iterable[str]) -> list[str]:
    """Returns the wildcards of one allowing statement that are neither the naming prefix nor unavoidable."""
    stages, workloads = tuple(stages), tuple(workloads)
    actions = [str(action) for action in as_list(statement["Action"])]
    found = [f"action {action}" for action in actions if "*" in action]
    for resource in map(as_text, as_list(statement["Resource"])):
        if resource == "*":
            found += [f"resource * for {action}" for action in actions if action not in WITHOUT_RESOURCE]
        elif "*" in resource and reason_for(resource, stages, workloads) is None:
            found.append(f"resource {resource}")
    return found
