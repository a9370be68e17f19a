"""What is scaled and how: targets, policies and scheduled actions of SageMaker's variants."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from local.server import clock
from local.server.clients import service_model
from local.server.host import Caller, Host, Request, Response, ServiceError
from local.server.sagemaker.shaping import shaped
from local.server.sagemaker.store import AlreadyThere, Document, Store
from local.server.set_times import BadTime, next_time
from local.server.validation import validate

NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
PREDEFINED = ("SageMakerVariantInvocationsPerInstance",)
TARGET, POLICY, ACTION, ACTIVITY = "ScalableTarget", "ScalingPolicy", "ScheduledAction", "ScalingActivity"
_SERVICE_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
_PRINCIPAL = "sagemaker.application-autoscaling.amazonaws.com"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")

Operation = Callable[[Document, Caller], Document]


def place_of(resource_id: str) -> tuple[str, str]:
    """The endpoint and the variant that a resource id names.

    Raises:
        ServiceError: It names none (``ValidationException``).
    """
    matched = _RESOURCE.fullmatch(resource_id)
    if matched is None:
        raise _invalid(
            f"Unsupported resource id {resource_id!r}; the local server scales endpoint/<name>/variant/<name>"
        )
    return matched[1], matched[2]


class AutoScaling:
    """The operations of Application Auto Scaling."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.store = Store(host.settings.state_dir / "autoscaling.sqlite")
        self._operations: dict[str, Operation] = {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._listed(TARGET, "ScalableTargets"),
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._deleted(POLICY, "PolicyName"),
            "DescribeScalingPolicies": self._listed(POLICY, "ScalingPolicies"),
            "PutScheduledAction": self._put_action,
            "DeleteScheduledAction": self._deleted(ACTION, "ScheduledActionName"),
            "DescribeScheduledActions": self._listed(ACTION, "ScheduledActions"),
            "DescribeScalingActivities": self._listed(ACTIVITY, "ScalingActivities"),
        }

    def handle(self, request: Request) -> Response:
        """Serve one request, whose permission has been checked."""
        name = request.operation
        if name not in self._operations:
            raise ServiceError("UnknownOperationException", f"{name or 'this'} is not available on the local server")
        model = service_model("application-autoscaling").operation_model(name)
        params = {key: value for key, value in request.json().items() if value is not None}
        validate(model.input_shape, params)
        if params["ServiceNamespace"] != NAMESPACE:
            raise _invalid(f"the local server scales {NAMESPACE} only, not {params['ServiceNamespace']}")
        if params.get("ScalableDimension", INSTANCES) != INSTANCES:
            raise _invalid(f"the local server scales {INSTANCES} only, not {params['ScalableDimension']}")
        return Response.of_json(shaped(model.output_shape, self._operations[name](params, request.caller)))

    def resource(self, request: Request) -> str:
        """The ARN that a request needs the permission on; lists know none."""
        params = request.json()
        if request.operation.startswith("Describe") or "ResourceId" not in params:
            return "*"
        return self._target_arn(str(params["ResourceId"]))

    def conditions(self, request: Request) -> dict[str, str]:
        """The condition keys of a request."""
        params = request.json()
        keys = {"service-namespace": "ServiceNamespace", "scalable-dimension": "ScalableDimension"}
        return {f"application-autoscaling:{key}": str(params[name]) for key, name in keys.items() if params.get(name)}

    # -- targets

    def _register(self, params: Document, caller: Caller) -> Document:
        endpoint, variant = place_of(params["ResourceId"])
        self._check_caller(caller, endpoint)
        self._require_variant(endpoint, variant)
        key = _key(params)
        before = self.store.find(TARGET, key) or {}
        least = params.get("MinCapacity", before.get("MinCapacity"))
        most = params.get("MaxCapacity", before.get("MaxCapacity"))
        if least is None or most is None:
            raise _invalid("MinCapacity and MaxCapacity must be given when a target is registered first")
        if not 0 <= least <= most:
            raise _invalid(f"Minimum capacity {least} must be from 0 to the maximum capacity {most}")
        arn = self._target_arn(params["ResourceId"])
        role = f"arn:aws:iam::{self._host.settings.account}:role/aws-service-role/{_PRINCIPAL}/{_SERVICE_ROLE}"
        found = {**params, "MinCapacity": least, "MaxCapacity": most, "ScalableTargetARN": arn, "RoleARN": role}
        self._put(TARGET, key, {**found, "SuspendedState": params.get("SuspendedState", before.get("SuspendedState"))})
        return {"ScalableTargetARN": arn}

    def _check_caller(self, caller: Caller, endpoint: str) -> None:
        """What AWS asks of whoever has an endpoint scaled, which a role of the service then does."""
        settings = self._host.settings
        arn = f"arn:aws:sagemaker:{settings.region}:{settings.account}:endpoint/{endpoint}"
        for action in ("DescribeEndpoint", "UpdateEndpointWeightsAndCapacities"):
            self._host.check(caller, f"sagemaker:{action}", arn)
        role = f"arn:aws:iam::{settings.account}:role/aws-service-role/{_PRINCIPAL}/{_SERVICE_ROLE}"
        if not self.store.all(TARGET):
            self._host.check(caller, "iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": _PRINCIPAL})

    def _require_variant(self, endpoint: str, variant: str) -> None:
        try:
            found = self._host.client("sagemaker").describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            raise _invalid(f"No endpoint found for resource ID endpoint/{endpoint}/variant/{variant}") from error
        if variant not in {each["VariantName"] for each in found.get("ProductionVariants", [])}:
            raise _invalid(f"No variant {variant} in endpoint {endpoint}")

    def _deregister(self, params: Document, _caller: Caller) -> Document:
        self._require_target(params, "ObjectNotFoundException")
        for kind, member in ((POLICY, "PolicyName"), (ACTION, "ScheduledActionName")):
            for each in self.of_target(kind, params["ResourceId"]):
                self.store.remove(kind, _key(each, each[member]))
        self.store.remove(TARGET, _key(params))
        return {}

    def target(self, resource_id: str) -> Document | None:
        """What is registered, or ``None``."""
        return self.store.find(TARGET, resource_id)

    def of_target(self, kind: str, resource_id: str) -> list[Document]:
        """The policies, scheduled actions or activities of a target."""
        return [each for each in self.store.all(kind) if each["ResourceId"] == resource_id]

    # -- policies and set times

    def _put_policy(self, params: Document, caller: Caller) -> Document:
        self._require_target(params, "ObjectNotFoundException")
        key = _key(params, params["PolicyName"])
        kind = params.get("PolicyType", "StepScaling")
        before = self.store.find(POLICY, key)
        arn = before["PolicyARN"] if before is not None else self._arn("scalingPolicy", f"{key}:policyName")
        alarms: list[Document] = []
        if kind == "TargetTrackingScaling":
            alarms = self._tracking_alarms(params, caller)
        elif kind == "StepScaling":
            if not params.get("StepScalingPolicyConfiguration", {}).get("StepAdjustments"):
                raise _invalid("StepScalingPolicyConfiguration with StepAdjustments must be given for StepScaling")
        else:
            raise _invalid(f"PolicyType {kind} is not available on the local server")
        self._put(POLICY, key, {**params, "PolicyType": kind, "PolicyARN": arn, "Alarms": alarms})
        return {"PolicyARN": arn, "Alarms": alarms}

    def _tracking_alarms(self, params: Document, caller: Caller) -> list[Document]:
        """The two alarms that AWS makes for a policy; here the scaler looks for itself."""
        asked = params.get("TargetTrackingScalingPolicyConfiguration")
        if asked is None:
            raise _invalid("TargetTrackingScalingPolicyConfiguration must be given for TargetTrackingScaling")
        named = [name for name in ("PredefinedMetricSpecification", "CustomizedMetricSpecification") if name in asked]
        if len(named) != 1:
            raise _invalid(
                "exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given"
            )
        predefined = asked.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if predefined is not None and predefined not in PREDEFINED:
            raise _invalid(f"{predefined} is not available on the local server (is: {', '.join(PREDEFINED)})")
        if "Metrics" in asked.get("CustomizedMetricSpecification", {}):
            raise _invalid("metric math of a policy is not available on the local server")
        settings = self._host.settings
        names = [
            f"TargetTracking-{params['ResourceId']}-Alarm{side}-{params['PolicyName']}" for side in ("High", "Low")
        ]
        arns = [f"arn:aws:cloudwatch:{settings.region}:{settings.account}:alarm:{name}" for name in names]
        for arn in arns:
            self._host.check(caller, "cloudwatch:PutMetricAlarm", arn)
        return [{"AlarmName": name, "AlarmARN": arn} for name, arn in zip(names, arns, strict=True)]

    def _put_action(self, params: Document, _caller: Caller) -> Document:
        self._require_target(params, "ObjectNotFoundException")
        key = _key(params, params["ScheduledActionName"])
        before = self.store.find(ACTION, key) or {}
        found = {**before, **params}
        if "Schedule" not in found:
            raise _invalid("Schedule must be given when a scheduled action is made")
        now = clock.now()
        try:
            due = next_time(found["Schedule"], found.get("Timezone", "UTC"), now, now)
        except BadTime as error:
            raise _invalid(str(error)) from error
        action = found.get("ScalableTargetAction", {})
        if not {"MinCapacity", "MaxCapacity"} & set(action):
            raise _invalid("ScalableTargetAction must have MinCapacity or MaxCapacity")
        arn = self._arn("scheduledAction", f"{key}:scheduledActionName")
        self._put(ACTION, key, {**found, "ScheduledActionARN": arn, "_Due": due, "_Anchor": now})
        return {}

    # -- helpers

    def _listed(self, kind: str, member: str) -> Operation:
        def listed(params: Document, _caller: Caller) -> Document:
            found = self.store.all(kind)
            ids = params.get("ResourceIds", [params["ResourceId"]] if "ResourceId" in params else None)
            names = params.get("PolicyNames", params.get("ScheduledActionNames"))
            name = "PolicyName" if kind == POLICY else "ScheduledActionName"
            chosen = [
                each
                for each in found
                if (ids is None or each["ResourceId"] in ids) and (names is None or each.get(name) in names)
            ]
            return {member: chosen}

        return listed

    def _deleted(self, kind: str, member: str) -> Operation:
        def deleted(params: Document, caller: Caller) -> Document:
            key = _key(params, params[member])
            found = self.store.find(kind, key)
            if found is None:
                raise ServiceError("ObjectNotFoundException", f"No {kind} found for {params[member]}")
            for alarm in found.get("Alarms", []):
                self._host.check(caller, "cloudwatch:DeleteAlarms", alarm["AlarmARN"])
            self.store.remove(kind, key)
            return {}

        return deleted

    def _require_target(self, params: Document, code: str) -> None:
        if self.store.find(TARGET, _key(params)) is None:
            raise ServiceError(code, f"No scalable target registered for {params['ResourceId']}")

    def _put(self, kind: str, key: str, document: Document) -> None:
        try:
            self.store.add(kind, key, document)
        except AlreadyThere:
            self.store.change(kind, key, **document)

    def _target_arn(self, resource_id: str) -> str:
        settings = self._host.settings
        number = hashlib.sha256(resource_id.encode()).hexdigest()[:32]
        return f"arn:aws:application-autoscaling:{settings.region}:{settings.account}:scalable-target/{number}"

    def _arn(self, kind: str, rest: str) -> str:
        settings = self._host.settings
        number = hashlib.sha256(rest.encode()).hexdigest()[:32]
        return f"arn:aws:autoscaling:{settings.region}:{settings.account}:{kind}:{number}:resource/{NAMESPACE}/{rest}"


def _key(params: Document, name: str | None = None) -> str:
    resource_id: Any = params["ResourceId"]
    return str(resource_id) if name is None else f"{resource_id}/{name}"


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
