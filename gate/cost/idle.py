"""What costs while nothing happens: every resource of the templates is priced, or costs nothing by a written reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from constructs_lib.names.prices import HOURS_PER_MONTH, Thing, price_of
from gate.assembly import StackTemplate
from gate.findings import Finding

Properties = Mapping[str, Any]

DEV: Final = "dev"
DEV_LIMIT_USD: Final = 10.0
"""What the stage ``dev`` may cost in a month with one workload and no endpoint."""

WITHOUT_PRICE: Final[Mapping[Thing, int]] = {"dashboard month": 3}
"""What AWS takes nothing for in an account: its first three dashboards."""

LATER_KEY_VERSIONS: Final = 2
"""A key that is rotated every year costs as much again after the first and the second rotation, and no more then."""


@dataclass(frozen=True)
class Line:
    """What some resources of one kind cost in a month.

    Attributes:
        stack: Their stack.
        what: What they are.
        units: How many units of it there are in a month, such as hours.
        thing: What a unit is; None where no source gives a price.
        usd: What they cost; None where no source gives a price.
    """

    stack: str
    what: str
    units: float
    thing: Thing | None
    usd: float | None


@dataclass(frozen=True)
class Units:
    """What one resource takes in a month."""

    what: str
    thing: Thing | None
    units: float


class UnknownType(ValueError):
    """A template holds resources of which nobody has written down what they cost."""


def _alarm(properties: Properties) -> Iterator[Units]:
    watched = [each for each in properties.get("Metrics", []) if "MetricStat" in each]
    bounds = 2 if "ThresholdMetricId" in properties else 0
    yield Units("alarms, by the metrics that they watch", "alarm month", max(1, len(watched)) + bounds)


def _endpoint(properties: Properties) -> Iterator[Units]:
    if properties.get("VpcEndpointType") == "Interface":
        zones = len(properties["SubnetIds"])
        yield Units("interface endpoints, by zone", "interface endpoint hour", zones * HOURS_PER_MONTH)


def _tracking(properties: Properties) -> Iterator[Units]:
    small = properties.get("TrackingServerSize") == "Small"
    thing: Thing | None = "MLflow small server hour" if small else None
    yield Units(f"MLflow server ({properties.get('TrackingServerSize')})", thing, HOURS_PER_MONTH)


def _namespace(properties: Properties) -> Iterator[Units]:
    if properties.get("ManageAdminPassword"):
        yield Units("secret of the warehouse's administrator", "secret month", 1)


def _domain(properties: Properties) -> Iterator[Units]:
    cluster = properties["ClusterConfig"]
    count = cluster["InstanceCount"]
    yield Units(f"search nodes ({cluster['InstanceType']})", None, count * HOURS_PER_MONTH)
    yield Units("disks of search nodes, by gigabyte", None, count * properties["EBSOptions"]["VolumeSize"])
    if cluster.get("DedicatedMasterEnabled"):
        masters = cluster["DedicatedMasterCount"] * HOURS_PER_MONTH
        yield Units(f"masters of the search ({cluster['DedicatedMasterType']})", None, masters)


def _nothing(_properties: Properties) -> Iterator[Units]:
    return iter(())


def _one(what: str, thing: Thing | None, units: float = 1) -> Callable[[Properties], Iterator[Units]]:
    return lambda _properties: iter([Units(what, thing, units)])


PRICED: Final[Mapping[str, Callable[[Properties], Iterator[Units]]]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _one("composite alarms", "composite alarm month"),
    "AWS::CloudWatch::Dashboard": _one("dashboards", "dashboard month"),
    "AWS::EC2::EIP": _one("public addresses", "public address hour", HOURS_PER_MONTH),
    "AWS::EC2::NatGateway": _one("NAT gateways", "NAT gateway hour", HOURS_PER_MONTH),
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::FSx::FileSystem": _one("Lustre file systems", None),
    "AWS::KMS::Key": _one("customer-managed keys", "key month"),
    "AWS::OpenSearchService::Domain": _domain,
    "AWS::RedshiftServerless::Namespace": _namespace,
    "AWS::SageMaker::MlflowTrackingServer": _tracking,
    "AWS::SageMaker::Space": _one("volumes of notebooks, once they were opened", None),
    "AWS::SecretsManager::Secret": _one("secrets", "secret month"),
    "AWS::WAFv2::WebACL": _one("access control lists of the firewall, with their rules", None),
}
"""Type to what one of it takes while it is there."""

_IDENTITY = "permissions have no price"
_DEFINITION = "a definition; what it starts is paid for while it runs"
_STORED = "paid for by what is stored in it and asked of it"
_NETWORK = "has no price of its own"

FREE: Final[Mapping[str, str]] = {
    "AWS::ApiGateway::Account": "a setting",
    "AWS::ApiGateway::Deployment": "part of its API",
    "AWS::ApiGateway::RestApi": "paid for by calls",
    "AWS::ApiGateway::Stage": "part of its API; none has a cache",
    "AWS::Athena::NamedQuery": "a text; queries are paid for by what they read",
    "AWS::Athena::WorkGroup": "queries are paid for by what they read",
    "AWS::Budgets::Budget": "budgets that only tell have no price",
    "AWS::CDK::Metadata": "a note",
    "AWS::CE::AnomalyMonitor": "looking for unusual costs has no price",
    "AWS::CE::AnomalySubscription": "looking for unusual costs has no price",
    "AWS::CloudTrail::Trail": "paid for by data events, which are requests for objects, and by what is stored",
    "AWS::CodeBuild::Project": _DEFINITION,
    "AWS::CodeDeploy::Application": "deployments of functions have no price",
    "AWS::CodeDeploy::DeploymentConfig": "deployments of functions have no price",
    "AWS::CodeDeploy::DeploymentGroup": "deployments of functions have no price",
    "AWS::CodePipeline::Pipeline": "of the second type: paid for by minutes of its actions",
    "AWS::DataBrew::Dataset": _DEFINITION,
    "AWS::DynamoDB::Table": f"on demand: {_STORED}",
    "AWS::EC2::FlowLog": "paid for by what is written",
    "AWS::EC2::InternetGateway": _NETWORK,
    "AWS::EC2::Route": _NETWORK,
    "AWS::EC2::RouteTable": _NETWORK,
    "AWS::EC2::SecurityGroup": _NETWORK,
    "AWS::EC2::SecurityGroupEgress": _NETWORK,
    "AWS::EC2::SecurityGroupIngress": _NETWORK,
    "AWS::EC2::Subnet": _NETWORK,
    "AWS::EC2::SubnetRouteTableAssociation": _NETWORK,
    "AWS::EC2::VPC": _NETWORK,
    "AWS::EC2::VPCGatewayAttachment": _NETWORK,
    "AWS::ECR::Repository": _STORED,
    "AWS::Events::Rule": "events of AWS and schedules have no price",
    "AWS::FSx::DataRepositoryAssociation": "part of its file system",
    "AWS::Glue::Connection": _DEFINITION,
    "AWS::Glue::Crawler": _DEFINITION,
    "AWS::Glue::DataCatalogEncryptionSettings": "a setting",
    "AWS::Glue::DataQualityRuleset": _DEFINITION,
    "AWS::Glue::Database": "a million objects of the catalogue have no price",
    "AWS::Glue::Job": _DEFINITION,
    "AWS::Glue::SecurityConfiguration": "a setting",
    "AWS::Glue::Table": "a million objects of the catalogue have no price",
    "AWS::IAM::ManagedPolicy": _IDENTITY,
    "AWS::IAM::Policy": _IDENTITY,
    "AWS::IAM::Role": _IDENTITY,
    "AWS::KMS::Alias": "part of its key",
    "AWS::KinesisFirehose::DeliveryStream": "paid for by what is delivered",
    "AWS::LakeFormation::DataLakeSettings": _IDENTITY,
    "AWS::LakeFormation::PrincipalPermissions": _IDENTITY,
    "AWS::LakeFormation::Resource": _IDENTITY,
    "AWS::LakeFormation::Tag": _IDENTITY,
    "AWS::LakeFormation::TagAssociation": _IDENTITY,
    "AWS::Lambda::Alias": "part of its function",
    "AWS::Lambda::EventSourceMapping": "asks its queue, which has no price below a million requests a month",
    "AWS::Lambda::Function": "paid for by calls",
    "AWS::Lambda::Permission": _IDENTITY,
    "AWS::Lambda::Version": "part of its function",
    "AWS::Logs::LogGroup": "paid for by what is written and kept",
    "AWS::Logs::LogStream": "part of its group",
    "AWS::Logs::QueryDefinition": "a text; queries are paid for by what they read",
    "AWS::Logs::ResourcePolicy": _IDENTITY,
    "AWS::Logs::SubscriptionFilter": "what it sends is paid for by whoever takes it",
    "AWS::RedshiftServerless::Workgroup": "paid for while queries run",
    "AWS::S3::Bucket": _STORED,
    "AWS::S3::BucketPolicy": _IDENTITY,
    "AWS::SNS::Subscription": "part of its topic",
    "AWS::SNS::Topic": "paid for by messages",
    "AWS::SNS::TopicPolicy": _IDENTITY,
    "AWS::SQS::Queue": "paid for by requests",
    "AWS::SQS::QueuePolicy": _IDENTITY,
    "AWS::SageMaker::CodeRepository": "an address",
    "AWS::SageMaker::Domain": "paid for while applications run in it",
    "AWS::SageMaker::FeatureGroup": f"on demand: {_STORED}",
    "AWS::SageMaker::MlflowApp": "serverless: paid for by use",
    "AWS::SageMaker::ModelPackageGroup": "a list; artefacts lie in S3",
    "AWS::SageMaker::Pipeline": _DEFINITION,
    "AWS::SageMaker::UserProfile": "part of its domain",
    "AWS::Scheduler::Schedule": "paid for by what it starts",
    "AWS::SSM::Parameter": "standard parameters have no price",
    "AWS::StepFunctions::StateMachine": "paid for by transitions",
    "AWS::WAFv2::WebACLAssociation": "part of its list",
}
"""Type to the reason why one of it costs nothing while nothing happens."""


def unknown_types(templates: Iterable[StackTemplate]) -> list[Finding]:
    """Returns a finding for every type of which it is not written down what it costs."""
    found = {
        (each["Type"], template.stack)
        for template in templates
        for each in template.resources.values()
        if each["Type"] not in PRICED and each["Type"] not in FREE
    }
    return [
        Finding(stack, "", "cost-is-known", f"nobody has written down what {kind} costs; add it to gate/cost/idle.py")
        for kind, stack in sorted(found)
    ]


def idle_lines(template: StackTemplate, region: str) -> list[Line]:
    """Returns what the resources of a stack cost in a month in which nothing happens, by kind.

    Raises:
        UnknownType: It holds a type of which it is not written down what it costs.
    """
    unknown = unknown_types([template])
    if unknown:
        raise UnknownType("\n".join(map(str, unknown)))
    totals: dict[tuple[str, Thing | None], float] = {}
    for resource in template.resources.values():
        for units in PRICED.get(resource["Type"], _nothing)(resource.get("Properties", {})):
            key = units.what, units.thing
            totals[key] = totals.get(key, 0.0) + units.units
    lines = []
    for (what, thing), count in totals.items():
        price = price_of(region, thing) if thing is not None else None
        usd = None if price is None else count * price.usd
        lines.append(Line(template.stack, what, count, thing if price is not None else None, usd))
    return lines


def rotated_keys(templates: Iterable[StackTemplate]) -> int:
    """Returns how many keys get a new version every year, which costs as much as the key."""
    return sum(
        bool(key.get("Properties", {}).get("EnableKeyRotation"))
        for template in templates
        for key in template.of_type("AWS::KMS::Key").values()
    )


def total(lines: Iterable[Line]) -> float:
    """Returns what lines cost together, as far as there are prices."""
    return sum(line.usd for line in lines if line.usd is not None)


def total_alone(lines: Iterable[Line]) -> float:
    """Returns what lines cost together in an account that has nothing else, as far as there are prices."""
    lines = list(lines)
    cost = total(lines)
    for thing, count in WITHOUT_PRICE.items():
        own = [line for line in lines if line.thing == thing and line.usd is not None]
        units = sum(line.units for line in own)
        if units:
            cost -= total(own) * min(count, units) / units
    return cost


def stage_of(stack: str) -> str | None:
    """Returns the stage of a stack; None for one that an account has."""
    return stack.split("-", 1)[0] if "-" in stack and not stack.startswith("Account") else None


def with_one_workload(templates: Iterable[StackTemplate], stage: str, workload: str) -> list[StackTemplate]:
    """Returns the stacks that a stage would have with one workload, those of its account among them.

    Args:
        workload: As the ids of its stacks spell it.
    """
    own = (f"{stage}-{workload}State", f"{stage}-{workload}Workload")
    of_workloads = ("State", "Workload")
    return [
        template
        for template in templates
        if stage_of(template.stack) is None
        or (stage_of(template.stack) == stage and (template.stack in own or not template.stack.endswith(of_workloads)))
    ]


def check_idle(templates: Iterable[StackTemplate], region: str, workloads: Iterable[str]) -> list[Finding]:
    """Returns a finding for every unknown type, and for each workload with which ``dev`` alone idles for too much.

    Args:
        region: Of the stage ``dev``.
        workloads: As the ids of their stacks spell them.
    """
    templates = list(templates)
    found = unknown_types(templates)
    if found or not any(stage_of(template.stack) == DEV for template in templates):
        return found
    for workload in workloads:
        lines = [
            line for template in with_one_workload(templates, DEV, workload) for line in idle_lines(template, region)
        ]
        cost, unpriced = total_alone(lines), [line.what for line in lines if line.usd is None]
        if cost >= DEV_LIMIT_USD or unpriced:
            also = f" and {', '.join(unpriced)}, which have no price here" if unpriced else ""
            message = f"idles for {cost:.2f} USD a month{also} with {workload} alone; at most {DEV_LIMIT_USD:.0f} USD"
            found.append(Finding(DEV, "", "dev-idles-for-little", message))
    return found
