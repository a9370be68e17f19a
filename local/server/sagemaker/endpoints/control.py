"""Endpoints: created, updated, scaled and deleted, and brought back when the server starts again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.server.host import Caller
from local.server.sagemaker.endpoints.configs import EndpointConfigs, retained
from local.server.sagemaker.endpoints.deployment import HalfBack, Replacement, RolledBack, RollingReplacement, retire
from local.server.sagemaker.endpoints.fleet import Fleet, FleetFailed, initial_count
from local.server.sagemaker.endpoints.rollout import Rollout
from local.server.sagemaker.endpoints.traffic import Route, Traffic
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.models import Models
from local.server.sagemaker.platform import Operation, Platform, log
from local.server.sagemaker.resources import ENDPOINT, ENDPOINT_CONFIG
from local.server.sagemaker.role_needs import check_disk_key
from local.server.sagemaker.shaping import milliseconds
from local.server.sagemaker.store import AlreadyThere, Document

_LONGEST_REASON = 1024
_HALF_BACK = "UpdateRollbackFailed"
_SERVED_DURING = ("InService", "Updating", "RollingBack", _HALF_BACK)


@dataclass
class Live:
    """An endpoint that has, or is about to have, a fleet.

    Attributes:
        ready: Set once it is known whether the fleet came up; requests wait for it after a restart.
    """

    fleet: Fleet
    traffic: Traffic
    ready: threading.Event = field(default_factory=threading.Event)
    serving: bool = False


class Endpoints:
    """Every endpoint of the account."""

    def __init__(self, platform: Platform, configs: EndpointConfigs, models: Models) -> None:
        self._platform = platform
        self._store = platform.store
        self._configs = configs
        self._models = models
        self._live: dict[str, Live] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": lambda params, _caller: self.endpoint(params["EndpointName"]),
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._scale,
            "DeleteEndpoint": self._delete,
        }

    def endpoint(self, name: str) -> Document:
        """An endpoint by its name.

        Raises:
            ServiceError: There is none (``ValidationException``).
        """
        endpoint = self._store.find(ENDPOINT.name, name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{self._platform.arn(ENDPOINT, name)}".')
        return endpoint

    def live(self, name: str) -> Live | None:
        """What serves an endpoint, or ``None``."""
        with self._lock:
            return self._live.get(name)

    def lives(self) -> dict[str, Live]:
        """What serves the endpoints, by their names."""
        with self._lock:
            return dict(self._live)

    # -- create

    def _create(self, params: Document, caller: Caller) -> Document:
        name = params["EndpointName"]
        arn = self._platform.arn(ENDPOINT, name)
        config = self._readable_config(caller, "sagemaker:CreateEndpoint", params["EndpointConfigName"])
        Rollout.parse(params.get("DeploymentConfig"), _instances(config))
        endpoint = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": params["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "Tags": params.get("Tags", []),
            "_Deployed": self._deployed(config),
        }
        self._platform.tag_new(caller, arn, endpoint)
        try:
            endpoint = self._store.add(ENDPOINT.name, name, endpoint)
        except AlreadyThere as error:
            raise invalid(f'Cannot create already existing endpoint "{arn}".') from error
        self._announce(endpoint)
        self._in_thread(name, lambda: self._bring_up(endpoint))
        return endpoint

    def _bring_up(self, endpoint: Document) -> None:
        name = endpoint["EndpointName"]
        reason = self._serve(endpoint)
        if reason is not None:
            self._change(name, EndpointStatus="Failed", FailureReason=reason)
            return
        config = endpoint["_Deployed"]["config"]
        self._change(
            name,
            EndpointStatus="InService",
            ProductionVariants=self._summaries(endpoint["_Deployed"]),
            ShadowProductionVariants=_shadow_summaries(endpoint["_Deployed"]),
            DataCaptureConfig=_capture_summary(config),
        )

    def _serve(self, endpoint: Document) -> str | None:
        """Start the fleet of an endpoint; returns the reason when it does not come up."""
        name = endpoint["EndpointName"]
        live = self._new_live(endpoint)
        with self._lock:
            self._live[name] = live
        try:
            live.fleet.start()
            live.serving = True
        except FleetFailed as error:
            with self._lock:
                self._live.pop(name, None)
            return str(error)
        finally:
            live.ready.set()
        return None

    def _new_live(self, endpoint: Document) -> Live:
        fleet = self._fleet(endpoint["EndpointName"], endpoint["_Deployed"])
        return Live(fleet, Traffic([Route(fleet, 1.0)], _weights(endpoint["_Deployed"]["config"])))

    # -- update

    def _update(self, params: Document, caller: Caller) -> Document:
        name = params["EndpointName"]
        endpoint = self._settled(name)
        config = self._readable_config(caller, "sagemaker:UpdateEndpoint", params["EndpointConfigName"])
        if params.get("RetainAllVariantProperties", False):
            exclude = {each["VariantPropertyType"] for each in params.get("ExcludeRetainedVariantProperties", [])}
            config = retained(config, endpoint, exclude)
        elif "ExcludeRetainedVariantProperties" in params:
            raise invalid("ExcludeRetainedVariantProperties needs RetainAllVariantProperties")
        deployment = params.get("DeploymentConfig")
        if params.get("RetainDeploymentConfig", False):
            deployment = endpoint.get("LastDeploymentConfig")
        rollout = Rollout.parse(deployment, _instances(config))
        if rollout.rolling:
            _check_rolling(config, endpoint)
        self._check_alarms(caller, rollout)
        deployed = self._deployed(config)
        endpoint = self._begin_update(name, params["EndpointConfigName"], deployment)
        self._in_thread(name, lambda: self._replace(name, params["EndpointConfigName"], deployed, rollout))
        return endpoint

    def _begin_update(self, name: str, config_name: str, deployment: Document | None) -> Document:
        def apply(endpoint: Document) -> None:
            self._require_settled(endpoint)
            endpoint["EndpointStatus"] = "Updating"
            endpoint.pop("FailureReason", None)
            endpoint["PendingDeploymentSummary"] = {"EndpointConfigName": config_name}
            if deployment is not None:
                endpoint["LastDeploymentConfig"] = deployment

        endpoint = self._store.edit(ENDPOINT.name, name, apply)
        self._announce(endpoint)
        return endpoint

    def _replace(self, name: str, config_name: str, deployed: Document, rollout: Rollout) -> None:
        live = self.live(name)
        if live is None:
            self._finish_update(name, "the endpoint has no fleet", {})
            return
        replacement = (RollingReplacement if rollout.rolling else Replacement)(
            host=self._platform.host,
            traffic=live.traffic,
            before=live.traffic.routes,
            had=sum(len(each.slots) for route in live.traffic.routes for each in route.fleet.variants.values()),
            new=self._fleet(name, deployed),
            weights=_weights(deployed["config"]),
            old_weights=_current_weights(self.endpoint(name)),
            rollout=rollout,
            stopping=self._platform.stopping,
            on_rollback=lambda: self._roll_back(name),
        )
        try:
            replacement.run()
        except RolledBack as error:
            mixed = len(replacement.before) > 1  # what a failed rollback has left serves on, and says so
            self._finish_update(name, str(error), {}, status=_HALF_BACK if mixed else "InService")
            return
        except HalfBack as error:
            self._finish_update(name, str(error), {}, status=_HALF_BACK)
            return
        live.fleet = replacement.new
        self._finish_update(name, None, self._in_service(config_name, deployed))
        for route in replacement.before:
            retire(live.traffic, route.fleet)

    def _in_service(self, config_name: str, deployed: Document) -> Document:
        return {
            "EndpointConfigName": config_name,
            "ProductionVariants": self._summaries(deployed),
            "ShadowProductionVariants": _shadow_summaries(deployed),
            "DataCaptureConfig": _capture_summary(deployed["config"]),
            "_Deployed": deployed,
        }

    def _roll_back(self, name: str) -> None:
        if not self._platform.stopping.is_set():
            self._change(name, EndpointStatus="RollingBack")

    def _finish_update(self, name: str, reason: str | None, members: Document, *, status: str = "InService") -> None:
        if self._platform.stopping.is_set():
            return
        self._change(
            name,
            EndpointStatus=status,
            FailureReason=None if reason is None else reason[:_LONGEST_REASON],
            PendingDeploymentSummary=None,
            **members,
        )

    def _check_alarms(self, caller: Caller, rollout: Rollout) -> None:
        settings = self._platform.settings
        for name in rollout.alarms:
            arn = f"arn:aws:cloudwatch:{settings.region}:{settings.account}:alarm:{name}"
            self._platform.host.check(caller, "cloudwatch:DescribeAlarms", arn)
        missing = set(rollout.alarms) - set(self._platform.host.alarm_states(rollout.alarms))
        if missing:
            raise invalid(f"Could not find CloudWatch alarms of AutoRollbackConfiguration: {sorted(missing)}")

    # -- scale

    def _scale(self, params: Document, _caller: Caller) -> Document:
        name = params["EndpointName"]
        endpoint = self._settled(name)
        wanted = {each["VariantName"]: each for each in params["DesiredWeightsAndCapacities"]}
        known = {variant["VariantName"] for variant in endpoint["ProductionVariants"]}
        if wanted.keys() - known:
            raise invalid(f"variants {sorted(wanted.keys() - known)} are not in endpoint {name}: {sorted(known)}")
        for each in wanted.values():
            if "ServerlessUpdateConfig" in each:
                raise unsupported("ServerlessUpdateConfig")
            if each.get("DesiredInstanceCount", 1) < 1 and not _is_asynchronous(endpoint):
                raise invalid("DesiredInstanceCount of 0 is for asynchronous endpoints and inference components")
            if "DesiredInstanceCount" in each and "ServerlessConfig" in _variant_of(endpoint, each["VariantName"]):
                raise invalid("a serverless variant has no instances")
        endpoint = self._begin_scaling(name, wanted)
        self._in_thread(name, lambda: self._apply_scaling(name))
        return endpoint

    def _begin_scaling(self, name: str, wanted: dict[str, Document]) -> Document:
        def apply(endpoint: Document) -> None:
            self._require_settled(endpoint)
            endpoint["EndpointStatus"] = "Updating"
            endpoint.pop("FailureReason", None)
            for variant in endpoint["ProductionVariants"]:
                each = wanted.get(variant["VariantName"], {})
                variant["DesiredWeight"] = each.get("DesiredWeight", variant["DesiredWeight"])
                if "DesiredInstanceCount" in each:
                    variant["DesiredInstanceCount"] = each["DesiredInstanceCount"]

        endpoint = self._store.edit(ENDPOINT.name, name, apply)
        self._announce(endpoint)
        return endpoint

    def _apply_scaling(self, name: str) -> None:
        live = self.live(name)
        endpoint = self.endpoint(name)
        reason = None
        if live is not None:
            live.traffic.set_weights(_desired_weights(endpoint))
            try:
                for variant in endpoint["ProductionVariants"]:
                    _resize(live, variant)
            except FleetFailed as error:
                reason = str(error)
        self._finish_update(name, reason, _scaled(endpoint, failed=reason is not None))

    # -- delete

    def _delete(self, params: Document, _caller: Caller) -> Document:
        name = params["EndpointName"]

        def apply(endpoint: Document) -> None:
            if endpoint["EndpointStatus"] not in ("InService", "Failed", _HALF_BACK):
                raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
            endpoint["EndpointStatus"] = "Deleting"

        self.endpoint(name)
        endpoint = self._store.edit(ENDPOINT.name, name, apply)
        self._announce(endpoint)
        with self._lock:
            live = self._live.pop(name, None)
        self._in_thread(name, lambda: self._take_down(endpoint, live))
        return {}

    def _take_down(self, endpoint: Document, live: Live | None) -> None:
        if live is not None:
            for route in live.traffic.routes:
                retire(live.traffic, route.fleet)
        self._store.remove(ENDPOINT.name, endpoint["EndpointName"])
        self._store.remove_tags(endpoint["EndpointArn"])

    # -- life

    def recover(self) -> None:
        """After a restart: what was in service is brought back, what was being created has failed."""
        for endpoint in self._store.all(ENDPOINT.name):
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            if status in _SERVED_DURING:
                with self._lock:
                    self._live[name] = self._new_live(endpoint)
                self._in_thread(name, lambda endpoint=endpoint: self._bring_back(endpoint))  # type: ignore[misc]
            elif status == "Creating":
                reason = "the local server was stopped while the endpoint was being created"
                self._change(name, EndpointStatus="Failed", FailureReason=reason)
            elif status == "Deleting":
                self._take_down(endpoint, None)

    def _bring_back(self, endpoint: Document) -> None:
        name = endpoint["EndpointName"]
        live = self.live(name)
        assert live is not None  # noqa: S101 - recover puts it there
        reason = None
        try:
            live.fleet.start()
            live.traffic.set_weights(_current_weights(endpoint))
            live.serving = True
        except FleetFailed as error:
            reason = str(error)
        finally:
            live.ready.set()
        if reason is not None:
            self._change(name, EndpointStatus="Failed", FailureReason=reason[:_LONGEST_REASON])
        elif endpoint["EndpointStatus"] != "InService":
            self._finish_update(name, "the local server was stopped while the endpoint was being updated", {})

    def close(self) -> None:
        """End every fleet."""
        with self._lock:
            lives = list(self._live.values())
            self._live.clear()
        for live in lives:
            for fleet in {
                id(each): each for each in (live.fleet, *(route.fleet for route in live.traffic.routes))
            }.values():
                fleet.stop()

    # -- helpers

    def _in_thread(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever goes wrong, the endpoint must not stay in progress
                log.exception("endpoint %s", name)
                if not self._platform.stopping.is_set():
                    reason = f"InternalServerError: {type(error).__name__}: {error}"
                    self._change(name, EndpointStatus="Failed", FailureReason=reason[:_LONGEST_REASON])

        threading.Thread(target=run, name=f"endpoint {name}", daemon=True).start()

    def _change(self, name: str, **members: Any) -> None:
        self._announce(self._store.change(ENDPOINT.name, name, **members))

    def _announce(self, endpoint: Document) -> None:
        status = _EVENT_STATUS.get(endpoint["EndpointStatus"], endpoint["EndpointStatus"].upper())
        times = {name: milliseconds(endpoint[name]) for name in ("CreationTime", "LastModifiedTime")}
        self._platform.emit(ENDPOINT, "Endpoint", endpoint, EndpointStatus=status, **times)

    def _settled(self, name: str) -> Document:
        endpoint = self.endpoint(name)
        self._require_settled(endpoint)
        return endpoint

    @staticmethod
    def _require_settled(endpoint: Document) -> None:
        if endpoint["EndpointStatus"] not in ("InService", _HALF_BACK):
            arn, status = endpoint["EndpointArn"], endpoint["EndpointStatus"]
            if status == "Failed":
                raise invalid(f'Cannot update failed endpoint "{arn}".')
            raise invalid(f'Cannot update in-progress endpoint "{arn}".')

    def _readable_config(self, caller: Caller, action: str, name: str) -> Document:
        """The configuration; the action needs permission on it as well as on the endpoint, and on its disk key."""
        self._platform.host.check(caller, action, self._platform.arn(ENDPOINT_CONFIG, name))
        config = self._configs.config(name)
        check_disk_key(self._platform.host, config.get("KmsKeyId"), caller)
        return config

    def _deployed(self, config: Document) -> Document:
        """What an endpoint keeps of its configuration and models, which may be deleted while it serves."""
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
        names = {variant["ModelName"] for variant in variants}
        return {"config": config, "models": {name: self._models.model(name) for name in names}}

    def _fleet(self, name: str, deployed: Document) -> Fleet:
        return Fleet(self._platform, name, deployed["config"], deployed["models"])

    @staticmethod
    def _summaries(deployed: Document) -> list[Document]:
        return [_summary(variant, deployed["models"]) for variant in deployed["config"]["ProductionVariants"]]


_EVENT_STATUS = {
    "InService": "IN_SERVICE",
    "RollingBack": "ROLLING_BACK",
    "OutOfService": "OUT_OF_SERVICE",
    _HALF_BACK: "UPDATE_ROLLBACK_FAILED",
}


def _check_rolling(config: Document, endpoint: Document) -> None:
    """Refuse what a rolling deployment cannot do: several variants, another one, or to start from a mixture."""
    names = [variant["VariantName"] for variant in config["ProductionVariants"]]
    serving = [variant["VariantName"] for variant in endpoint["ProductionVariants"]]
    if len(names) != 1 or names != serving:
        raise invalid(f"a rolling deployment needs one production variant, the same before and after, not {names}")
    if endpoint["EndpointStatus"] == _HALF_BACK:
        raise invalid("a rolling deployment cannot start from a failed rollback; use a blue/green deployment")


def _is_asynchronous(endpoint: Document) -> bool:
    return "AsyncInferenceConfig" in endpoint["_Deployed"]["config"]


def _variant_of(endpoint: Document, name: str) -> Document:
    found = (each for each in endpoint["_Deployed"]["config"]["ProductionVariants"] if each["VariantName"] == name)
    variant: Document = next(found, {})
    return variant


def _instances(config: Document) -> int:
    return sum(initial_count(variant) for variant in config["ProductionVariants"])


def _weights(config: Document) -> dict[str, float]:
    return {variant["VariantName"]: variant["InitialVariantWeight"] for variant in config["ProductionVariants"]}


def _current_weights(endpoint: Document) -> dict[str, float]:
    return {variant["VariantName"]: variant["CurrentWeight"] for variant in endpoint["ProductionVariants"]}


def _desired_weights(endpoint: Document) -> dict[str, float]:
    return {variant["VariantName"]: variant["DesiredWeight"] for variant in endpoint["ProductionVariants"]}


def _summary(variant: Document, models: dict[str, Document]) -> Document:
    model = models[variant["ModelName"]]
    images = [container["image"] for container in model["_Containers"]]
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": model["CreationTime"]}
            for image in images
        ],
        "CurrentWeight": variant["InitialVariantWeight"],
        "DesiredWeight": variant["InitialVariantWeight"],
        **_size(variant),
    }


def _size(variant: Document) -> Document:
    if "ServerlessConfig" in variant:
        return {f"{which}ServerlessConfig": variant["ServerlessConfig"] for which in ("Current", "Desired")}
    return {f"{which}InstanceCount": variant["InitialInstanceCount"] for which in ("Current", "Desired")}


def _shadow_summaries(deployed: Document) -> list[Document] | None:
    shadows = deployed["config"].get("ShadowProductionVariants", [])
    return [_summary(variant, deployed["models"]) for variant in shadows] or None


def _capture_summary(config: Document) -> Document | None:
    capture = config.get("DataCaptureConfig")
    if capture is None:
        return None
    enabled = capture.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


def _resize(live: Live, summary: Document) -> None:
    variant = live.fleet.variants[summary["VariantName"]]
    if "DesiredInstanceCount" not in summary:
        return
    missing = summary["DesiredInstanceCount"] - len(variant.slots)
    if missing > 0:
        live.traffic.add_slots(variant, live.fleet.new_slots(variant, missing))
    elif missing < 0:
        removed = live.traffic.remove_slots(variant, -missing)
        live.traffic.drain(removed, 65.0)
        for slot in removed:
            slot.instance.stop()


def _scaled(endpoint: Document, *, failed: bool) -> Document:
    """The members of an endpoint after scaling; a failure leaves the sizes as they were."""
    variants = []
    config = endpoint["_Deployed"]["config"]
    for variant in endpoint["ProductionVariants"]:
        weight = variant["DesiredWeight"]
        if "DesiredInstanceCount" not in variant:
            variants.append({**variant, "CurrentWeight": weight})
            continue
        count = variant["CurrentInstanceCount"] if failed else variant["DesiredInstanceCount"]
        variants.append(
            {**variant, "CurrentInstanceCount": count, "DesiredInstanceCount": count, "CurrentWeight": weight}
        )
        for each in config["ProductionVariants"]:
            if each["VariantName"] == variant["VariantName"]:
                each.update(InitialInstanceCount=count, InitialVariantWeight=weight)
    return {"ProductionVariants": variants, "_Deployed": endpoint["_Deployed"]}
