"""Endpoint configurations, and what of a running endpoint an update keeps."""

from __future__ import annotations

import copy

from local.server.host import Caller
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.models import Models
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.resources import ENDPOINT_CONFIG
from local.server.sagemaker.store import AlreadyThere, Document

_UNSUPPORTED = ("ExplainerConfig", "ExecutionRoleArn")
_UNSUPPORTED_OF_VARIANT = ("ManagedInstanceScaling", "InstancePools", "CoreDumpConfig")


class EndpointConfigs:
    """CreateEndpointConfig, DescribeEndpointConfig and DeleteEndpointConfig."""

    def __init__(self, platform: Platform, models: Models) -> None:
        self._platform = platform
        self._models = models

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateEndpointConfig": self._create,
            "DescribeEndpointConfig": lambda params, _caller: self.config(params["EndpointConfigName"]),
            "DeleteEndpointConfig": self._delete,
        }

    def config(self, name: str) -> Document:
        """A configuration by its name.

        Raises:
            ServiceError: There is none (``ValidationException``).
        """
        config = self._platform.store.find(ENDPOINT_CONFIG.name, name)
        if config is None:
            arn = self._platform.arn(ENDPOINT_CONFIG, name)
            raise invalid(f'Could not find endpoint configuration "{arn}".')
        return config

    def _create(self, params: Document, caller: Caller) -> Document:
        name = params["EndpointConfigName"]
        arn = self._platform.arn(ENDPOINT_CONFIG, name)
        for member in _UNSUPPORTED:
            if member in params:
                raise unsupported(f"{member} of an endpoint configuration")
        shadows = params.get("ShadowProductionVariants", [])
        if shadows and (len(shadows), len(params["ProductionVariants"])) != (1, 1):
            raise invalid("a configuration with a shadow variant has one production variant and one shadow variant")
        names = [variant["VariantName"] for variant in [*params["ProductionVariants"], *shadows]]
        if len(set(names)) != len(names):
            raise invalid(f"the names of production variants must be unique, not {names}")
        _check_kinds(params)
        config = {
            **params,
            "EndpointConfigArn": arn,
            "ProductionVariants": [
                self._variant(variant, shadow=bool(shadows)) for variant in params["ProductionVariants"]
            ],
            **(
                {"ShadowProductionVariants": [self._variant(variant, shadow=True) for variant in shadows]}
                if shadows
                else {}
            ),
        }
        self._platform.tag_new(caller, arn, config)
        try:
            self._platform.store.add(ENDPOINT_CONFIG.name, name, config)
        except AlreadyThere as error:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".') from error
        self._platform.emit(ENDPOINT_CONFIG, "Endpoint Config", config)
        return config

    def _delete(self, params: Document, _caller: Caller) -> Document:
        config = self.config(params["EndpointConfigName"])
        self._platform.store.remove(ENDPOINT_CONFIG.name, config["EndpointConfigName"])
        self._platform.store.remove_tags(config["EndpointConfigArn"])
        self._platform.emit(ENDPOINT_CONFIG, "Endpoint Config", config)
        return {}

    def _variant(self, variant: Document, *, shadow: bool = False) -> Document:
        for member in _UNSUPPORTED_OF_VARIANT:
            if member in variant:
                raise unsupported(f"{member} of a production variant")
        if variant.get("RoutingConfig", {}).get("RoutingStrategy") == "PREFIX_AWARE":
            raise unsupported("RoutingStrategy PREFIX_AWARE")
        needed = ("ModelName",) if "ServerlessConfig" in variant else ("ModelName", "InstanceType")
        for member in needed:
            if member not in variant:
                raise unsupported(f"a production variant without {member}")
        model = self._models.model(variant["ModelName"])
        if shadow and _is_several(model):
            raise invalid(f"shadow variants are not supported for multi-model endpoints (model {model['ModelName']})")
        if "ServerlessConfig" in variant:
            _check_serverless(variant, model)
            return {"InitialVariantWeight": 1.0, **variant}
        return {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0, **variant}


def _is_several(model: Document) -> bool:
    return any(container.get("several") for container in model["_Containers"])


def _check_serverless(variant: Document, model: Document) -> None:
    """What SageMaker does not do for serverless endpoints, in its own words or near them."""
    asked = variant["ServerlessConfig"]
    if asked["MemorySizeInMB"] % 1024:
        raise invalid(
            f"MemorySizeInMB must be one of 1024, 2048, 3072, 4096, 5120, 6144, not {asked['MemorySizeInMB']}"
        )
    if asked.get("ProvisionedConcurrency", 1) > asked["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency")
    for member in ("InstanceType", "InitialInstanceCount"):
        if member in variant:
            raise invalid(f"{member} cannot be given with ServerlessConfig")
    refused = {
        "VpcConfig": bool(model.get("VpcConfig")),
        "network isolation": model["EnableNetworkIsolation"],
        "an inference pipeline": len(model["_Containers"]) > 1,
        "a multi-model container": _is_several(model),
    }
    for what in (what for what, is_asked in refused.items() if is_asked):
        raise invalid(f"{what} is not supported for serverless endpoints (model {model['ModelName']})")


def _check_kinds(params: Document) -> None:
    """Serverless and asynchronous endpoints have one variant, and neither keeps what it is asked."""
    serverless = any("ServerlessConfig" in variant for variant in params["ProductionVariants"])
    kind = "serverless" if serverless else "asynchronous" if "AsyncInferenceConfig" in params else ""
    if not kind:
        return
    if serverless and "AsyncInferenceConfig" in params:
        raise invalid("AsyncInferenceConfig is not supported for serverless endpoints")
    if len(params["ProductionVariants"]) > 1:
        raise invalid(f"multiple production variants are not supported for {kind} endpoints")
    if params.get("DataCaptureConfig", {}).get("EnableCapture", "DataCaptureConfig" in params):
        raise invalid(f"data capture is not supported for {kind} endpoints")
    if kind == "asynchronous" and "S3OutputPath" not in params["AsyncInferenceConfig"]["OutputConfig"]:
        raise unsupported("an asynchronous endpoint without S3OutputPath")


def retained(config: Document, endpoint: Document, exclude: set[str]) -> Document:
    """A new configuration with what an update keeps of the running endpoint (``RetainAllVariantProperties``).

    Args:
        exclude: What is not kept: ``DesiredInstanceCount``, ``DesiredWeight``, ``DataCaptureConfig``.
    """
    result = copy.deepcopy(config)
    current = {variant["VariantName"]: variant for variant in endpoint["ProductionVariants"]}
    for variant in result["ProductionVariants"]:
        now = current.get(variant["VariantName"])
        if now is None:
            continue
        if "DesiredInstanceCount" not in exclude and "ServerlessConfig" not in variant:
            variant["InitialInstanceCount"] = now.get("DesiredInstanceCount", variant["InitialInstanceCount"])
        if "DesiredWeight" not in exclude:
            variant["InitialVariantWeight"] = now["DesiredWeight"]
    if "DataCaptureConfig" not in exclude:
        capture = endpoint["_Deployed"]["config"].get("DataCaptureConfig")
        result.pop("DataCaptureConfig", None)
        result |= {} if capture is None else {"DataCaptureConfig": capture}
    return result
